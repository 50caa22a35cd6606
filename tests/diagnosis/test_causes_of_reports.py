"""Causes of programs that were rebuilt from reports and questions."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_a_course import kinds
from tests.diagnosis.test_causes_of_a_course import watched
from tests.diagnosis.test_causes_of_a_course import waves


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def compiled(model, loss="mse", **how):
    model.compile(keras.optimizers.Adam(0.003), loss, **how)
    return model


def fitted(model, x, y, on_finding="warn", **fit):
    monitor = kgg.GradientMonitor(verbose=0, on_finding=on_finding)
    model.fit(x, y, **{"epochs": 6, "verbose": 0, **fit}, callbacks=[monitor])
    return monitor.report()


# Layers that have one number to normalize


def series(wide, count=256, length=12):
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 6, (count, 1))
    wave = np.sin(start + 0.4 * np.arange(length + 1)).astype("float32")
    stack = [layers.Dense(8)] if wide else []
    model = keras.Sequential(
        [
            keras.Input((length, 1)),
            *stack,
            layers.LayerNormalization(name="norm"),
            layers.GRU(8),
            layers.Dense(1),
        ]
    )
    return compiled(model), wave[:, :-1, None], wave[:, -1:]


def test_layer_normalization_of_one_number_is_told_at_once():
    model, x, y = series(wide=False)
    (told,) = kgg.check(model, x, y).ranked
    assert (told.rule, told.evidence["kind"]) == ("frozen_layer", "one_number")
    report = fitted(model, x, y)
    assert kinds(report)[0] == ("frozen_layer", "one_number")
    assert report.ranked[0].layers[0].endswith("norm")
    assert report.ranked[0].evidence["window"]["last_step"] < 16


def test_layer_normalization_of_eight_numbers_is_fine():
    model, x, y = series(wide=True)
    assert kgg.check(model, x, y).findings == []
    assert fitted(model, x, y).findings == []


# Samples that are all the same for what learns


@pytest.mark.once
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_words_that_were_divided_are_told(head):
    rng = np.random.default_rng(1)
    words = rng.integers(1, 50, (320, 8))
    y = (words[:, :1] > 25).astype("float32")
    if head == "softmax":
        y = y[:, 0].astype("int32")
    loss = {"softmax": "sparse_categorical", "sigmoid": "binary"}[head]

    def net():
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Embedding(50, 8),
                layers.GlobalAveragePooling1D()
                if head == "sigmoid"
                else layers.LSTM(8),
                layers.Dense(2 if head == "softmax" else 1, head),
            ]
        )
        return compiled(model, f"{loss}_crossentropy")

    report = fitted(net(), (words / 50).astype("float32"), y, epochs=12)
    assert kinds(report)[0] == ("unscaled_data", "alike")
    whole = fitted(net(), words.astype("float32"), y, epochs=12)
    assert whole.findings == []


# No sample counts


@pytest.mark.once
@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_weights_of_zero_are_told(loss):
    x, y = waves(256)
    last = "sigmoid" if loss != "mse" else None
    y = (y > 0).astype("float32") if last else y

    def net():
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1, last)]
        )
        return compiled(model, loss)

    model, nothing = net(), np.zeros(len(x), "float32")
    report = fitted(model, x, y, sample_weight=nothing)
    (told,) = report.ranked
    assert told.evidence["kind"] == "nothing_counts"
    assert report.healthy is False
    assert "weights are 0" in told.message
    some = nothing.copy()
    some[::2] = 1
    assert fitted(net(), x, y, sample_weight=some).findings == []


@pytest.mark.once
def test_a_task_that_is_done_is_not_one_of_which_nothing_counts():
    x = np.random.default_rng(2).normal(size=(256, 4)).astype("float32")
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(1, kernel_initializer="zeros")]
    )
    report = fitted(compiled(model), x, 0 * x[:, :1])
    assert "nothing_counts" not in [kind for _, kind in kinds(report)]


# Axes


def tagger(axis):
    model = keras.Sequential(
        [
            keras.Input((10, 4)),
            layers.Conv1D(8, 3, padding="same", activation="relu"),
            layers.Dense(5),
            layers.Softmax(axis),
        ]
    )
    return compiled(model, "sparse_categorical_crossentropy")


def test_a_softmax_over_positions_is_told():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(128, 10, 4)).astype("float32")
    y = x.argmax(-1).astype("int32")
    (told,) = kgg.check(tagger(1), x, y).ranked
    assert told.evidence["kind"] == "softmax_over_positions"
    report = fitted(tagger(1), x, y)
    assert kinds(report)[0] == ("output_mismatch", "softmax_over_positions")
    for last in (-1, 2):
        assert kgg.check(tagger(last), x, y).findings == []
        assert fitted(tagger(last), x, y, epochs=15).findings == []


@pytest.mark.parametrize("units", [1, 3])
def test_the_cosine_of_one_number_is_told(units):
    x, y = waves(256)
    y = np.concatenate([y, y**2, y[::-1]], -1)[:, :units]
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(units)]
    )
    compiled(model, keras.losses.CosineSimilarity())
    told = kgg.check(model, x, y).findings + fitted(model, x, y).findings
    found = {f.evidence.get("kind") for f in told}
    assert found == ({"cosine_of_one"} if units == 1 else set())


@pytest.mark.once
def test_squared_logarithms_of_targets_below_zero_are_told():
    x, y = waves(256)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(1)]
    )
    compiled(model, "mean_squared_logarithmic_error")
    (told,) = kgg.check(model, x, y).ranked
    assert told.evidence["kind"] == "negative_targets"
    assert kgg.check(model, x, y - y.min()).findings == []


# Learning against a first loss that is beyond all others


@pytest.mark.once
def test_a_loss_from_far_above_has_learnt_nothing_at_the_mean():
    rng = np.random.default_rng(4)
    time = rng.uniform(0, 86_400, (512, 12, 1))
    level = rng.normal(size=(512, 1, 1)) + rng.normal(size=(512, 12, 1))
    x = np.concatenate([time, level], -1).astype("float32")
    y = np.tanh(level.mean(1)).astype("float32")
    inputs = keras.Input((12, 2))
    hidden = layers.Dense(16)(inputs)
    hidden = layers.MultiHeadAttention(2, 8)(hidden, hidden)
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    report = watched(model, x, y, epochs=15)
    assert report.healthy is False
    assert "unscaled_data" in [f.rule for f in report.ranked]


# Weights of classes


@pytest.mark.once
@pytest.mark.parametrize("turned", [True, False])
def test_weights_that_make_the_rare_class_rarer_are_told(turned):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1600, 10)).astype("float32")
    score = x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=1600)
    y = (score > np.quantile(score, 0.94)).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    compiled(model, "binary_crossentropy", metrics=["accuracy"])
    weights = (0.94, 0.06) if turned else (0.06, 0.94)
    report = fitted(model, x, y, class_weight=dict(enumerate(weights)))
    found = [("output_mismatch", "rare_class")] if turned else []
    assert kinds(report) == found
    if turned:
        assert "class_weight={0: 1.0, 1: " in report.ranked[0].remedies[0].code


@pytest.mark.once
def test_a_rare_class_that_is_weighed_already_is_shown_more_often():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1600, 10)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 1.6).astype("float32")[:, None]

    def program():
        stack = layers.Dense(16, "relu"), layers.Dense(1, "sigmoid")
        model = keras.Sequential([keras.Input((10,)), *stack])
        return compiled(model, "binary_crossentropy", metrics=["accuracy"])

    model = program()
    # Too little to bring back one target in twenty.
    report = fitted(model, x, y, class_weight={0: 1.0, 1: 1.1})
    assert kinds(report) == [("output_mismatch", "rare_class")]
    (remedy,) = report.ranked[0].remedies
    assert "class_weight=" not in remedy.code
    names = {"model": program(), "x": x, "y": y}
    exec(remedy.code, names)
    rare = y[:, 0] == 1
    before, after = (
        (net.predict(x, verbose=0) > 0.5)[rare].mean()
        for net in (model, names["model"])
    )
    assert before < 0.1
    assert after > 0.5


# Outputs of one unit


@pytest.mark.once
@pytest.mark.parametrize("output", [True, False])
def test_a_recurrent_output_of_one_unit_is_no_hidden_layer(output):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 6, 3)).astype("float32")
    y = 0.3 * np.tanh(rng.normal(size=(256, 1)).astype("float32"))
    inputs = keras.Input((6, 3))
    first = layers.LSTM(1, name="first")(inputs)
    ahead = inputs[:, 0, :1] if output else first
    second = layers.Dense(1, name="second")(ahead)
    ends = [first, second] if output else [second]
    model = keras.Model(inputs, ends)
    model.compile(keras.optimizers.Adam(1e-3), ["mse"] * len(ends))
    report = fitted(model, x, [y] * len(ends), epochs=20)
    kind = ("poor_initialization", "one_unit")
    assert (kind in kinds(report)) is not output
