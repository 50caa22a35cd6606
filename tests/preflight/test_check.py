"""The check before training: sick and healthy models, nothing touched."""

import random

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard import preflight
from tests import models


def rules(report):
    return [finding.rule for finding in report.findings]


def net(*stack, inputs=(8,), loss="mse", optimizer="adam", **compiled):
    model = keras.Sequential([keras.Input(inputs), *stack], name="net")
    model.compile(optimizer, loss, **compiled)
    return model


def numbers(rows=64, features=8, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype("float32")
    return x, x[:, :1] * 0.5


def stack(count, width, activation, kernel="glorot_uniform"):
    kernels = keras.initializers.get(kernel)
    return [
        layers.Dense(
            width,
            activation,
            kernel_initializer=kernels.clone(),
            name=f"h{at}",
        )
        for at in range(count)
    ]


def test_softmax_on_one_unit():
    model = net(
        layers.Dense(8, "relu"),
        layers.Dense(1, name="out"),
        layers.Activation("softmax"),
        loss="binary_crossentropy",
    )
    x, y = numbers()
    [finding] = kgg.check(model, x, (y > 0) * 1).findings
    assert finding.rule == "output_mismatch"
    assert finding.layers == ["net/out"]
    assert finding.first_step == 0


@pytest.mark.once
def test_labels_that_do_not_fit():
    model = net(
        layers.Dense(8, "relu"),
        layers.Dense(1, "sigmoid", name="out"),
        loss="binary_crossentropy",
    )
    x, y = numbers()
    report = kgg.check(model, x, np.sign(y[:, 0]))
    assert [f.evidence["kind"] for f in report.findings] == ["signed_labels"]
    assert kgg.check(model, x, y[:, 0] > 0).healthy


def test_vanishing_before_the_first_step():
    model = net(*stack(8, 5, "sigmoid"), layers.Dense(1))
    [finding] = kgg.check(model, *numbers()).findings
    assert finding.rule == "vanishing_gradient"
    assert finding.layers[0] == "net/h0"
    assert finding.evidence["ratio"] < 1e-4
    told = 'model = kgg.presets.convert(model, "he_relu")'
    assert finding.remedies[0].code.split("\n")[-1] == told
    shallow = net(*stack(2, 5, "sigmoid"), layers.Dense(1))
    assert kgg.check(shallow, *numbers()).healthy


@pytest.mark.once
def test_weights_that_no_training_should_start_from():
    model = net(*stack(3, 16, "relu", "zeros"), layers.Dense(1))
    report = kgg.check(model, *numbers())
    assert "poor_initialization" in rules(report)
    assert report.findings[0].layers[0].endswith("h0")


def _turned_by_a_matrix():
    """A spatial transformer: a matrix is learned, from the unit matrix on."""
    inputs = keras.Input((16, 3))
    h = layers.Conv1D(8, 1, activation="relu")(inputs)
    start = keras.initializers.Constant(np.eye(3).ravel())
    h = layers.Dense(9, kernel_initializer="zeros", bias_initializer=start)(
        layers.GlobalMaxPooling1D()(h)
    )
    h = layers.Dot(axes=(2, 1))([inputs, layers.Reshape((3, 3))(h)])
    h = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 1)(h))
    return keras.Model(inputs, layers.Dense(1)(h)), (16, 3)


def _scaled_from_one():
    """Each unit gets a factor of its own, which starts at 1."""
    inputs = keras.Input((8,))
    h = layers.Dense(16, "tanh")(inputs)
    factor = layers.Dense(16, kernel_initializer="zeros")(inputs)
    h = layers.Multiply()([h, layers.Rescaling(1, 1)(factor)])
    h = layers.Activation("gelu")(h)
    return keras.Model(inputs, layers.Dense(1)(h)), (8,)


@pytest.mark.once
@pytest.mark.parametrize("make", [_turned_by_a_matrix, _scaled_from_one])
def test_zeros_whose_units_part_at_once_are_meant(make):
    model, shape = make()
    model.compile("adam", "mse")
    random = np.random.default_rng(0)
    x = random.normal(size=(64, *shape)).astype("float32")
    y = x.reshape(64, -1)[:, :1] * 0.5
    assert kgg.check(model, x, y).healthy


