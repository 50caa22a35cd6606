"""The state of a training: weights, seeds, and what the optimizer keeps."""

import json
import warnings
from typing import Any

import keras
import numpy as np

from keras_gradguard.capsule.batches import plain
from keras_gradguard.models import keras_private
from keras_gradguard.models.values import host_copy


def state_variables(model: Any, left_out: set[int]) -> list[Any]:
    """Return the variables of a model, then those of its optimizer.

    Args:
        model: A compiled Keras model.
        left_out: Set of ids of optimizer variables that are none of its own.
    """
    optimizer = model.optimizer.variables if model.optimizer.built else []
    own = [v for v in optimizer if id(v) not in left_out]
    return [*model.variables, *own]


def plain_copy(tensor: Any) -> np.ndarray:
    """Return a tensor as an array of its own, of a dtype that NumPy has.

    Args:
        tensor: Tensor of any backend, or a Keras variable.
    """
    return plain(host_copy(tensor))


def write_back(variables: list[Any], values: list[Any]) -> None:
    """Give variables their values, those that are known.

    Args:
        variables: List of Keras variables.
        values: List of arrays of their shapes, or None.
    """
    for variable, value in zip(variables, values, strict=False):
        if value is not None:
            variable.assign(value)


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
