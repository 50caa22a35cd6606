"""Causes of programs that were made after issues and questions."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_a_course import kinds
from tests.diagnosis.test_causes_of_a_course import net
from tests.diagnosis.test_causes_of_a_course import watched
from tests.diagnosis.test_causes_of_a_course import waves


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def remedied(report, model, x, y):
    """Return the model and the data after the first remedy was pasted."""
    (told, *_) = report.ranked
    names = {"model": model, "x": x, "y": y}
    exec(told.remedies[0].code, names)
    return names["model"]


def moves(model, x, y, epochs=1):
    before = [np.copy(v) for v in model.get_weights()]
    model.fit(x, y, epochs=epochs, verbose=0)
    pairs = zip(before, model.get_weights(), strict=True)
    return any(not np.array_equal(old, new) for old, new in pairs)


# A model of which nothing trains


@pytest.mark.parametrize("part", ["whole", "each"])
def test_a_model_that_was_frozen_whole_is_told(part):
    x, y = waves(128)
    model = net()
    if part == "whole":
        model.trainable = False
    for layer in model.layers if part == "each" else ():
        layer.trainable = False
    with pytest.warns(kgg.GradGuardWarning, match="no trainable"):
        report = watched(model, x, y, epochs=2)
    assert kinds(report) == [("frozen_layer", "nothing_trains")]
    assert report.healthy is False
    assert "1 problem found" in report.verdict
    (told,) = kgg.check(model, x, y).ranked
    assert told.evidence["kind"] == "nothing_trains"
    assert moves(remedied(report, model, x, y), x, y)


def test_a_head_on_a_frozen_base_is_no_model_of_which_nothing_trains():
    x, y = waves(128)
    model = net()
    model.layers[0].trainable = False
    report = watched(model, x, y, epochs=2)
    assert ("frozen_layer", "nothing_trains") not in kinds(report)
    model.compile("adam", "mse")
    assert kgg.check(model, x, y).findings == []


# Gradients that are summed, and weights that are averaged


@pytest.mark.once
def test_gradients_of_a_few_batches_may_be_summed():
    x, y = waves(128)
    adam = keras.optimizers.Adam(0.01, gradient_accumulation_steps=4)
    report = watched(net(), x, y, epochs=15, optimizer=adam)
    assert report.findings == []
    run = report.trace.run
    assert run.optimizer.accumulates == 4
    assert report.trace.records_seen == 15


@pytest.mark.once
@pytest.mark.parametrize("every", [1, 4])
def test_averages_that_overwrite_the_weights_are_told(every):
    x, y = waves()
    adam = keras.optimizers.Adam(
        use_ema=True, ema_momentum=0.999, ema_overwrite_frequency=every
    )
    model = net()
    report = watched(model, x, y, epochs=8, optimizer=adam)
    assert kinds(report)[0] == ("update_ratio", "averaged_away")
    (told, *_) = report.ranked
    # So much of a walk of so many steps is in a mean of such weights.
    walk, mean = np.arange(1, every + 1), 0.0
    for place in walk:
        mean += 0.001 * (place - mean)
    assert told.evidence["share"] == pytest.approx(mean / every, rel=1e-3)
    model = remedied(report, model, x, y)
    assert model.optimizer.ema_overwrite_frequency is None


@pytest.mark.once
@pytest.mark.parametrize(
    "known",
    [{}, {"ema_overwrite_frequency": 100}, {"ema_momentum": 0.5}],
)
def test_averages_beside_the_weights_or_seldom_put_in_place_are_fine(known):
    x, y = waves()
    if "ema_momentum" in known:
        known = {**known, "ema_overwrite_frequency": 1}
    adam = keras.optimizers.Adam(0.01, use_ema=True, **known)
    report = watched(net(), x, y, epochs=8, optimizer=adam)
    assert report.findings == []


# Attention whose scores have no effect


@keras.saving.register_keras_serializable("tests_after_issues")
class Reading(layers.Layer):
    """Lets rows attend to those that hold something, or to the padding."""

    def __init__(self, keeps, **kwargs):
        super().__init__(**kwargs)
        self.keeps = keeps
        self.attend = layers.MultiHeadAttention(2, 8)

    def call(self, x):
        padding = ops.all(ops.equal(x, 0), -1)
        mask = ops.logical_not(padding) if self.keeps else padding
        return self.attend(x, x, attention_mask=mask[:, None])


def read(keeps, pooled=True, epochs=14):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 9, 6)).astype("float32")
    x[:, 6:] = 0
    y = x[:, :6].mean((1, 2))[:, None] * 4
    inputs = keras.Input((9, 6))
    seen = Reading(keeps, name="reading")(inputs)
    pool = layers.GlobalAveragePooling1D() if pooled else layers.Flatten()
    outputs = layers.Dense(1)(pool(seen))
    adam = keras.optimizers.Adam(0.01)
    model = keras.Model(inputs, outputs)
    return watched(model, x, y, epochs=epochs, optimizer=adam)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_mask_that_is_turned_over_is_told(pooled):
    (told, *_) = read(False, pooled).ranked
    assert told.evidence["kind"] == "scores_cut_off"
    assert "reading" in told.layers[0]
    assert "mask" in told.message


def test_a_mask_that_leaves_out_the_padding_is_not_told():
    found = [kind for _, kind in kinds(read(True))]
    assert "scores_cut_off" not in found


# Recurrent weights of one sign


@pytest.mark.once
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_weights_of_one_sign_are_told(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 20, 1)).astype("float32")
    y = (x[:, :, 0].sum(1) > 0).astype("float32")[:, None]
    up = keras.initializers.RandomUniform(0, 1)

    def model():
        layer = getattr(layers, kind)(
            16, kernel_initializer=up, recurrent_initializer=up, name="memory"
        )
        return keras.Sequential(
            [keras.Input((20, 1)), layer, layers.Dense(1, "sigmoid")]
        )

    report = watched(model(), x, y[::-1], 14, loss="binary_crossentropy")
    (told, *_) = [f for f in report.ranked if f.rule == "poor_initialization"]
    assert told.evidence["kind"] == "one_sided"
    names = {"model": model()}
    exec(told.remedies[0].code, names)
    kernel = names["model"].get_layer("memory").cell.recurrent_kernel
    assert float(ops.min(kernel)) < 0 < float(ops.max(kernel))
