"""The steps that a `LossScaleOptimizer` skips."""

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.recording.step.replicas import PerReplica


class LossScaleTap:
    """Records the updates that a `LossScaleOptimizer` skips.

    It does not call its inner optimizer for them, so the tap there does not
    see them. The tap's own rings are written instead, in the branch that
    Keras takes for gradients that are not finite.

    Args:
        optimizer: The `LossScaleOptimizer`.
        tap: `GradientTap` of the leaf below it.
    """

    def __init__(self, optimizer, tap):
        self.optimizer = optimizer
        self.tap = tap
        self._grads = PerReplica()

    def attach(self, patches):
        """Patch the optimizer.

        Args:
            patches: `Patches` that will undo it.
        """
        if keras.backend.backend() == "jax":
            patches.replace(
                self.optimizer, "stateless_apply", self._make_stateless_apply
            )
            make = self._make_stateless_handler
        else:
            patches.replace(self.optimizer, "apply", self._make_apply)
            make = self._make_handler
        keras_private.replace_skipping(self.optimizer, make, patches)

    def _make_apply(self, original):
        def apply(grads, trainable_variables=None):
            self._grads.set(list(grads))
            return original(grads, trainable_variables=trainable_variables)

        return apply

    def _make_handler(self, original):
        def skip():
            # Keras calls it where the replicas meet.
            _backend.current().on_each_replica(self._record_skipped)
            return original()

        return skip

    def _record_skipped(self):
        scale = ops.convert_to_tensor(self.optimizer.dynamic_scale)
        self.tap.record_skipped(self._grads.get(), scale)

    def _make_stateless_apply(self, original):
        def stateless_apply(optimizer_variables, grads, trainable_variables):
            self._grads.set(list(grads))
            return original(optimizer_variables, grads, trainable_variables)

        return stateless_apply

    def _make_stateless_handler(self, original):
        def skip(optimizer_variables, trainable_variables):
            trainable, updated = original(
                optimizer_variables, trainable_variables
            )
            variables = self.optimizer.variables
            scale = optimizer_variables[
                _position(variables, self.optimizer.dynamic_scale)
            ]
            updated = _backend.current().in_stateless_scope(
                variables,
                updated,
                lambda: self.tap.record_skipped(self._grads.get(), scale),
            )
            return trainable, updated

        return skip


def _position(variables, wanted):
    return next(i for i, v in enumerate(variables) if v is wanted)
