"""The values of variables, on the host."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_gradguard import _backend


def host_copy(tensor: Any) -> np.ndarray:
    """Return a tensor as an array of its own.

    A view of the device's memory would change with the next step.

    Args:
        tensor: Tensor of any backend, or a Keras variable.
    """
    if not isinstance(tensor, keras.Variable) and not keras.ops.is_tensor(
        tensor
    ):
        return np.array(keras.ops.convert_to_numpy(tensor))
    backend = _backend.current()
    # Keras's own way warns under NumPy 2, which `-W error` makes an error.
    return np.array(backend.to_numpy(backend.read(tensor)))


def is_finite(values: Iterable[np.ndarray]) -> bool:
    """Return whether no float is NaN or infinite.

    Args:
        values: Arrays of any dtype.
    """
    floats = (v for v in values if keras.backend.is_float_dtype(str(v.dtype)))
    return all(bool(np.isfinite(_of_numpy(value)).all()) for value in floats)


def _of_numpy(value):
    # bfloat16 and its kin are no dtypes of NumPy's own.
    return value if value.dtype.kind == "f" else value.astype("float32")
