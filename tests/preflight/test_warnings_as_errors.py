"""Under `-W error`, what is read of a model warns of nothing."""

import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg


@pytest.fixture
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def data():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def net():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def test_a_watched_fit(strict):
    x, y = data()
    monitor = kgg.GradientMonitor(verbose=0)
    calls = [monitor, kgg.DeadReLUDetector(verbose=0), kgg.RollBack()]
    net().fit(x, y, epochs=2, verbose=0, callbacks=calls)
    assert monitor.trace.records_seen == 4


def test_check(strict):
    x, y = data()
    assert kgg.check(net(), x, y).healthy is True


def test_lsuv(strict):
    x, _ = data()
    model = net()
    kgg.presets.lsuv(model, x)
    assert model.built
