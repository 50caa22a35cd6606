"""On a GPU: everything is recorded, and the weights keep their bits.

Skipped elsewhere. `scripts/test-gpu` runs it with deterministic operations.
"""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

STEPS = 48


def sees_gpu():
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    return False


pytestmark = pytest.mark.skipif(not sees_gpu(), reason="no GPU here")


@pytest.fixture(autouse=True)
def _deterministic():
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def weights(clipper, callbacks=()):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(4 * STEPS, 8, 8, 3))
    x, y = x.astype("float32"), (x.mean((1, 2, 3)) > 0).astype("int32")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(40, activation="relu"),
            keras.layers.Dense(2),
        ]
    )
    optimizer = keras.optimizers.Adam(1e-3)
    if clipper is not None:
        optimizer = kgg.AutoClip(optimizer, clipper)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    model.fit(x, y, batch_size=4, verbose=0, callbacks=list(callbacks))
    return [keras.ops.convert_to_numpy(w.value) for w in model.weights]


@pytest.mark.optimized
@pytest.mark.parametrize("clipper", [None, "spikes", "per_tensor", "unitwise"])
@pytest.mark.parametrize("policy", ["float32", "bfloat16", "mixed_bfloat16"])
def test_records_all_and_changes_nothing(clipper, policy):
    keras.config.set_dtype_policy(policy)
    try:
        expected = weights(clipper)
        monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
        detector = kgg.DeadReLUDetector(verbose=0)
        found = weights(clipper, [monitor, detector])
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(monitor.trace.steps) == STEPS
    assert len(detector.history) == 2
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
