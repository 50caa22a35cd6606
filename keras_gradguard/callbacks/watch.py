"""What the callbacks have in common: a recording that never hurts a run."""

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any
from typing import TypeVar
from typing import cast

import keras

from keras_gradguard import _backend
from keras_gradguard._text import count
from keras_gradguard._text import error_in_words
from keras_gradguard.callbacks.base import Callback
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import keras_private
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.measurements import Counts
from keras_gradguard.recording.measurements import GradientCounts
from keras_gradguard.recording.measurements import Measurement
from keras_gradguard.recording.step.time_gradients import TimeMeasurement
from keras_gradguard.trace.histogram import GradientHistogram

# What a recording delivers, and the method of a callback that takes it in.
TAKEN_BY = {
    Block: "on_block",
    Measurement: "on_measurement",
    Counts: "on_counts",
    GradientCounts: "on_unit_counts",
    GradientHistogram: "on_histogram",
    TimeMeasurement: "on_time_gradients",
}
_TELL_US = "Training goes on unwatched."
_Hook = TypeVar("_Hook", bound=Callable[..., None])


def undone_if_left(hook: _Hook) -> _Hook:
    """Leave the model as it was if an exception leaves a hook; a decorator.

    For the hook that starts the recording: what is seen of a `fit` being left
    begins behind it, and in a large model it takes a while.

    Args:
        hook: Method of a `WatchingCallback`.
    """

    @functools.wraps(hook)
    def run(self, *args, **kwargs):
        try:
            return hook(self, *args, **kwargs)
        except BaseException:
            if self._watch.recording is not None:
                self._watch.recording.abandon()
            raise

    return cast(_Hook, run)


class Watch:
    """Connects a callback to the recording of the model it trains.

    A failure inside it makes one warning, and the callback goes deaf; it never
    stops a training. If nothing could be recorded, a warning says so, with the
    reason.

    Args:
        owner: Name of the callback's class, for messages.
        callback: A `WatchingCallback`, with `_take(event)` and `on_left()`.

    Attributes:
        owner: Name of the callback's class.
        recording: The `Recording`, None outside of a fit.
        first_step: The optimizer's step when the fit began.
        armed: Whether records are still taken in.
        speaks: Whether this process tells what all processes know.
        reason: Why nothing was recorded, or None.
    """

    def __init__(self, owner, callback):
        self.recording: Any = None
        self.first_step = 0
        self.armed = False
        self.speaks = True
        self.owner = owner
        self.reason: Any = None
        self._callback = callback
        self._batches = 0
        # Keras may call from several threads.
        self._lock = threading.Lock()

    def start(self, recording, steps_per_epoch=None):
        """Begin to take in records.

        Args:
            recording: `Recording` of the model.
            steps_per_epoch: Batches of an epoch, if known.
        """
        self.recording = recording
        self.armed = True
        self.reason = None
        self.first_step = self._batches = 0
        self.guard(self._start, steps_per_epoch)

    def _start(self, steps_per_epoch):
        _backend.current().keep_collectives_apart(self._callback._model)
        self.recording.start(self, steps_per_epoch)
        self.first_step = self.recording.step
        if self.recording.reason is not None:
            self._tell_blind(self.recording.reason)

    def batch_end(self):
        """Count a batch, whoever trained on it."""
        with self._lock:
            self._batches += 1

    def epoch_begin(self):
        """Pass on that an epoch begins."""
        if self.armed:
            self.guard(self.recording.epoch_begin)

    def record_histograms(self):
        """Let steps count histograms of the gradients when asked to."""
        self.guard(self.recording.record_histograms)

    def look_through_time(self):
        """Let full steps measure gradients through time."""
        self.guard(self.recording.look_through_time)

    def ask_for_histogram(self):
        """Ask for the histograms of the next update's gradients.

        The callback's `on_histogram` gets them.
        """
        self.guard(self.recording.ask_for_histogram, self)

    @property
    def executions(self):
        """Executions of the train step so far."""
        return self.recording.executions

    @property
    def step(self):
        """The latest step of the optimizer, from 0."""
        return max(self.first_step, self.recording.step - 1)

    def guard(self, function, *arguments):
        """Run our own code; if it fails, say so once and go deaf.

        Args:
            function: What to call.
            *arguments: With what.
        """
        if not self.armed:
            return
        try:
            function(*arguments)
        except Exception as error:
            self.on_recording_failure(error)

    def check_records(self, ended=False):
        """Tell the user if steps ran and none of them was recorded.

        Args:
            ended: Bool. Whether no more steps come.
        """
        recording = self.recording
        if not self.armed or recording.reason is not None:
            return
        if not recording.executions:
            if self._batches:
                self._tell_blind(self._why_no_step())
        elif not recording.recorded and not recording.failed:
            # What failed was reported when it did.
            waits = recording.why_not_yet(self.first_step)
            if waits is None:
                self._tell_blind(recording.why_nothing())
            elif ended and self.reason is None:
                # No warning: a longer fit would have been recorded.
                self._note_reason(waits)

    def _why_no_step(self):
        return (
            f"the callback saw {count(self._batches, 'batch', 'batches')}, but "
            f"Keras's train step never ran: {self._callback.hint_for_loops}"
        )

    def finish(self, function):
        """Take in the rest, run `function`, let go of the model.

        Args:
            function: What the callback does at the end.
        """
        if self.recording is None:
            return
        self.guard(self.recording.flush)
        self.check_records(ended=True)
        self.guard(function)
        self._let_go()

    def _let_go(self):
        self.armed = False
        recording, self.recording = self.recording, None
        if recording is not None:
            recording.stop(self)

    # The recording calls these

    def on_left(self):
        """Let the callback finish: an exception has left the `fit`."""
        if self.armed and self.recording.reason is not None:
            # No warning: the user reads the exception itself.
            self._note_reason(self.recording.reason)
        trace = getattr(self._callback, "trace", None)
        if self.armed and trace is not None and self.recording.ended_by:
            trace.meta["ended_by"] = self.recording.ended_by
        self.guard(self._callback.on_left)
        self.armed = False
        self.recording = None

    def take(self, event):
        """Pass on what was recorded."""
        self.guard(self._callback._take, event)

    def on_part_failure(self, sentences):
        """Say that a part is recorded no more, and what goes on."""
        if self.armed:
            warnings.warn(
                f"{self.owner}: {sentences}", GradGuardWarning, stacklevel=2
            )

    def on_recording_failure(self, error):
        """Say that our code failed, once, and go deaf."""
        if not self.armed:
            return
        self.armed = False
        words = error_in_words(error)
        self._note_reason(f"recording failed at step {self.step}: {words}")
        warnings.warn(
            f"{self.owner}: recording failed with {words}. "
            f"{_TELL_US} This is a bug of keras-gradguard; please report it "
            "with this message.",
            GradGuardWarning,
            stacklevel=2,
        )

    def _note_reason(self, reason):
        self.reason = reason
        trace = getattr(self._callback, "trace", None)
        if trace is not None:
            trace.meta["not_recorded"] = reason

    def _tell_blind(self, reason):
        if self.reason is not None:
            return
        self._note_reason(reason)
        if not self.speaks:
            return
        warnings.warn(
            f"{self.owner}: no gradient can be recorded, because {reason}. "
            f"{_TELL_US}",
            GradGuardWarning,
            stacklevel=2,
        )


