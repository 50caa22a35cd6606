"""The updates that an `AutoClip` clips or skips."""

import keras

from keras_gradguard import _backend
from keras_gradguard.recording.step.replicas import PerReplica


class ClipTap:
    """Lets the tap of a leaf optimizer know what an `AutoClip` does to it.

    `AutoClip` does not call its inner optimizer for a skipped update, so the
    tap there does not see it. The tap's ring is written instead where the
    skip is counted, which is the branch that is taken then.

    Args:
        optimizer: The `AutoClip`.
        tap: `GradientTap` of the leaf below it.
    """

    def __init__(self, optimizer, tap):
        self.optimizer = optimizer
        self.tap = tap
        self._grads = PerReplica()
        self._variables = None

    def attach(self, patches):
        """Patch the optimizer.

        Args:
            patches: `Patches` that will undo it.
        """
        self.tap.clip_step = self.optimizer._clip_step
        self.tap.find_skipped = self._find_skipped
        guard = self.optimizer._guard
        patches.replace(self.optimizer, "apply", self._make_apply)
        patches.replace(guard, "_count", self._make_count)

    def _make_apply(self, original):
        def apply(grads, trainable_variables=None):
            self._grads.set(list(grads))
            self._variables = trainable_variables
            return original(grads, trainable_variables)

        return apply

    def _make_count(self, original):
        def _count():
            guard = self.optimizer._guard
            if guard.policy == "skip" and not self._writes_both():
                # It is called where the replicas meet.
                _backend.current().on_each_replica(self._record_skipped)
            return original()

        return _count

    def _record_skipped(self):
        scale = self.tap.optimizer.loss_scale_factor or 1.0
        self.tap.record_skipped(self._grads.get(), scale, self._variables)

    def _writes_both(self):
        """Whether the ring would get a record of the update and of the skip.

        So it would where both sides run before one is chosen, but for JAX,
        where the ring is among the variables that are chosen.
        """
        both = self.optimizer._guard.runs_both_sides
        return both and keras.backend.backend() != "jax"

    def _find_skipped(self):
        return self._writes_both() and ~self.optimizer._guard.is_finite
