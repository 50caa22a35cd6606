"""One process per backend: `KERAS_BACKEND` chooses, nothing is guessed."""

import gc
import os
import tempfile

import pytest

if "KERAS_BACKEND" not in os.environ:
    if os.environ.get("CI"):
        raise pytest.UsageError(
            "KERAS_BACKEND is not set. Run: KERAS_BACKEND=tensorflow pytest "
            "(or jax, or torch; one process per backend)."
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# torch's threads cost more than these small models give them to do.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two virtual devices, so that replicas and sharding are tested for real.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Many tests compile the same step: kept, it halves their time on JAX.
    _cache = tempfile.TemporaryDirectory(prefix="jax-compilation-cache-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # Possible until TensorFlow's first operation only, so for all tests.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


@pytest.fixture(autouse=True, scope="module")
def _little_garbage_to_look_through():
    """Leave what earlier modules left behind out of later collections.

    `clear_session` collects garbage. Backends and what they cached for earlier
    tests took four fifths of the time of the suite on TensorFlow.
    """
    keras.backend.clear_session()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts from a clean session and a fixed seed."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def backend():
    """Name of the backend that this process runs."""
    return keras.backend.backend()
