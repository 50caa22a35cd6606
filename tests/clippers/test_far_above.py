"""Gradients so large that the factor which clips them is no normal number."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg
from keras_gradguard import stats
from keras_gradguard.clippers import functional

JITS = {"jax": [True], "torch": [False], "tensorflow": [False, True]}
NORMS = (1e10, 9e37, 3e38)
CLIPPERS = {
    "norm": {"threshold": 0.5},
    "per_tensor": {"warmup_norm": 0.5},
    "unitwise": {},
}


class Steep(keras.layers.Layer):
    """Its weights have gradients of the size of what comes in."""

    shares = ([0.6, 0.0, 0.0], [[0.0, 0.8], [0.0, 0.0]])

    def build(self, shape):
        self.parts = [
            self.add_weight(shape=np.shape(share), initializer="zeros")
            for share in self.shares
        ]

    def call(self, x):
        return x * sum(
            ops.sum(part * ops.convert_to_tensor(share, dtype=part.dtype))
            for part, share in zip(self.parts, self.shares, strict=True)
        )


class FromZero(keras.callbacks.Callback):
    """Puts the weights back to zero before each step, and keeps its change."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.changes = layer, []

    def _sync(self):
        getattr(self.model, "jax_state_sync", lambda: None)()

    def on_train_batch_begin(self, batch, logs=None):
        self._sync()
        for part in self.layer.parts:
            part.assign(np.zeros(part.shape))

    def on_train_batch_end(self, batch, logs=None):
        self._sync()
        self.changes.append(
            [
                ops.convert_to_numpy(ops.cast(part, "float32")).astype(float)
                for part in self.layer.parts
            ]
        )


def fit(dtype, jit, clipper):
    """Changes of the weights by one clipped step each, and what was recorded.

    There is one step for each of `NORMS`, all in one fit.
    """
    layer = Steep(dtype=dtype)
    model = keras.Sequential([keras.Input((1,), dtype=dtype), layer])
    optimizer = kgg.AutoClip(
        keras.optimizers.SGD(1.0), clipper, **CLIPPERS[clipper]
    )
    model.compile(optimizer, lambda y, p: ops.sum(p), jit_compile=jit)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    own = FromZero(layer)
    x = np.array(NORMS, "float32")[:, None]
    model.fit(
        *(x, x),
        batch_size=1,
        shuffle=False,
        verbose=0,
        callbacks=[own, monitor],
    )
    return own.changes, monitor.trace, optimizer


def twin(norm, clipper):
    """The same in float64, by the formulas of the papers."""
    parts = [-norm * np.array(share, "float64") for share in Steep.shares]
    if clipper != "unitwise":
        return [part / norm * 0.5 for part in parts]
    # A vector is one unit, a kernel has one for each output; all are at zero.
    limit = 0.01 * 1e-3
    return [part / np.abs(part).max() * limit for part in parts]


def ways():
    """Each clipper, each dtype, and each way to compile, not all products."""
    for jit in JITS[keras.backend.backend()]:
        for clipper in CLIPPERS:
            yield clipper, "float32", jit
        yield "per_tensor", "bfloat16", jit
    yield from ((c, "bfloat16", jit) for c in ("norm", "unitwise"))


@pytest.mark.parametrize(("clipper", "dtype", "jit"), ways())
def test_it_is_clipped_to_the_threshold(clipper, dtype, jit):
    digits = 1e-6 if dtype == "float32" else 1e-2
    changes, trace, optimizer = fit(dtype, jit, clipper)
    clipped = []
    for norm, change in zip(NORMS, changes, strict=True):
        expected = twin(norm, clipper)
        for found, right in zip(change, expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=digits)
        clipped.append(np.sqrt(sum(np.sum(part**2) for part in expected)))
    np.testing.assert_allclose(trace.global_grad_norm, NORMS, rtol=digits)
    np.testing.assert_allclose(trace.clipped_grad_norm, clipped, rtol=digits)
    assert optimizer.last_norm == pytest.approx(NORMS[-1], rel=digits)
    assert optimizer.clipped_fraction == 1.0


def compiled(function, jit):
    """The function as the backend compiles it."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit)
    return function


@pytest.mark.parametrize("jit", JITS[keras.backend.backend()])
def test_thresholds_of_any_size(jit):
    limits = (1e-20, 1e-4, 1e9, 1e30)

    def clip(gradient):
        norm = functional.global_norm([gradient])
        return [
            kgg.clippers.FixedNorm(limit).clip([gradient], [], norm, {})[0][0]
            for limit in limits
        ]

    gradient = np.array([0.6, 0.8], "float32") * np.float32(3e38)
    found = compiled(clip, jit)(ops.convert_to_tensor(gradient))
    for limit, part in zip(limits, found, strict=True):
        change = ops.convert_to_numpy(part).astype("float64")
        np.testing.assert_allclose(
            change, [0.6 * limit, 0.8 * limit], rtol=1e-6
        )


@pytest.mark.optimized
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_ordinary_gradients_keep_their_bits(dtype):
    rng = np.random.default_rng(0)
    for size in (1e-30, 1e-4, 1.0, 1e4, 1e30):
        gradient = ops.cast(
            ops.convert_to_tensor((size * rng.normal(size=999)).astype("f")),
            dtype,
        )
        norm = functional.global_norm([gradient])
        for share in (1e-9, 0.1, 0.7, 1.0, 3.0):
            limit = norm * stats.full((), share)
            many = functional.clip_coefficients(norm, limit)
            found = functional.scale(gradient, *many)
            one = functional.clip_coefficient(norm, limit)
            np.testing.assert_array_equal(
                *(
                    ops.convert_to_numpy(ops.cast(g, "float32"))
                    for g in (found, functional.scale(gradient, one))
                )
            )
