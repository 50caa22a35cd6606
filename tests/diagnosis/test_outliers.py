"""A few targets far larger than the rest; one output beside another."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg

# Rules are judged here, and no backend.
pytestmark = pytest.mark.once

X = np.random.default_rng(0).normal(size=(1000, 6)).astype("float32")
Y = (X[:, 0] - X[:, 1] * X[:, 2]).astype("float32")


def told(y, loss="mse", rate=0.001, epochs=15):
    keras.utils.set_random_seed(1)
    hidden = layers.Dense(32, "relu")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), loss)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(X, y, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor.report().ranked


def with_some(value, every=101):
    y = Y.copy()
    y[::every] = value
    return y


@pytest.mark.parametrize(
    ("value", "every", "loss"),
    [(1e6, 101, "mse"), (-99999, 120, "mse"), (1e7, 80, "mae")],
)
def test_a_few_targets_that_drown_the_rest_are_named(value, every, loss):
    y = with_some(value, every)
    first = told(y, loss)[0]
    assert (first.rule, first.evidence["kind"]) == ("unscaled_data", "outliers")
    assert first.evidence["largest"] == pytest.approx(abs(value))
    pasted = {"y": y}
    exec(first.remedies[0].code, pasted)
    assert np.abs(pasted["y"]).max() < 50
    assert told(pasted["y"], rate=0.01) == []


def test_targets_with_a_long_tail_are_usual():
    y = np.exp(Y).astype("float32")
    kinds = [f.evidence.get("kind") for f in told(y, rate=0.01)]
    assert "outliers" not in kinds


def test_an_output_that_counts_little_is_not_what_others_are_held_against():
    keras.utils.set_random_seed(1)
    given = keras.Input((6,))
    h = layers.Dense(32, "relu")(given)
    ends = {
        "a": layers.Dense(1, name="a")(h),
        "b": layers.Dense(1, name="b")(h),
    }
    model = keras.Model(given, ends)
    weights = {"a": 1000.0, "b": 0.001}
    model.compile("adam", {"a": "mse", "b": "mse"}, loss_weights=weights)
    monitor = kgg.GradientMonitor(verbose=0)
    noise = np.random.default_rng(1).normal(size=(1000, 1))
    y = {"a": noise, "b": Y[:, None]}
    model.fit(X, y, epochs=12, verbose=0, callbacks=[monitor])
    rules = [finding.rule for finding in monitor.report().findings]
    assert "exploding_gradient" not in rules
