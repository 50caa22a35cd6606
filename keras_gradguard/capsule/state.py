"""The state of a training: weights, seeds, and what the optimizer keeps."""

import json
import warnings
from typing import Any

import keras
import numpy as np

from keras_gradguard.capsule.batches import plain
from keras_gradguard.models import keras_private


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


def serialized(model: Any) -> Any:
    """Return JSON of a model and how it was compiled, None if there is none.

    Args:
        model: A Keras model.
    """
    try:
        with (
            warnings.catch_warnings(),
            keras_private.without_tensorflow(),
        ):
            warnings.simplefilter("ignore")
            serialized = keras.saving.serialize_keras_object(model)
            return json.loads(json.dumps(serialized))
    except Exception:
        # The user says it when it is to be replayed.
        return None
