"""Noticing that `fit` is left by an exception.

`fit` tells its callbacks nothing of an exception. It owns the list of
callbacks, though: an exception inside a callback passes through that list,
and any other frees it.
"""

import sys
import weakref
from typing import Any

_LIST_METHODS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


class FitExit:
    """Calls back once, when the running `fit` is left by an exception.

    Args:
        in_callback: Called when an exception passes through a callback.
        freed: Called when the list of callbacks is freed.
    """

    def __init__(self, in_callback, freed):
        self._in_callback = in_callback
        self._freed = freed
        self._list: Any = None
        self._finalizer: Any = None

    def watch(self):
        """Begin. To be called from a hook of a callback, safe to repeat."""
        if self._finalizer is not None:
            return
        callback_list = _calling_list()
        if callback_list is None:
            return
        self._finalizer = weakref.finalize(callback_list, self._freed)
        self._finalizer.atexit = False
        # Only weak references: the list must be freed when `fit` is left.
        self._list = weakref.ref(callback_list)
        for name in _LIST_METHODS:
            function = getattr(type(callback_list), name, None)
            if function is not None and name not in callback_list.__dict__:
                hook = self._guarded(self._list, function)
                callback_list.__dict__[name] = hook

    def _guarded(self, reference, function):
        def hook(*args, **kwargs):
            try:
                return function(reference(), *args, **kwargs)
            except BaseException:
                self._in_callback()
                raise

        return hook

    def stop(self):
        """Leave the list of callbacks as it was. Safe to repeat."""
        if self._finalizer is None:
            return
        self._finalizer.detach()
        self._finalizer = None
        callback_list = self._list()
        if callback_list is not None:
            for name in _LIST_METHODS:
                callback_list.__dict__.pop(name, None)


def _calling_list():
    """The `CallbackList` whose hook is being called, or None."""
    frame: Any = sys._getframe(1)
    for _ in range(12):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if type(owner).__name__ == "CallbackList":
            return owner
        frame = frame.f_back
    return None
