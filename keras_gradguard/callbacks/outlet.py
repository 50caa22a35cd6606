"""Who of several processes and callbacks writes a run, and who speaks."""

import sys
import types
import warnings
import weakref

from keras_gradguard import _backend
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.reporting.claim import Claim
from keras_gradguard.reporting.claim import Taken
from keras_gradguard.reporting.claim import prepare
from keras_gradguard.reporting.reporter import Guarded


class Outlet:
    """What a callback may print and write.

    Processes that train one model together have one voice, that of the first:
    it prints and writes, and the others keep their (equal) trace in memory. A
    directory has one writer; a second one gets a warning, once per fit.

    Args:
        owner: Name of the callback's class.
        defers_to: Name of a callback that writes all that this one would. If
            it writes the directory in the same fit, nothing is said.

    Attributes:
        index: Place of this process among those that train together.
        processes: How many these are.
    """

    def __init__(self, owner, defers_to=None):
        self._owner = owner
        self._defers_to = defers_to
        self._claim = None
        self._writers = []
        self.index, self.processes = 0, 1

    def __getstate__(self):
        # Copies have the arguments, no open files and no claim on them.
        return {**self.__dict__, "_claim": None, "_writers": []}

    @property
    def is_chief(self):
        """Whether this process writes and speaks for all."""
        return self.index == 0

    @property
    def is_alone(self):
        """Whether no other process trains the same model."""
        return self.processes == 1

    def begin(self, model):
        """Note who this process is; let go of an earlier fit's directory.

        Args:
            model: The model that is about to train.
        """
        self._drop()
        self.index, self.processes = _backend.current().process(model)

    def open(self, log_dir, watch, fit, writers, spare=()):
        """Begin to write a directory, if it is ours to write.

        Args:
            log_dir: Str or path, or None.
            watch: `Watch` of the callback, which knows whether it listens.
            fit: Object that stands for the fit, the same for all callbacks.
            writers: Classes that take the directory.
            spare: Those of them that are left out, with a warning, where a
                package that they need is not installed.

        Returns:
            List of `Guarded` writers; empty if nothing is to be written.

        Raises:
            ImportError: If a writer needs a package that is not installed.
            OSError: If the directory cannot be written.
        """
        if log_dir is None or not self.is_chief:
            return []
        drop = weakref.WeakMethod(self._drop)
        try:
            self._claim = Claim(
                prepare(log_dir), self._owner, fit, _still_runs(watch), drop
            )
        except Taken as taken:
            same_fit = taken.fit is fit and taken.owner == self._defers_to
            if not same_fit:
                self._tell_taken(log_dir, taken)
            return []
        except OSError:
            pass  # the writers know what to say
        try:
            for writer in writers:
                try:
                    self._writers.append(Guarded(writer(log_dir)))
                except ImportError as error:
                    if writer not in spare:
                        raise
                    self._tell_left_out(log_dir, error)
        except BaseException:
            self._drop()
            raise
        return list(self._writers)

    def close(self):
        """Let others write the directory. Safe to repeat."""
        claim, self._claim = self._claim, None
        self._writers = []
        if claim is not None:
            claim.release()

    def _drop(self):
        """Close what a fit left open that did not come to its end."""
        for writer in self._writers:
            writer.abandon()
        self.close()

    def _tell_left_out(self, log_dir, error):
        warnings.warn(
            f"{error}, for TensorBoard's events. All else is written to "
            f"{str(log_dir)!r}: trace, findings and tables.",
            GradGuardWarning,
            stacklevel=4,
        )

    def _tell_taken(self, log_dir, taken):
        warnings.warn(
            f"{self._owner}: `log_dir` must be a directory that nobody else "
            f"writes. Received: log_dir={str(log_dir)!r}, which {taken}. "
            "Nothing of this run is written, its trace is complete in "
            "memory. Choose another directory for it.",
            GradGuardWarning,
            stacklevel=4,
        )


def _still_runs(watch):
    """A function that tells whether a fit that begins now still runs.

    An interrupted `fit` tells nobody. Its list of callbacks may live on in a
    traceback, but in no frame that runs.
    """
    watch = weakref.ref(watch)
    callbacks = None
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and callbacks is None:
        owner = frame.f_locals.get("self")
        if type(owner).__name__ == "CallbackList":
            callbacks = weakref.ref(owner)
        frame = frame.f_back

    def runs():
        if watch() is None or not watch().armed:
            return False
        return callbacks is None or _in_a_frame(callbacks())

    return runs


def _in_a_frame(wanted):
    if wanted is None:
        return False
    for top in sys._current_frames().values():
        frame: types.FrameType | None = top
        while frame is not None:
            values = list(frame.f_locals.values())
            own = frame.f_code is _in_a_frame.__code__
            if not own and any(value is wanted for value in values):
                return True
            frame = frame.f_back
    return False
