"""A `MirroredStrategy` made anew, as by a notebook cell that runs twice."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models


def fit(callbacks=(), clip=False, width=8, devices=2, rule="adam"):
    """Train under a strategy of its own; the weights."""
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    names = [f"CPU:{i}" for i in range(devices)]
    with tf.distribute.MirroredStrategy(names).scope():
        model = models.mlp(width=width, depth=1)
        optimizer = keras.optimizers.get(rule)
        optimizer.learning_rate = 0.01
        if clip:
            optimizer = kgg.AutoClip(optimizer)
        model.compile(optimizer, models.crossentropy(), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(models.dataset(64)).batch(16)
    model.fit(data, epochs=2, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


@pytest.mark.optimized
def test_plain_then_watched_then_clipped_then_plain(backend):
    if backend != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    plain = fit()
    monitor = kgg.GradientMonitor(verbose=0)
    watched = fit([monitor, kgg.DeadReLUDetector(verbose=0)])
    assert len(monitor.trace.steps) == 8
    # Of another size: TensorFlow alone fails here.
    fit([kgg.GradientMonitor(verbose=0)], width=12)
    fit(clip=True)
    for weights in (watched, fit()):
        for a, b in zip(plain, weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", ["adam", "sgd"])
def test_a_strategy_of_one_device(backend, rule):
    # As on a machine with one GPU. Its variables are mirrored, too.
    if backend != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    plain = fit(devices=1, rule=rule)
    monitor = kgg.GradientMonitor(verbose=0)
    watched = fit(
        [monitor, kgg.DeadReLUDetector(verbose=0)], devices=1, rule=rule
    )
    assert monitor.trace.steps.tolist() == list(range(8))
    assert len(monitor.trace.activation_steps)
    assert np.isfinite(monitor.trace.get("update_ratio")).any()
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(w).all() for w in fit((), True, 8, 1, rule))
