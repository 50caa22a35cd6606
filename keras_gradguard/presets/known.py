"""The usual activations of Keras by NumPy: JAX would compile each operation."""

import math

import keras
import numpy as np

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_ERFC = np.frompyfunc(math.erfc, 1, 1)


def _sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _gelu(x):
    return 0.5 * x * _ERFC(-x / math.sqrt(2)).astype("float64")


def _selu(x):
    low = _SELU_ALPHA * np.expm1(np.minimum(x, 0))
    return _SELU_SCALE * np.where(x > 0, x, low)


_KNOWN = {
    keras.activations.linear: lambda x: x,
    keras.activations.relu: lambda x: np.maximum(x, 0),
    keras.activations.relu6: lambda x: np.clip(x, 0, 6),
    keras.activations.leaky_relu: lambda x: np.where(x > 0, x, 0.2 * x),
    keras.activations.elu: _elu,
    keras.activations.selu: _selu,
    keras.activations.gelu: _gelu,
    keras.activations.silu: lambda x: x * _sigmoid(x),
    keras.activations.tanh: np.tanh,
    keras.activations.sigmoid: _sigmoid,
}


def by_numpy(function):
    """Return what computes an activation of Keras on a float64 array.

    Args:
        function: Any callable.

    Returns:
        Callable of an array, or None where it is not known.
    """
    try:
        return _KNOWN.get(function)
    except TypeError:  # It has no hash.
        return None
