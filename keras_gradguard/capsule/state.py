"""The state of a training: weights, seeds, and what the optimizer keeps."""

from typing import Any

import keras
import numpy as np

from keras_gradguard.capsule.batches import plain


def state_variables(model: Any, left_out: set[int]) -> list[Any]:
    """Return the variables of a model, then those of its optimizer.

    Args:
        model: A compiled Keras model.
        left_out: Set of ids of optimizer variables that are none of its own.
    """
    optimizer = model.optimizer.variables if model.optimizer.built else []
    own = [v for v in optimizer if id(v) not in left_out]
    return [*model.variables, *own]


def host_copy(tensor: Any) -> np.ndarray:
    """Return a tensor as an array that nothing on the device changes.

    Args:
        tensor: Tensor of any backend, or a variable's value.
    """
    array = keras.ops.convert_to_numpy(tensor)
    return np.array(plain(array))


def write_back(variables: list[Any], values: list[Any]) -> None:
    """Give variables their values, those that are known.

    Args:
        variables: List of Keras variables.
        values: List of arrays of their shapes, or None.
    """
    for variable, value in zip(variables, values, strict=False):
        if value is not None:
            variable.assign(value)


def is_finite(values: list[Any]) -> bool:
    """Return whether no float is NaN or infinite.

    Args:
        values: List of arrays.
    """
    return all(
        bool(np.isfinite(value).all())
        for value in values
        if value.dtype.kind == "f"
    )
