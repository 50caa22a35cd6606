"""What a model shows in loops that are not `fit`, in front of each step."""

import contextlib

from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.step.activations import ForwardTap
from keras_gradguard.recording.step.gradients import Mode

_SHOWN = ACTIVATIONS, DATA


class LoopTap(ForwardTap):
    """Measures what is called between `open` and `close`.

    Args:
        model: A Keras model.
        parts: `Parts` of the recording.
    """

    def __init__(self, model, parts):
        super().__init__(model, parts, False)

    def open(self):
        """Measure what is called from now on, until `close`."""
        begin = self._gathering.begin
        self._parts.guard(_SHOWN, begin, Mode.FULL, False, ())

    @property
    def is_open(self):
        """Whether what is called now is measured."""
        return self._gathering.here.seen is not None

    @contextlib.contextmanager
    def paused(self):
        """Look at nothing in this context."""
        here = self._gathering.here
        kept = here.seen, here.mode
        here.seen, here.mode = None, Mode.OFF
        try:
            yield
        finally:
            here.seen, here.mode = kept

    def note_outputs(self, outputs):
        """Note what the model gave, though no loss may tell.

        Args:
            outputs: What it returned.
        """
        self._gathering.note_model_outputs(outputs)

    def close(self, step):
        """Measure nothing more.

        Args:
            step: The optimizer's step that what was called belongs to.

        Returns:
            A `Measurement`, None if nothing was called since `open`.
        """
        try:
            if not self.is_open or not self._parts.work(*_SHOWN):
                return None
            gathered = self._gathering.gathered()
            if not gathered["seen"] and not gathered["batch"]:
                return None
            return self.measurement((step, self._packed_now(gathered)))
        finally:
            self._gathering.end()

    def drop(self):
        """Forget what was called since `open`."""
        self._gathering.end()
