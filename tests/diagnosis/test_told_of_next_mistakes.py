"""Mistakes that a tenth set of untouched programs showed, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted
from tests.diagnosis.test_told_of_first_mistakes import columns
from tests.diagnosis.test_told_of_first_mistakes import first
from tests.diagnosis.test_told_of_first_mistakes import ready

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


class Own(keras.Model):
    """A net with a loss of its own."""

    def __init__(self, loss, *stack):
        super().__init__()
        self.own_loss, self.stack = loss, list(stack)

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return self.own_loss(y, y_pred)


def own(loss, x, *stack):
    model = Own(loss, *stack)
    model.compile(keras.optimizers.Adam(3e-3))
    model(x[:1])
    return model


def kinds(report):
    return {(f.rule, f.evidence.get("kind")) for f in report.ranked}


def lives(count=320):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6)).astype("float32")
    time = rng.exponential(np.exp(x[:, 0])).astype("float32")
    event = (rng.random(count) < 0.7).astype("float32")
    return x, np.stack([time, event], -1)


@pytest.mark.parametrize("last", ["relu", "softplus"])
@pytest.mark.parametrize("of", ["hazard", "counts"])
def test_loss_that_is_nan_in_many_steps(of, last):
    x, y = lives()

    def hazard(t, p):
        return ops.mean(p[:, 0] * t[:, 0] - t[:, 1] * ops.log(p[:, 0]))

    def counts(t, p):
        return ops.mean(p[:, 0] - t[:, 1] * ops.log(p[:, 0]))

    loss = {"hazard": hazard, "counts": counts}[of]
    model = own(loss, x, layers.Dense(16, "relu"), layers.Dense(1, last))
    report = fitted(model, x, y, epochs=20)
    told = {f.rule for f in report.ranked}
    assert ("nonfinite_gradient" in told) == (last == "relu")
    assert report.healthy is not (last == "relu")


@pytest.mark.parametrize("pooled", [True, False])
def test_zeros_behind_a_table_are_not_the_inputs(pooled):
    rng = np.random.default_rng(0)
    x = rng.integers(1, 40, (480, 10)).astype("int32")
    y = (x < 12).sum(1) > 2
    inputs = keras.Input((10,), dtype="int32")
    h = layers.Embedding(40, 8)(inputs)
    h = h * ops.cast(inputs == 0, "float32")[..., None]
    h = layers.GlobalAveragePooling1D()(h) if pooled else layers.Flatten()(h)
    h = layers.Dense(16, "relu")(h)
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    report = fitted(model, x, y.astype("float32")[:, None], epochs=15)
    assert first(report)[0] == "frozen_layer"
    assert ("unscaled_data", "constant") not in kinds(report)


def weighted(loss, weight, optimizer, epochs=25, **fit):
    x, y = columns(640)
    y = (y - y.mean()) / y.std()
    last = None
    if loss != "mse":
        y, last = (y > 0).astype("float32"), "sigmoid"
    model = ready(
        (10,),
        layers.Dense(32, "relu"),
        layers.Dense(1, last),
        loss=loss,
        optimizer=optimizer,
    )
    if weight is not None:
        fit["sample_weight"] = np.full(len(x), weight, "float32")
    return fitted(model, x, y, epochs=epochs, **fit)


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
@pytest.mark.parametrize("weight", [1e-4, 1.0])
def test_samples_that_weigh_next_to_nothing(loss, weight):
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    report = weighted(loss, weight, sgd)
    if weight < 1:
        assert first(report) == ("update_ratio", "light_weights")
        found = report.ranked[0]
        assert found.evidence["mean"] <= 0.02
        assert found.evidence["window"]["last_step"] <= 100
    else:
        assert report.healthy


def test_light_weights_do_no_harm_under_adam():
    report = weighted("mse", 1 / 640, keras.optimizers.Adam(5e-3))
    assert ("update_ratio", "light_weights") not in kinds(report)


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("other", [0.0, 0.3])
def test_a_class_that_weighs_nothing(kept, other):
    report = weighted(
        "binary_crossentropy",
        None,
        keras.optimizers.Adam(5e-3),
        class_weight={kept: 1.0, 1 - kept: other},
    )
    told = ("output_mismatch", "class_weighs_nothing")
    if other:
        assert report.healthy
    else:
        assert first(report) == told
        assert f"targets of {1 - kept} weigh" in report.ranked[0].message


def cox(t, p):
    later = ops.cast(t[None, :, 0] >= t[:, None, 0], "float32")
    total = ops.sum(later * ops.exp(p[:, 0])[None], -1)
    return -ops.mean(t[:, 1] * (p[:, 0] - ops.log(total)))


def contrast(t, p):
    score = ops.log_softmax(ops.matmul(p, ops.transpose(p)))
    return -ops.mean(ops.diagonal(score)) + 0 * ops.mean(t)


@pytest.mark.parametrize("loss", [cox, contrast])
@pytest.mark.parametrize("rows", [1, 32])
def test_a_loss_of_rows_that_stand_alone(loss, rows):
    x, y = lives(160 * (1 if rows == 1 else 8))
    model = own(loss, x, layers.Dense(16, "relu"), layers.Dense(1))
    report = fitted(model, x, y, epochs=2 if rows == 1 else 8, batch_size=rows)
    told = ("frozen_layer", "row_alone")
    assert (first(report) == told) == (rows == 1)
    assert (told in kinds(report)) == (rows == 1)


def test_a_loss_of_zero_of_a_trained_net_is_no_row_alone():
    x, y = lives(160)
    model = own(cox, x, layers.Dense(16, "relu"), layers.Dense(1))
    for layer in model.stack:
        layer.bias.assign(ops.ones_like(layer.bias) * 0.1)
    report = fitted(model, x, y, epochs=2, batch_size=1)
    assert ("frozen_layer", "row_alone") not in kinds(report)


LOSSES = keras.losses
SHAPED = {
    "smoothed": LOSSES.CategoricalCrossentropy(label_smoothing=1.0),
    "focused": LOSSES.CategoricalFocalCrossentropy(gamma=60.0),
    "usual": LOSSES.CategoricalCrossentropy(label_smoothing=0.1),
    "focal": LOSSES.CategoricalFocalCrossentropy(gamma=2.0),
    "two_smoothed": LOSSES.BinaryCrossentropy(label_smoothing=1.0),
    "two_focused": LOSSES.BinaryFocalCrossentropy(gamma=25.0),
    "two_focal": LOSSES.BinaryFocalCrossentropy(gamma=5.0),
}


@pytest.mark.parametrize("name", SHAPED)
def test_losses_whose_arguments_leave_nothing(name):
    x, y = columns(640)
    two = name.startswith("two_")
    edges = [0.0] if two else [-0.7, 0.7]
    number = np.digitize(y[:, 0], edges)
    y = np.eye(3)[number] if not two else number[:, None]
    y = y.astype("float32")
    model = ready(
        (10,),
        layers.Dense(32, "relu"),
        layers.Dense(1, "sigmoid") if two else layers.Dense(3, "softmax"),
        loss=SHAPED[name],
    )
    before = kgg.check(model, x, y)
    report = fitted(model, x, y, epochs=20)
    if "smoothed" in name or "focused" in name:
        kind = "smoothed_away" if "smoothed" in name else "focused_away"
        assert first(before) == first(report) == ("output_mismatch", kind)
        assert report.ranked[0].evidence["window"]["last_step"] <= 5
    else:
        assert before.healthy
        assert report.healthy
