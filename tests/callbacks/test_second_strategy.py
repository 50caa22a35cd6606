"""A `MirroredStrategy` made anew, as by a notebook cell that runs twice."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models


def fit(callbacks=(), clip=False, width=8):
    """Train under a strategy of its own; the weights."""
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = models.mlp(width=width, depth=1)
        optimizer = keras.optimizers.Adam(0.01)
        if clip:
            optimizer = kgg.AutoClip(optimizer)
        model.compile(optimizer, models.crossentropy(), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(models.dataset(64)).batch(16)
    model.fit(data, epochs=2, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


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