@pytest.mark.once
@pytest.mark.parametrize(
    ("activation", "kernel", "after"),
    [("relu", "zeros", 4), ("tanh", "zeros", 1), ("tanh", "ones", 4)],
)
def test_constant_weights_whose_units_stay_alike_are_told(
    activation, kernel, after
):
    model = net(*stack(1, 16, activation, kernel), layers.Dense(after))
    x, y = numbers()
    report = kgg.check(model, x, np.repeat(y, after, 1))
    assert rules(report)[0] == "poor_initialization"


@pytest.mark.once
def test_a_dead_layer_is_the_cause_and_told_once():
    dead = layers.Dense(
        8, "relu", bias_initializer=keras.initializers.Constant(-12), name="d"
    )
    model = net(layers.Dense(8, "relu"), dead, layers.Dense(1))
    [finding] = kgg.check(model, *numbers()).findings
    assert (finding.rule, finding.layers) == ("dead_relu", ["net/d"])
    assert finding.severity == "critical"


@pytest.mark.once
def test_a_few_silent_units_are_no_finding():
    biases = np.array([-12.0] * 4 + [0.0] * 4)
    model = net(layers.Dense(8, "relu", name="h"), layers.Dense(1))
    model.get_layer("h").bias.assign(biases)
    assert kgg.check(model, *numbers()).healthy


@pytest.mark.once
def test_saturated_layers():
    wide = keras.initializers.RandomNormal(stddev=1000, seed=0)
    model = net(
        layers.Dense(16, "tanh", kernel_initializer=wide, name="s"),
        layers.Dense(1),
    )
    found = {f.rule: f for f in kgg.check(model, *numbers()).findings}
    assert found["saturated_activation"].layers == ["net/s"]


def test_a_signal_that_overflows():
    model = net(*stack(9, 16, "exponential", "he_uniform"), layers.Dense(1))
    assert "exploding_gradient" in rules(kgg.check(model, *numbers()))


def test_a_signal_that_explodes_before_probabilities():
    # TensorFlow makes the loss of what goes into the sigmoid: no slope is lost.
    wide = keras.initializers.RandomNormal(stddev=3.0, seed=0)
    hidden = [
        layers.Dense(64, "relu", kernel_initializer=wide) for _ in range(6)
    ]
    model = net(*hidden, layers.Dense(1, "sigmoid"), loss="binary_crossentropy")
    x, y = numbers()
    [finding] = kgg.check(model, x, y > 0).findings
    assert finding.rule == "exploding_gradient"
    assert finding.evidence["signal"] > 1e6


@pytest.mark.once
@pytest.mark.parametrize("turned", [False, True])
def test_a_weighted_loss_beside_another_is_no_explosion(turned):
    inputs = keras.Input((8,))
    hidden = inputs
    for at in range(3):
        hidden = layers.Dense(16, "relu", name=f"h{at}")(hidden)
    heads = [layers.Dense(1, name=name)(hidden) for name in ("a", "b")]
    model = keras.Model(inputs, heads[::-1] if turned else heads)
    weights = [1e5, 1.0] if turned else [1.0, 1e5]
    model.compile("adam", ["mse", "mse"], loss_weights=weights)
    x, y = numbers()
    assert kgg.check(model, x, [y, y]).findings == []


@pytest.mark.once
@pytest.mark.parametrize("scale", [100, -100, 128])
def test_an_embedding_that_takes_numbers_between_0_and_1(scale):
    random = np.random.default_rng(0)
    x = random.integers(0, 100, (96, 12))
    y = (x[:, :1] > 50).astype("float32")

    def model():
        stack = layers.Embedding(100, 4), layers.Flatten(), layers.Dense(8)
        last = layers.Dense(1, "sigmoid")
        return net(*stack, last, inputs=(12,), loss="binary_crossentropy")

    [finding] = kgg.check(model(), x / scale, y).findings
    assert finding.rule == "unscaled_data"
    assert finding.layers == ["net/embedding"]
    sick = model()
    monitor = kgg.GradientMonitor(verbose=0)
    sick.fit(x / scale, y, epochs=30, verbose=0, callbacks=[monitor])
    ran = monitor.report().ranked[0]
    for told in finding, ran:
        assert (told.rule, told.evidence["kind"]) == ("unscaled_data", "alike")
        assert "whole numbers" in told.message
    # Whole numbers are fine, also as floats.
    rules_of = rules(kgg.check(model(), x.astype("float32"), y))
    assert "unscaled_data" not in rules_of


