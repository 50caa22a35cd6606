"""Mistakes that a twelfth set of programs showed, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def curves(count=256, width=24):
    """Return curves of a peak each, in [0, 1]."""
    rng = np.random.default_rng(0)
    at = rng.uniform(4, width - 4, (count, 1))
    high = rng.uniform(0.3, 1.0, (count, 1))
    gap = (np.arange(width) - at) / 5
    return (high * np.exp(-np.square(gap))).astype("float32")


def rebuilder(last, loss="mse", width=24):
    model = keras.Sequential(
        [
            keras.Input((width,)),
            layers.Dense(32, "relu"),
            layers.Dense(width, last),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), loss)
    return model


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_softmax_over_rows_that_add_up_to_more_is_told(loss):
    x = curves()
    model = rebuilder("softmax", loss)
    told = kgg.check(model, x, x)
    assert kinds(told) == [("output_mismatch", "rows_of_softmax")]
    told = fitted(model, x, x, epochs=25)
    assert kinds(told)[0] == ("output_mismatch", "rows_of_softmax")
    scope = {"model": model, "x": x, "y": x, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    model = scope["model"]
    model.fit(x, x, epochs=12, verbose=0)
    off = np.square(model.predict(x, verbose=0) - x).mean()
    assert off < 0.5 * x.var()


def test_a_softmax_over_rows_of_shares_or_labels_is_not():
    x = curves()
    shares = x / x.sum(-1, keepdims=True)
    model = rebuilder("softmax")
    assert kgg.check(model, x, shares).healthy is not False
    label = np.eye(24, dtype="float32")[x.argmax(-1)]
    two = np.maximum(label, np.roll(label, 1, -1))
    for y in (label, two):
        assert "rows_of_softmax" not in dict(kinds(kgg.check(model, x, y)))


class Sampled(layers.Layer):
    """Draws a code, and adds what its divergence costs, with a sign."""

    def __init__(self, weight, sums):
        super().__init__()
        self.weight, self.sums = weight, sums
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        mean, log = ops.split(x, 2, axis=-1)
        cost = ops.square(mean) + ops.exp(log) - log - 1
        cost = ops.sum(cost, -1) if self.sums else ops.mean(cost, -1)
        self.add_loss(self.weight * ops.mean(cost))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log) * noise


def sampler(weight, sums=True, loss="mse"):
    model = keras.Sequential(
        [
            keras.Input((24,)),
            layers.Dense(24, "relu"),
            layers.Dense(8),
            Sampled(weight, sums),
            layers.Dense(24, "relu"),
            layers.Dense(24, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), loss)
    return model


@pytest.mark.parametrize(
    ("weight", "sums", "loss"),
    [(-0.1, True, "mse"), (-1.0, False, "mae"), (-0.03, True, "huber")],
)
def test_a_divergence_that_is_subtracted_is_told(weight, sums, loss):
    x = curves()
    model = sampler(weight, sums, loss)
    told = fitted(model, x, x, epochs=25)
    assert kinds(told)[0] == ("output_mismatch", "no_floor")
    assert "Sampled.call" in told.ranked[0].message
    scope = {"model": sampler(weight, sums, loss), "x": x, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    history = scope["model"].fit(x, x, epochs=5, verbose=0).history["loss"]
    assert 0 < history[-1] < history[0]


def test_a_divergence_or_an_entropy_that_is_small_is_not():
    x = curves()
    for weight in (0.001, -0.001):
        told = fitted(sampler(weight, sums=False), x, x, epochs=8)
        assert ("output_mismatch", "no_floor") not in kinds(told)
