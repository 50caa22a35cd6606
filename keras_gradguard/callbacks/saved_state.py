"""One copy of a model's weights and of its optimizer's state, on the host."""

from typing import Any

from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.models.values import host_copy
from keras_gradguard.models.values import is_finite


class SavedState:
    """What a training can go back to.

    Counters of steps and seeds of random layers are no part of it: they go on.

    Args:
        model: A compiled Keras model, its state synced.
        left_out: Set of ids of optimizer variables that are none of its own.
    """

    def __init__(self, model: Any, left_out: set[int]) -> None:
        counters = [
            keras_private.counter(member)
            for member in optimizers.leaves(model.optimizer)
        ]
        left_out = left_out | {id(v) for v in counters}
        self._values = [
            (variable, host_copy(variable))
            for variable in [*model.weights, *model.optimizer.variables]
            if id(variable) not in left_out
        ]

    def is_finite(self) -> bool:
        """Whether no weight and no state is NaN or infinite."""
        return is_finite(value for _, value in self._values)

    def restore(self) -> None:
        """Write it back."""
        for variable, value in self._values:
            variable.assign(value)


def learning_rates(model: Any) -> list:
    """Return the variables that hold the learning rates of a model.

    Args:
        model: A compiled Keras model.

    Returns:
        List of variables; empty where a schedule sets a rate.
    """
    rates = [
        keras_private.rate(leaf) for leaf in optimizers.leaves(model.optimizer)
    ]
    return [rate for rate in rates if hasattr(rate, "assign")]


def is_between_updates(model: Any) -> bool:
    """Whether no micro-batch waits to be accumulated.

    Args:
        model: A compiled Keras model, its state synced.
    """
    for leaf in optimizers.leaves(model.optimizer):
        steps = getattr(leaf, "gradient_accumulation_steps", None) or 1
        if int(host_copy(keras_private.counter(leaf))) % steps:
            return False
    return True
