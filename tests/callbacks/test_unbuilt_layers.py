"""Layers that only the first step builds."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models


class Inner(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class Lazy(keras.Model):
    """`build` builds one layer; the others are built when they are called."""

    def __init__(self, builds=True):
        super().__init__()
        self.first = keras.layers.Dense(8, "relu")
        self.inner = Inner()
        self.builds = builds

    def build(self, shape):
        if self.builds:
            self.first.build(shape)
        self.built = True

    def call(self, x):
        return self.inner(self.first(x))


HOW = {
    "jax": [{"jit_compile": True}, {"run_eagerly": True}],
    "torch": [{}],
    "tensorflow": [
        {"jit_compile": True},
        {"jit_compile": False},
        {"run_eagerly": True},
    ],
}


WAYS = HOW[keras.backend.backend()]
CASES = [(True, WAYS[0]), *((False, how) for how in WAYS)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("builds", "how"), CASES)
def test_a_model_built_by_its_shape_is_recorded(builds, how, recwarn):
    def trained(callbacks):
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(2)
        model = Lazy(builds)
        model.build((None, 8))
        model.compile("sgd", models.crossentropy(), **how)
        x, y = models.dataset(64)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    monitor = kgg.GradientMonitor(verbose=0)
    expected, watched = trained([]), trained([monitor])
    told = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert not told, told[0].message
    assert monitor.trace.steps.tolist() == list(range(16))
    assert len(monitor.trace.layers) == 2
    for a, b in zip(expected, watched, strict=True):
        np.testing.assert_array_equal(a, b)
