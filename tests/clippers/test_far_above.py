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


def fit(dtype, norm, jit, clipper, **arguments):
    """Change of the weights by one clipped step, and what was recorded."""
    layer = Steep(dtype=dtype)
    model = keras.Sequential([keras.Input((1,), dtype=dtype), layer])
    optimizer = kgg.AutoClip(
        keras.optimizers.SGD(1.0), clipper, **(CLIPPERS[clipper] | arguments)
    )
    model.compile(optimizer, lambda y, p: ops.sum(p), jit_compile=jit)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    x = np.full((1, 1), norm, "float32")
    model.fit(x, x, verbose=0, callbacks=[monitor])
    change = [
        ops.convert_to_numpy(ops.cast(part, "float32")).astype("float64")
        for part in layer.parts
    ]
    return change, monitor.trace, optimizer


def twin(norm, clipper):
    """The same in float64, by the formulas of the papers."""
    parts = [-norm * np.array(share, "float64") for share in Steep.shares]
    if clipper != "unitwise":
        return [part / norm * 0.5 for part in parts]
    # A vector is one unit, a kernel has one for each output; all are at zero.
    limit = 0.01 * 1e-3
    return [part / np.abs(part).max() * limit for part in parts]


@pytest.mark.parametrize("jit", JITS[keras.backend.backend()])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("clipper", CLIPPERS)
def test_it_is_clipped_to_the_threshold(clipper, dtype, jit):
    digits = 1e-6 if dtype == "float32" else 1e-2
    for norm in NORMS:
        change, trace, optimizer = fit(dtype, norm, jit, clipper)
        expected = twin(norm, clipper)
        for found, right in zip(change, expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=digits)
        after = np.sqrt(sum(np.sum(part**2) for part in expected))
        np.testing.assert_allclose(trace.global_grad_norm, norm, rtol=digits)
        np.testing.assert_allclose(trace.clipped_grad_norm, after, rtol=digits)
        assert optimizer.last_norm == pytest.approx(norm, rel=digits)
        assert optimizer.clipped_fraction == 1.0


@pytest.mark.parametrize("jit", JITS[keras.backend.backend()])
def test_thresholds_of_any_size(jit):
    for threshold in (1e-20, 1e-4, 1e9, 1e30):
        change, *_ = fit("float32", 3e38, jit, "norm", threshold=threshold)
        size = np.sqrt(sum(np.sum(part**2) for part in change))
        assert size == pytest.approx(threshold, rel=1e-6)


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
