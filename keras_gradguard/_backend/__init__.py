"""What each backend can do that `keras.ops` cannot.

One folder per backend with the same functions and classes: fused norms,
copies that XLA does not fuse with, sparse gradients, replicas, updates that
happen or not, a ring buffer that is written inside the compiled step and read
by the host.
"""

import importlib

import keras

_SUPPORTED = ("tensorflow", "jax", "torch")
_loaded: dict = {}


def current():
    """Return the package of the running backend.

    Returns:
        `keras_gradguard._backend.tensorflow`, `.jax` or `.torch`.

    Raises:
        RuntimeError: If the Keras backend cannot train models.
    """
    name = keras.backend.backend()
    if name not in _loaded:
        _loaded[name] = _load(name)
    return _loaded[name]


def _load(name):
    if name not in _SUPPORTED:
        raise RuntimeError(
            "keras_gradguard: the Keras backend must be one of "
            f"{', '.join(_SUPPORTED)}. Received: {name!r}. Set the "
            "environment variable KERAS_BACKEND before importing keras."
        )
    return importlib.import_module(f"keras_gradguard._backend.{name}")
