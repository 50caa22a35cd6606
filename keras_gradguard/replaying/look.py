"""Runs one step operation by operation, with the state before it."""

from typing import Any

import keras
from keras import tree

from keras_gradguard import _backend
from keras_gradguard.models import optimizers
from keras_gradguard.models.patches import Patches
from keras_gradguard.replaying.labels import Labels
from keras_gradguard.replaying.rerun import as_fed


def operations_of(model: Any, labels: Labels, data: Any) -> Any:
    """Run the train step of a model on a batch, operation by operation.

    The optimizer is called, and changes nothing.

    Args:
        model: A compiled Keras model, in the state before the step.
        labels: Its `Labels`.
        data: Structure of arrays.

    Returns:
        A `Step` of the backend.
    """
    # NaN of the steps before would stay in its means.
    model.reset_metrics()
    gradients: list[Any] = []

    def step(state: Any, batch: Any) -> Any:
        gradients.clear()
        labels.loss.clear()
        if state is None:
            model.train_step(batch)
            # What the logs say has been through a variable.
            return list(labels.loss), list(gradients)
        logs, _ = model.train_step(state, batch)
        # The loss itself cannot leave the trace that is differentiated.
        loss = logs.get("loss") if isinstance(logs, dict) else None
        return [] if loss is None else [loss], list(gradients)

    batch = tree.map_structure(_as_tensor, as_fed(data))
    with labels, _Stopped(model, gradients):
        return _backend.current().operations(step, _state(model), batch)


def _as_tensor(value):
    return None if value is None else keras.ops.convert_to_tensor(value)


def _state(model):
    if not hasattr(model, "jax_state_sync"):
        return None
    return tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )


class _Stopped:
    """Has the optimizers of a model take gradients, and do nothing.

    Args:
        model: A compiled Keras model.
        gradients: List to append them to.
    """

    def __init__(self, model, gradients):
        self._optimizers = optimizers.all_of(model)
        self._gradients = gradients
        self._patches = Patches()

    def __enter__(self):
        for optimizer in self._optimizers:
            self._patches.replace(optimizer, "apply", self._applied)
            if hasattr(optimizer, "stateless_apply"):
                self._patches.replace(
                    optimizer, "stateless_apply", self._applied_stateless
                )
        return self

    def __exit__(self, *_):
        self._patches.undo()

    def _applied(self, original):
        def apply(grads, trainable_variables=None):
            self._gradients += [g for g in grads if g is not None]

        return apply

    def _applied_stateless(self, original):
        def stateless_apply(optimizer_variables, grads, trainable_variables):
            self._gradients += [g for g in grads if g is not None]
            return trainable_variables, optimizer_variables

        return stateless_apply
