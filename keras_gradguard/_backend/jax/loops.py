"""JAX: recording in loops of the user's own.

Such a loop carries the optimizer's state itself, and it would have to carry
a ring, too. So records are sent to the host as they come.
"""

import functools
import gc
import sys
import threading
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard._backend.jax.values import detach
from keras_gradguard._backend.jax.values import read
from keras_gradguard._backend.jax.values import to_numpy

_RING_BYTES = 8 << 20


class _HostRing:
    """The last records of an optimizer, kept by the host.

    Args:
        rows: Not used: the host has room for more.
        columns: Number of values of a record.
        optimizer: Keras optimizer that is recorded.
        name: Not used.
    """

    def __init__(self, rows, columns, optimizer, name):
        del rows, name
        width = ring_layout.HEAD + columns
        self.rows = int(np.clip(_RING_BYTES // (8 * width), 64, 4096))
        self.variables = []
        # Called when a record is complete, by a thread of JAX's.
        self.on_record = lambda: None
        self.counter: Any = None  # of the optimizer's batches, a variable
        self._optimizer = optimizer
        self._store = np.zeros((self.rows + 1, width))
        self._cursor = 0
        self._row_of, self._amended = {}, {}
        self._lock = threading.RLock()

    def write(self, iterations, flag, values):
        """Send a record to the host.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float array of shape `(columns,)`.
        """
        step = jnp.asarray(iterations, "int32")
        jax.debug.callback(
            self._append, step, jnp.asarray(flag), values, self._updates()
        )

    def amend(self, first, values, where, step):
        """Send columns of the record of a step after it.

        Args:
            first: First column.
            values: Float array of shape `(k,)`.
            where: Bool or bool scalar: whether to.
            step: Integer scalar, the step of the record.
        """

        def put(values, where, step):
            if where:
                self._amend(int(step), first, np.asarray(values))
            self.on_record()

        jax.debug.callback(put, values, jnp.asarray(where), step)

    def _updates(self):
        """Whether the gradients are used: not between micro-batches."""
        steps = self._optimizer.gradient_accumulation_steps
        if not steps:
            return jnp.asarray(True)
        micro = jnp.asarray(self.counter.value)
        return (micro + 1) % steps == 0

    def _append(self, step, flag, values, updates):
        if not updates:
            return
        with self._lock:
            step, row = int(step), self._cursor % self.rows
            record = self._store[row]
            record[:3] = *divmod(step, ring_layout.BASE), int(flag)
            record[ring_layout.HEAD :] = np.asarray(values)
            self._row_of[step] = row
            self._cursor += 1
            if step in self._amended:
                self._amend(step, *self._amended.pop(step))
            if len(self._row_of) > 2 * self.rows:
                kept = list(self._row_of.items())[-self.rows :]
                self._row_of, self._amended = dict(kept), {}

    def _amend(self, step, first, values):
        with self._lock:
            row = self._row_of.get(step)
            if row is None:
                self._amended[step] = first, values
                return
            start = ring_layout.HEAD + first
            self._store[row, start : start + len(values)] = values

    def snapshot(self, state=None):
        del state
        with self._lock:
            store = self._store.copy()
            store[self.rows, 0] = self._cursor % ring_layout.wrap(self.rows)
        return store


def loop_ring(rows, columns, optimizer, name):
    return _HostRing(rows, columns, optimizer, name)


def wait_for_records():
    jax.effects_barrier()


def traced_by(arguments):
    leaves = jax.tree_util.tree_leaves(arguments)
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    return traced, traced, None


def count_calls(function, begins, ended, patches):
    """Records come by themselves."""


def is_eager():
    # A gradient's trace shows its values; those of `jit` are left out.
    return True


def is_traced(variables):
    # Where only a gradient is taken, the values are there.
    return notes_gradients(variables) and any(
        isinstance(detach(v.value), jax.core.Tracer) for v in variables
    )


def notes_gradients(variables):
    return any(isinstance(v.value, jax.core.Tracer) for v in variables)


def arguments_now(function):
    del function
    return (), {}


def compile_anew(patches):
    for function in _being_traced():
        patches.add_undo(function.clear_cache)


def _being_traced():
    """Set of what `jax.jit` returned for a function that is on the stack."""
    codes = set()
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        codes.add(frame.f_code)
        frame = frame.f_back
    # The stack shows what is compiled, and not by whom.
    return {
        item
        for item in gc.get_objects()
        if type(item) is _FUNCTION and _code_of(item) in codes
    }


def _code_of(function):
    inner = getattr(function, "__wrapped__", None)
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)  # a method's
    return getattr(inner, "__code__", None)


_FUNCTION = type(jax.jit(lambda: None))


def value_now(variable):
    return to_numpy(read(variable))
