"""Mistakes that a ninth set of untouched programs showed, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from tests.diagnosis.test_causes_of_reports import fitted

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def rings(count=480):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2)).astype("float32")
    return x, np.digitize(np.hypot(*x.T), [0.8, 1.5]).astype("int32")


def columns(count=480, width=10):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, width)).astype("float32")
    return x, (x[:, :1] - x[:, 1:2] * x[:, 2:3]).astype("float32")


def ready(shape, *stack, loss="mse", optimizer=None):
    model = keras.Sequential([keras.Input(shape), *stack])
    model.compile(optimizer or keras.optimizers.Adam(0.005), loss)
    return model


def first(report):
    """Return rule and kind of the cause that leads, or None."""
    causes = [f for f in report.ranked if f.cause is None]
    return (causes[0].rule, causes[0].evidence.get("kind")) if causes else None


def of_rings(*start, units=24, **how):
    return ready(
        (2,),
        *start,
        layers.Dense(units, "relu"),
        layers.Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
        **how,
    )


@pytest.mark.parametrize("units", [8, 24, 64])
def test_layer_normalization_of_two_numbers_is_told(units):
    x, y = rings()
    model = of_rings(layers.LayerNormalization(), units=units)
    report = fitted(model, x, y, epochs=20)
    assert first(report) == ("frozen_layer", "one_number")
    assert report.ranked[0].evidence["numbers"] == 2


def test_layer_normalization_of_two_numbers_may_be_all_that_is_asked():
    x, _ = rings()
    y = (x[:, 0] > x[:, 1]).astype("int32")
    model = of_rings(layers.LayerNormalization())
    report = fitted(model, x, y, epochs=8)
    assert report.healthy is True
    assert report.findings == []


@pytest.mark.parametrize("last", ["linear", "softplus", "sigmoid"])
def test_a_divergence_below_zero_is_told(last):
    x, _ = columns()
    shares = np.exp(x[:, :3]) / np.exp(x[:, :3]).sum(-1, keepdims=True)
    stack = [layers.Dense(24, "relu"), layers.Dense(3, last)]
    model = ready((10,), *stack, loss="kl_divergence")
    report = fitted(model, x, shares.astype("float32"), epochs=8)
    assert first(report) == ("output_mismatch", "no_floor")
    assert "softmax" in report.ranked[0].remedies[0].code


def test_a_divergence_of_a_softmax_is_silent():
    x, _ = columns()
    shares = np.exp(x[:, :3]) / np.exp(x[:, :3]).sum(-1, keepdims=True)
    stack = [layers.Dense(24, "relu"), layers.Dense(3, "softmax")]
    model = ready((10,), *stack, loss="kl_divergence")
    report = fitted(model, x, shares.astype("float32"), epochs=8)
    assert report.findings == []
    assert report.healthy is True


@pytest.mark.parametrize("kind", ["relu", "tanh", "gelu"])
def test_offsets_alone_that_train_are_told(kind):
    x, y = columns(width=40)
    y = np.digitize(y[:, 0], [-0.7, 0.7]).astype("int32")
    model = ready(
        (40,),
        layers.Dense(12, kind),
        layers.Dense(8, kind),
        layers.Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
    )
    for layer in model.layers:
        layer.kernel.trainable = False
    report = fitted(model, x, y, epochs=8)
    assert first(report) == ("frozen_layer", "only_offsets")
    exec(report.ranked[0].remedies[0].code, {"model": model, "keras": keras})
    assert all(layer.kernel.trainable for layer in model.layers)


@pytest.mark.parametrize("width", [6, 10, 30])
def test_rows_that_were_standardised_for_columns_are_told(width):
    x, _ = columns(width=width)
    y = np.digitize(x[:, 0], [-0.5, 0.5]).astype("int32")
    x = x * 0.5 + 4 * np.random.default_rng(3).normal(size=width)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    model = ready(
        (width,),
        layers.Dense(16, "relu"),
        layers.Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.SGD(0.01),
    )
    report = fitted(model, x.astype("float32"), y, epochs=8)
    assert first(report) == ("unscaled_data", "columns")


@pytest.mark.parametrize("draw", ["normal", "uniform", "exponential"])
def test_own_weights_of_one_sign_are_told_as_measured(draw):
    def above(shape, dtype=None):
        drawn = getattr(np.random.default_rng(0), draw)(size=shape)
        return ops.convert_to_tensor(0.3 * np.abs(drawn), dtype)

    x, y = columns(width=40)
    y = np.digitize(y[:, 0], [-0.7, 0.7]).astype("int32")
    stack = [
        layers.Dense(48, "relu", kernel_initializer=above) for _ in range(3)
    ]
    model = ready(
        (40,),
        *stack,
        layers.Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.SGD(0.005, momentum=0.9),
    )
    report = fitted(model, x + 0.5, y, epochs=8)
    assert first(report) == ("poor_initialization", "one_sided")


def test_own_weights_of_both_signs_are_silent():
    def drawn(shape, dtype=None):
        table = np.random.default_rng(shape[0]).normal(size=shape)
        return ops.convert_to_tensor(table * (2 / shape[0]) ** 0.5, dtype)

    x, y = columns()
    stack = [
        layers.Dense(48, "relu", kernel_initializer=drawn) for _ in range(3)
    ]
    report = fitted(ready((10,), *stack, layers.Dense(1)), x, y, epochs=8)
    assert report.findings == []


@pytest.mark.parametrize("wide", [4.0, 8.0])
def test_wide_weights_and_not_the_rate_are_told(wide):
    start = keras.initializers.RandomNormal(stddev=wide)
    x, y = columns()
    stack = [
        layers.Dense(32, "sigmoid", kernel_initializer=start) for _ in range(5)
    ]
    sgd = keras.optimizers.SGD(0.02)
    model = ready((10,), *stack, layers.Dense(1), optimizer=sgd)
    report = fitted(model, x, y, epochs=20)
    assert first(report)[0] in ("poor_initialization", "saturated_activation")


@pytest.mark.parametrize("width", [2, 4, 8])
def test_words_frozen_before_they_were_trained_are_told(width):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 480)
    x = 1 + 12 * y[:, None] + rng.integers(0, 12, (480, 16))
    base = keras.Sequential(
        [
            layers.Embedding(40, width),
            layers.Conv1D(width, 3, activation="relu"),
        ]
    )
    base.trainable = False
    model = ready(
        (16,),
        base,
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, "softmax"),
        loss="sparse_categorical_crossentropy",
    )
    report = fitted(model, x.astype("int32"), y.astype("int32"), epochs=12)
    assert first(report) == ("frozen_layer", "features")