@pytest.mark.once
def test_raw_pixels_unless_the_model_rescales_them():
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1))
    body = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten()]
    model = net(*body, layers.Dense(1), inputs=(8, 8, 1))
    y = np.zeros(64) + x.mean(axis=(1, 2, 3)) / 255
    [finding] = kgg.check(model, x.astype("float32"), y).findings
    assert finding.evidence["kind"] == "pixels"
    assert finding.layers == ["net/conv2d"]
    body = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten()]
    scaled = net(
        layers.Rescaling(1 / 255), *body, layers.Dense(1), inputs=(8, 8, 1)
    )
    assert kgg.check(scaled, x.astype("float32"), y).healthy


@pytest.mark.once
def test_uneven_features_unless_the_model_normalizes_them():
    x, y = numbers()
    x = x * np.array([1e3, 1, 1, 1, 1, 1, 1, 0.1])
    model = net(layers.Dense(8, "relu"), layers.Dense(1))
    [finding] = kgg.check(model, x, y / 1).findings
    assert finding.rule == "unscaled_data"
    assert len(finding.remedies[0].arguments["mean"]) == 8
    normalized = net(
        layers.BatchNormalization(), layers.Dense(8, "relu"), layers.Dense(1)
    )
    assert kgg.check(normalized, x, y).healthy


@pytest.mark.once
def test_nan_in_the_data():
    x, y = numbers()
    x[3, 2] = np.nan
    y[5] = np.inf
    model = net(layers.Dense(8, "relu"), layers.Dense(1))
    [finding] = kgg.check(model, x, y).findings
    assert finding.rule == "nonfinite_gradient"
    assert finding.evidence["nonfinite"] == {
        "x": {"values": 1, "rows": 1},
        "y": {"values": 1, "rows": 1},
    }


@pytest.mark.once
def test_a_first_step_that_replaces_the_weights():
    model = net(
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(1),
        optimizer=keras.optimizers.Adam(0.19),
    )
    [finding] = kgg.check(model, *numbers()).findings
    assert finding.rule == "update_ratio"
    assert finding.evidence["kind"] == "first_step"


@pytest.mark.parametrize(
    "make",
    [
        lambda: (models.cnn(), models.images()),
        lambda: (models.embedding(), models.tokens()),
        lambda: (models.nested_and_shared(), models.dataset()),
        lambda: (models.Subclassed(), models.dataset()),
        lambda: (models.mlp(), models.dataset()),
    ],
    ids=["cnn", "embedding", "nested", "subclassed", "mlp"],
)
def test_healthy_models(make):
    model, (x, y) = make()
    model(x[:1])
    model.compile("adam", models.crossentropy())
    report = kgg.check(model, x, y)
    assert report.healthy, report
    assert report.notes == []


def test_healthy_recurrent_and_attention():
    x = np.random.default_rng(0).normal(size=(48, 6, 4)).astype("float32")
    inputs = keras.Input((6, 4))
    h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(inputs)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 4)(h, h))
    h = layers.TimeDistributed(layers.Dense(4, "gelu"))(h)
    model = keras.Model(inputs, layers.Dense(1)(layers.GRU(4)(h)))
    model.compile("adam", "mse")
    assert kgg.check(model, x, x[:, 0, :1]).healthy


def test_several_inputs_and_outputs_by_name():
    x, y = numbers()
    first, second = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    h = layers.Dense(8, "relu")(layers.Concatenate()([first, second]))
    model = keras.Model(
        {"a": first, "b": second},
        {
            "size": layers.Dense(1, name="size")(h),
            "kind": layers.Dense(3, "softmax", name="kind")(h),
        },
    )
    model.compile(
        "adam",
        {"size": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"size": 0.5, "kind": 1.0},
    )
    data = {"a": x, "b": x}
    labels = np.arange(64) % 3
    assert kgg.check(model, data, {"size": y, "kind": labels}).healthy
    report = kgg.check(model, data, {"size": y, "kind": labels + 1})
    [finding] = report.findings
    assert finding.layers[0].endswith("kind")
    assert finding.evidence["kind"] == "too_few_units"


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, y = numbers(16, seed=index)
        return x, y


def generator():
    yield from (Batches()[at] for at in range(4))


def test_data_that_come_in_batches():
    model = net(layers.Dense(8, "relu"), layers.Dense(1, "softmax"))
    for data in (Batches(), generator()):
        assert rules(kgg.check(model, data)) == ["output_mismatch"]
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(numbers()).batch(16)
    assert rules(kgg.check(model, data)) == ["output_mismatch"]


