"""The updates that an `AutoClip` clips or skips."""

from typing import Any

import keras

from keras_gradguard import _backend
from keras_gradguard.recording.step.replicas import PerReplica


class ClipTap:
    """Lets the tap of a leaf optimizer know what an `AutoClip` does to it.

    `AutoClip` does not call its inner optimizer for a skipped update, so the
    tap there does not see it. The tap's ring is written instead where the
    skip is counted, which is the branch that is taken then. It is the
    `ClipObserver` of the optimizer.

    Args:
        optimizer: The `AutoClip`.
        tap: `GradientTap` of the leaf below it.
    """

    def __init__(self, optimizer, tap):
        self.optimizer = optimizer
        self.tap = tap
        self._grads = PerReplica()
        self._variables = None
        self._observed: Any = None

    def attach(self, patches):
        """Begin to observe the optimizer.

        Args:
            patches: `Patches` that will end it.
        """
        self._observed = self.optimizer._observe(self)
        patches.add_undo(lambda: self.optimizer._observe(None))
        self.tap.clip_step = self._observed
        self.tap.find_skipped = self._find_skipped

    def begins(self, gradients, variables):
        """An `apply` begins, see `ClipObserver`."""
        self._grads.set(gradients)
        self._variables = variables

    def skips(self):
        """The update is left out, see `ClipObserver`."""
        if self._observed.leaves_out and not self._writes_both():
            # It is called where the replicas meet.
            _backend.current().on_each_replica(self._record_skipped)

    def _record_skipped(self):
        scale = self.tap.optimizer.loss_scale_factor or 1.0
        self.tap.record_skipped(self._grads.get(), scale, self._variables)

    def _writes_both(self):
        """Whether the ring would get a record of the update and of the skip.

        So it would where both sides run before one is chosen, but for JAX,
        where the ring is among the variables that are chosen.
        """
        both = self._observed.runs_both_sides
        return both and keras.backend.backend() != "jax"

    def _find_skipped(self):
        return self._writes_both() and ~self._observed.is_applied
