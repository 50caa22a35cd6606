"""A run that ends where a constant prediction is, is never called healthy."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_gradguard import GradientMonitor

pytestmark = pytest.mark.once

# Share of a constant's loss below which something was learnt.
GAIN = 0.05
EPOCHS, ROWS = 25, 320


class Rounded(layers.Layer):
    """No gradient passes what is rounded."""

    def call(self, x):
        return ops.round(4 * x) / 4

    def compute_output_shape(self, shape):
        return shape


def two_classes(x, random):
    return (x[:, :1] + x[:, 1:2] > 0.4).astype("float32"), 1


def three_classes_of_which_one_is_frequent(x, random):
    return np.digitize(x[:, 0], [1.0, 1.5]).astype("int32"), 3


def numbers(x, random):
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    return y.astype("float32"), 1


DATA = (two_classes, three_classes_of_which_one_is_frequent, numbers)
HEADS = {
    two_classes: ("sigmoid", "binary_crossentropy"),
    three_classes_of_which_one_is_frequent: (
        "softmax",
        "sparse_categorical_crossentropy",
    ),
    numbers: (None, "mse"),
}


def hidden(random, h, ill):
    act = str(random.choice(["relu", "tanh", "gelu"]))
    for _ in range(int(random.integers(1, 4))):
        h = layers.Dense(16, act)(h)
        if ill == "dropout of most":
            h = layers.Dropout(0.97)(h)
    if ill == "sigmoids":
        for _ in range(10):
            h = layers.Dense(16, "sigmoid")(h)
    if ill == "dead units":
        far = keras.initializers.Constant(-20.0)
        h = layers.Dense(16, "relu", bias_initializer=far)(h)
    return h


def run(ill, data, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(ROWS, 8)).astype("float32")
    y, units = data(x, random)
    keras.utils.set_random_seed(seed)
    activation, loss = HEADS[data]
    inputs = keras.Input((8,))
    h = layers.Rescaling(1e-6)(inputs) if ill == "no input" else inputs
    h = hidden(random, h, ill)
    if ill == "softmax over rows":
        h = layers.Softmax(axis=0)(layers.Dense(units)(h))
    else:
        h = layers.Dense(units, activation)(h)
    if ill == "rounded":
        h = Rounded()(h)
    model = keras.Model(inputs, h)
    rate = 1e-7 if ill == "tiny rate" else float(random.choice([1e-3, 3e-3]))
    model.compile(keras.optimizers.Adam(rate), loss)
    monitor = GradientMonitor(verbose=0)
    model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[monitor])
    given = model.predict(x, verbose=0)
    return monitor.report(), gain(loss, y, given)


def gain(loss, y, given):
    given, y = given.astype("float64"), np.asarray(y)
    if loss == "mse":
        return 1 - np.square(y - given).mean() / y.var()
    if given.shape[1] == 1:
        given, y = np.concatenate([1 - given, given], 1), y[:, 0]
    at = np.maximum(given[np.arange(len(y)), y.astype(int)], 1e-7)
    shares = np.bincount(y.astype(int)) / len(y)
    shares = shares[shares > 0]
    return 1 + np.log(at).mean() / -(shares * np.log(shares)).sum()


# Each ill on data of one kind: which kind it is matters to the loss alone.
ILLS = {
    "dropout of most": two_classes,
    "sigmoids": three_classes_of_which_one_is_frequent,
    "dead units": numbers,
    "softmax over rows": three_classes_of_which_one_is_frequent,
    "tiny rate": numbers,
    "no input": two_classes,
    "rounded": numbers,
}


@pytest.mark.parametrize("ill", ILLS)
def test_what_learns_nothing_is_not_called_healthy(ill):
    data = ILLS[ill]
    report, learnt = run(ill, data, DATA.index(data))
    assert learnt < GAIN, "not at chance"
    assert report.healthy is False


@pytest.mark.parametrize("data", DATA)
def test_what_learns_is_not_told_to_be_at_chance(data):
    report, learnt = run("", data, 0)
    assert learnt > 0.3
    assert report.healthy is True