@pytest.mark.once
def test_what_could_not_be_judged_is_said():
    x, y = numbers()
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1)])
    report = kgg.check(model, x, y)
    assert report.healthy is None
    assert "it is not compiled" in report.not_judged[0]
    assert "it is not compiled" in report.notes[0]
    assert report.notes[0] in str(report)
    assert report.to_dict()["notes"] == report.notes
    model.compile("adam", "mse")
    assert "no targets" in kgg.check(model, x).notes[0]


def test_a_model_that_is_not_built_is_judged_by_a_copy():
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    report = kgg.check(model, *numbers())
    assert report.healthy
    assert "not built" in report.notes[0]
    assert not model.built


def _state(model):
    held = [*model.variables, *model.optimizer.variables]
    if model.metrics:
        held += [v for metric in model.metrics for v in metric.variables]
    values = models.to_numpy(held)
    return [*values, np.random.get_state()[1].copy()]  # noqa: NPY002


def _watched(checked):
    keras.utils.set_random_seed(3)
    x, y = numbers()
    model = net(
        layers.Dense(8),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.GaussianNoise(0.01),
        layers.Dense(1),
        optimizer="sgd",
        metrics=["mae"],
    )
    keras.random.normal((1,))
    model.fit(x, y, epochs=1, verbose=0)
    before = _state(model)
    python = random.getstate()
    entries = {id(m): set(vars(m)) for m in [model, *model.layers]}
    if checked:
        kgg.check(model, x, y)
    after = _state(model)
    assert python == random.getstate()
    assert entries == {id(m): set(vars(m)) for m in [model, *model.layers]}
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    model.fit(x, y, epochs=2, verbose=0)
    return models.to_numpy([*model.variables, *model.optimizer.variables])


@pytest.mark.optimized
def test_the_model_and_its_later_training_are_untouched():
    for one, other in zip(_watched(True), _watched(False), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_arguments_are_checked():
    model = net(layers.Dense(1))
    x, y = numbers()
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        kgg.check("model", x)
    with pytest.raises(ValueError, match="the same number of rows"):
        kgg.check(model, x, y[:3])
    with pytest.raises(ValueError, match="at least one row"):
        kgg.check(model, x[:0], y[:0])
    with pytest.raises(ValueError, match="running the model failed"):
        kgg.check(model, x[:, :3], y)
    with pytest.raises(ValueError, match="`y` must be None"):
        kgg.check(model, Batches(), y)
    with pytest.raises(ValueError, match="batch_size=0"):
        kgg.check(model, x, y, batch_size=0)


@pytest.mark.once
def test_static_findings_need_no_data_and_leave_out_what_trains():
    model = net(
        *stack(3, 8, "relu"),
        layers.Dense(3, "sigmoid"),
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.Adam(1.0),
    )
    assert [f.rule for f in preflight.static_findings(model)] == [
        "update_ratio"
    ]
    model.layers[-1].activation = keras.activations.get("relu")
    assert [f.rule for f in preflight.static_findings(model)] == [
        "output_mismatch",
        "update_ratio",
    ]
    assert preflight.static_findings(keras.Sequential()) == []


def test_circles_of_the_tutorials_are_noted():
    # Weights of one sign and a layer of one unit: both, and no finding.
    init = keras.initializers.RandomUniform(0.0, 1.0)
    options = {"activation": "tanh", "kernel_initializer": init}
    hidden = [keras.layers.Dense(5, **options) for _ in range(3)]
    narrow = keras.layers.Dense(1, name="narrow", **options)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            *hidden,
            narrow,
            keras.layers.Dense(1, "sigmoid", kernel_initializer=init),
        ]
    )
    model.compile("sgd", "binary_crossentropy")
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    report = kgg.check(model, x, (x[:, :1] > 0) * 1)
    assert not report.findings
    sided, unit = report.notes
    assert "one sign" in sided
    assert "1 more layer has such weights" in sided
    assert "narrow: a hidden layer of one unit" in unit


@pytest.mark.once
def test_weights_of_a_lone_layer_may_start_anywhere():
    x = np.array([-1, 0, 1, 2, 3, 4], "float32")[:, None]
    kernel = keras.initializers.Constant(0.05)
    model = net(
        layers.Dense(1, kernel_initializer=kernel),
        inputs=(1,),
        optimizer="sgd",
    )
    assert kgg.check(model, x, 2 * x - 1).healthy
    deep = net(*stack(3, 16, "tanh"), layers.Dense(1), optimizer="adam")
    deep.optimizer.learning_rate = 5.0
    assert rules(kgg.check(deep, *numbers())) == ["update_ratio"]
