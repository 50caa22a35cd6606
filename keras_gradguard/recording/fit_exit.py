"""Noticing that `fit` is left by an exception.

`fit` tells its callbacks nothing of an exception, and a notebook keeps the
exception, and with it every object that `fit` held. So nothing may wait for
the garbage collector. What an exception passes on its way out is watched
instead: the callbacks' hooks, the loop over the batches, the validation and,
on JAX, the `finally` of `fit`. The few lines of `fit` between them are left
to the next call that wants to train the model.
"""

import contextlib
import sys
import types
import weakref
from typing import Any

from keras_gradguard.models import keras_private
from keras_gradguard.models.patches import Patches

_LIST_METHODS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_train_end",
)


class FitExit:
    """Calls back once, when the running `fit` is left by an exception.

    Args:
        left: Called when an exception leaves the `fit`, or when it turns out
            that one did.
        freed: Called when the list of callbacks is freed.

    Attributes:
        data_ended: Set it when the data set ran out: the loop is left then,
            without an exception.
    """

    def __init__(self, left, freed):
        self.data_ended = False
        self._left = left
        self._freed = freed
        self._model: Any = None
        self._list: Any = None
        self._finalizer: Any = None
        self._patches = Patches()
        # A frame must not be kept: it holds all that `fit` holds.
        self._frame_id: Any = None
        self._outer_error: Any = None

    def watch(self, model):
        """Begin. To be called from a hook of a callback, safe to repeat.

        Args:
            model: The model that is trained.
        """
        if self._finalizer is not None:
            return
        callback_list, frame = calling_list()
        if callback_list is None:
            return
        self._model = weakref.ref(model)
        self._finalizer = weakref.finalize(callback_list, self._freed)
        self._finalizer.atexit = False
        # Only weak references: the list must be freed when `fit` is left.
        self._list = weakref.ref(callback_list)
        for name in _LIST_METHODS:
            function = getattr(type(callback_list), name, None)
            if function is not None and name not in callback_list.__dict__:
                hook = self._guarded_hook(self._list, function)
                callback_list.__dict__[name] = hook
        iterator = keras_private.epoch_iterator(frame)
        if iterator is None:
            return  # the user drives the callbacks
        self._frame_id = id(frame)
        _guard_loop(iterator, self)
        self._patches.replace(model, "evaluate", self._guarded_evaluate)
        self._patches.replace(model, "make_train_function", self._make_check)
        error = sys.exc_info()[1]
        self._outer_error = None if error is None else id(error)
        if hasattr(model.optimizer, "finalize_variable_values"):
            self._patches.replace(
                model.optimizer, "finalize_variable_values", self._make_finalize
            )

    @property
    def watches(self):
        """Whether it looks at the callbacks of the `fit` that runs here."""
        if self._finalizer is None:
            return False
        if calling_list()[0] is self._list():
            return True
        return self._frame_id is not None and self._is_running()

    @property
    def error(self):
        """The exception that is being handled in the `fit`, or None."""
        error = sys.exc_info()[1]
        return None if id(error) == self._outer_error else error

    def _is_running(self):
        """Whether `fit` is still on the stack of some thread."""
        for top in list(sys._current_frames().values()):
            frame: types.FrameType | None = top
            while frame is not None:
                if id(frame) == self._frame_id:
                    return True
                frame = frame.f_back
        return False

    def _guarded_hook(self, reference, function):
        def hook(*args, **kwargs):
            try:
                return function(reference(), *args, **kwargs)
            except BaseException:
                self._left()
                raise

        return hook

    def _guarded_evaluate(self, original):
        def evaluate(*args, **kwargs):
            # A callback may evaluate, too, and catch what that raises.
            of_fit = id(sys._getframe(1)) == self._frame_id
            try:
                return original(*args, **kwargs)
            except BaseException:
                if of_fit:
                    self._left()
                raise

        return evaluate

    def _make_finalize(self, original):
        def finalize_variable_values(*args, **kwargs):
            # Keras on JAX calls it in a `finally`.
            error = sys.exc_info()[1]
            of_fit = id(sys._getframe(1)) == self._frame_id
            if of_fit and error is not None and id(error) != self._outer_error:
                self._left()
            return original(*args, **kwargs)

        return finalize_variable_values

    def _make_check(self, original):
        def make_train_function(*args, **kwargs):
            # Each `fit` calls it before it reads anything of the optimizer.
            if not self._is_running():
                model = self._model()
                self._left()
                return model.make_train_function(*args, **kwargs)
            return original(*args, **kwargs)

        return make_train_function

    def loop_left(self):
        """Take note that the loop over the batches ended before its data."""
        model = None if self._model is None else self._model()
        ended, self.data_ended = self.data_ended, False
        if ended or model is None or model.stop_training:
            return
        self._left()

    def stop(self):
        """Leave callbacks and model as they were. Safe to repeat."""
        self._patches.undo()
        self._frame_id = None
        if self._finalizer is None:
            return
        self._finalizer.detach()
        callback_list = self._list()
        if callback_list is not None:
            for name in _LIST_METHODS:
                callback_list.__dict__.pop(name, None)
        self._finalizer = None


class _Loop:
    """The batches of an epoch; knows when the loop over them is left.

    The `for` of `fit` holds the only reference to it. It is dropped when the
    loop is left, by whatever, while an exception keeps the variables of `fit`
    alive.
    """

    def __init__(self, batches, fit_exit):
        self._batches = batches
        self._exit = fit_exit

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self._batches)
        except StopIteration:
            self._exit = None
            raise
        except BaseException:
            self._leave()
            raise

    def _leave(self):
        fit_exit, self._exit = self._exit, None
        if fit_exit is not None:
            fit_exit.loop_left()

    def __del__(self):
        with contextlib.suppress(Exception):
            self._leave()


def _guard_loop(iterator, fit_exit):
    """Let every loop over an epoch iterator be a `_Loop`."""
    base = type(iterator)
    if getattr(base, "guarded_by", None) is fit_exit:
        return

    class Guarded(base):  # type: ignore[misc, valid-type]
        guarded_by = fit_exit

        def __iter__(self):
            return _Loop(base.__iter__(self), fit_exit)

    Guarded.__name__ = base.__name__
    Guarded.__qualname__ = base.__qualname__
    with contextlib.suppress(TypeError):  # not of a class of Keras's
        iterator.__class__ = Guarded


def calling_list():
    """The `CallbackList` whose hook is being called, and who calls it.

    Returns:
        `(callback_list, frame)`, or `(None, None)`.
    """
    frame: Any = sys._getframe(1)
    for _ in range(16):
        if frame is None:
            break
        owner = frame.f_locals.get("self")
        frame = frame.f_back
        if type(owner).__name__ == "CallbackList":
            while frame is not None and frame.f_code.co_filename == __file__:
                frame = frame.f_back  # a guarded hook
            return owner, frame
    return None, None


def fit_frame():
    """Frame of the `fit` that is calling a hook, or None."""
    return calling_list()[1]
