"""JAX: functions that are compiled while something else runs."""

import threading
from typing import Any

from keras_gradguard._backend import freed


class Ahead:
    """A function that a thread compiles; XLA does not need Python for it.

    Args:
        function: What `jax.jit` returned.
        traced: What its `trace` returned.
    """

    def __init__(self, function, traced):
        self._function = function
        self._lowered = traced.lower()
        self._error: Any = None
        # No daemon: a program that ends meanwhile waits, and does not crash.
        self._thread = threading.Thread(target=self._compile)
        self._thread.start()

    def _compile(self):
        try:
            # JAX keeps what it compiled, also for calls of the function.
            self._lowered.compile()
        except Exception as error:
            self._error = error

    def __call__(self, *arguments):
        """Call the function, once it is compiled."""
        self._thread.join()
        if self._lowered is not None:
            self._lowered = None
            # A thread has an arena of its own for what it allocates, and
            # XLA frees tens of mebibytes there that no other one takes.
            freed.give_back()
        if self._error is not None:
            raise self._error
        return self._function(*arguments)


def compile_ahead(function, *arguments):
    return Ahead(function, function.trace(*arguments))
