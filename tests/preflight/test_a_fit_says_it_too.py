"""What `check` knows of a model and its first batch, a short fit says, too."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg

pytestmark = pytest.mark.once


def below_zero():
    """ReLU gives nothing below 0, where most targets lie."""
    return [layers.Dense(1, "relu")], "mse", -1


def no_probabilities():
    """A crossentropy of whatever a ReLU gives."""
    return [layers.Dense(1, "relu")], "binary_crossentropy", 1


def one_softmax():
    """A softmax over one unit is 1."""
    return [layers.Dense(1, "softmax")], "binary_crossentropy", 1


def dead_at_once():
    """A hidden layer whose bias keeps all units below 0."""
    bias = keras.initializers.Constant(-50.0)
    hidden = layers.Dense(16, "relu", bias_initializer=bias)
    return [hidden, layers.Dense(1, "sigmoid")], "binary_crossentropy", 1


@pytest.mark.parametrize(
    "program", [below_zero, no_probabilities, one_softmax, dead_at_once]
)
def test_a_fit_of_twelve_steps_says_what_check_says(program):
    keras.utils.set_random_seed(3)
    stack, loss, sign = program()
    model = keras.Sequential([keras.Input((4,)), *stack])
    model.compile(keras.optimizers.SGD(1e-3), loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype("float32")
    y = (x[:, :1] > 0).astype("float32") * sign
    checked = kgg.check(model, x, y)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, 16, 2, verbose=0, callbacks=[monitor])
    severe = {f.rule for f in checked.findings if f.severity == "critical"}
    assert severe
    assert severe <= {f.rule for f in monitor.findings}
    assert monitor.report().healthy is False
