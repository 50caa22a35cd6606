"""The loss of each batch in loops that are not `fit`.

What a loop of the user's own computes is not known. But `train_on_batch`, and
each step that asks the model for its loss, calls `compute_loss`, in front of
the optimizer's `apply`.
"""

from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.step.replicas import PerReplica


class LoopLoss:
    """Keeps what `compute_loss` gave until the step that it belongs to.

    Args:
        model: A Keras model, compiled or not.
        parts: `Parts` of the recording. The loss is one of them from the
            first one on that is seen.
        forward: `LoopForward`, which says when a pass of our own runs.
    """

    def __init__(self, model, parts, forward):
        self._forward = forward
        self._model = model
        self._parts = parts
        self._backend = _backend.current()
        self._loss = PerReplica()
        self._level: Any = None
        self._is_folded = False

    def attach(self, patches):
        """Patch the model.

        Args:
            patches: `Patches` that will undo it.
        """
        patches.replace(self._model, "compute_loss", self._make_compute_loss)

    def _make_compute_loss(self, original):
        def compute_loss(*args, **kwargs):
            loss = original(*args, **kwargs)
            # Keras says so of a validation's.
            if kwargs.get("training", True) and not self._forward.is_looking:
                self._parts.guard((LOSS,), self._keep, loss)
            return loss

        return compute_loss

    def _keep(self, loss):
        self._parts.wanted.add(LOSS)
        known = hasattr(loss, "dtype")
        self._loss.set(self._backend.detach(loss) if known else None)

    def begin(self, arguments, traced, xla):
        """Note in which trace the step runs that begins.

        Args:
            arguments: What the optimizer was called with.
            traced: Whether the step is being traced.
            xla: Whether XLA compiles it.
        """
        self._level = self._backend.level(arguments)
        # A TensorFlow graph folds a weighted loss into what Keras does next,
        # unless another reads it: then its last bits are others.
        graph = keras.backend.backend() == "tensorflow" and traced and not xla
        self._is_folded = graph and (
            keras_private.loss_weights(self._model) is not None
        )

    def end(self):
        """Let go of the loss: the next step has its own."""
        self._loss.set(None)
        self._level = None

    def of_step(self):
        """The loss of the present step on this replica, None if not known."""
        loss = self._loss.get()
        if loss is None or self._is_folded:
            return None
        if not self._backend.at_level(loss, self._level):
            return None
        loss = ops.cast(loss, "float32")
        loss = self._backend.over_processes(self._model, loss)
        # Keras divides it, so that the gradients add up.
        return loss * max(1, self._backend.replicas())