class WatchingCallback(Callback):
    """A callback that takes in what a recording delivers.

    It can be copied and pickled outside of a running fit: the copy takes along
    the arguments and what was found, but neither model nor open files.
    """

    # What to do where the user's own loop calls the callback.
    hint_for_loops = "use `with kgg.watch(model):` around your loop"
    _owner = "WatchingCallback"
    # What belongs to one fit and cannot be copied.
    _of_a_fit: tuple[str, ...] = ()

    def __init__(self):
        super().__init__()
        # Keras leaves None where a loop of one's own gives no parameters.
        self.params = {}
        # What a backend needs is imported now, and not by the first step.
        with contextlib.suppress(RuntimeError):  # `fit` tells
            _backend.current()
        self._watch = Watch(self._owner, self)

    def set_model(self, model: Any) -> None:
        # As Keras does: what torch trains in several processes wraps it.
        inner = getattr(model, "module", None)
        wrapped = isinstance(inner, keras.Model)
        super().set_model(inner if wrapped else model)

    @keras_private.called_beside_training
    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._watch.batch_end()
        super().on_train_batch_end(batch, logs)

    def _take(self, event: Any) -> None:
        """Take in what was recorded, if it is of a kind that this one takes.

        Args:
            event: One of `TAKEN_BY`.
        """
        method = getattr(self, TAKEN_BY[type(event)], None)
        if method is not None:
            method(event)

    def __getstate__(self):
        left_out = ("_watch", "_model", *self._of_a_fit)
        return {**self.__dict__, **dict.fromkeys(left_out)}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._watch = Watch(self._owner, self)

    def _let_go(self):
        """Let go of what belongs to the fit."""
        self.__dict__.update(dict.fromkeys(self._of_a_fit))
