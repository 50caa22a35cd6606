"""Layers that compare one number with itself, and losses that are sums."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted
from tests.diagnosis.test_told_of_first_mistakes import columns

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def steps_of(count=192):
    """Sequences of 12 steps of which one step tells the class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 12, 3)).astype("float32")
    return x, (x[:, 5, 0] > 0).astype("float32")[:, None]


def attentive(how, axis):
    given = keras.Input((12, 3))
    states = layers.GRU(8, return_sequences=True)(given)
    if how == "layer":
        shares = layers.Softmax(axis=axis)(layers.Dense(1)(states))
    elif axis == -1:
        shares = layers.Dense(1, activation="softmax")(states)
    else:
        shares = layers.Dense(
            1, activation=lambda z: keras.ops.softmax(z, axis=axis)
        )(states)
    pooled = layers.Flatten()(layers.Dot(1)([shares, states]))
    model = keras.Model(given, layers.Dense(1, "sigmoid")(pooled))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("how", ["layer", "activation"])
def test_a_softmax_over_one_number_is_told_and_mended(how):
    x, y = steps_of()
    model = attentive(how, -1)
    told = kgg.check(model, x, y)
    assert kinds(told) == [("frozen_layer", "one_number")]
    told = fitted(model, x, y, epochs=6)
    assert kinds(told)[0] == ("frozen_layer", "one_number")
    assert "softmax over one number" in told.ranked[0].message
    scope = {"model": model, "x": x, "y": y}
    exec(told.ranked[0].remedies[0].code, scope)
    model = scope["model"]
    scores = next(at for at in model.layers if at.name.startswith("dense"))
    before = np.array(scores.get_weights()[0])
    model.fit(x, y, epochs=1, verbose=0)
    assert np.abs(scores.get_weights()[0] - before).max() > 1e-5


@pytest.mark.parametrize("how", ["layer", "activation"])
def test_a_softmax_over_the_steps_is_fine(how):
    x, y = steps_of()
    model = attentive(how, 1)
    assert kgg.check(model, x, y).findings == []
    assert fitted(model, x, y, epochs=2).findings == []


@pytest.mark.parametrize("groups", [8, 2])
def test_groups_of_one_number_are_told(groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(192, 5, 5, 1)).astype("float32")
    y = (x[:, 2, 2, 0] > 0).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            layers.Conv2D(8, 5),
            layers.GroupNormalization(groups),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    found = kinds(kgg.check(model, x, y)), kinds(fitted(model, x, y, epochs=8))
    lone = ("frozen_layer", "one_number")
    if groups == 8:
        assert [told[0] for told in found] == [lone, lone]
    else:
        assert lone not in found[0] + found[1]


def test_the_last_normalization_of_one_number_comes_before_mixed_rows():
    x, y = columns()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(16, "relu"),
            layers.Dense(1),
            layers.LayerNormalization(),
        ]
    )
    model.compile("adam", "mse")
    told = kinds(fitted(model, x, y, epochs=8))
    assert told[0] == ("frozen_layer", "one_number")
    assert ("output_mismatch", "mixed_rows") not in told


def digits_of_sums(rate, loss, count=512):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8)).astype("float32")
    y = np.digitize(x[:, 0] + x[:, 1], [-1, 0, 1])
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model, x, y


@pytest.mark.parametrize("rows", [64, 256])
def test_a_sum_over_the_batch_is_told_where_steps_are_too_large(rows):
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    model, x, y = digits_of_sums(0.5, loss)
    told = fitted(model, x, y, epochs=20, batch_size=rows)
    assert kinds(told)[0] == ("update_ratio", "summed")
    assert told.ranked[0].evidence["values"] == rows
    scope = {"model": model}
    exec(told.ranked[0].remedies[0].code, scope)
    assert scope["model"].loss.reduction == "sum_over_batch_size"


def test_a_sum_that_learns_is_fine():
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    model, x, y = digits_of_sums(2e-3, loss)
    told = fitted(model, x, y, epochs=6)
    assert told.findings == []
