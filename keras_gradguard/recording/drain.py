"""Brings what the rings hold to the host, as blocks."""

import dataclasses
import time

from keras_gradguard import _backend
from keras_gradguard._backend import ring_layout
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.parts import GRADIENTS
from keras_gradguard.recording.parts import WEIGHTS
from keras_gradguard.recording.ring_parts import read_part
from keras_gradguard.recording.ring_parts import unread_part

# Executions between two drains where no gradients are recorded.
_LONGEST_PERIOD = 256
# Where steps are slow, records are not kept waiting longer than that.
_SECONDS = 1.0
# Several processes have to read at the same steps, so they do not go by their
# clocks: records wait for this share of the run so far.
_SHARE_OF_RUN = 8
_SHORTEST_PERIOD = 8
# From here on records are wanted each time a run has doubled: what is plain at
# once, as NaN, is told of a short plan while it is young.
_FIRST_PROMPT = 4


class RingDrain:
    """Copies the rings of all optimizers on the device, reads them later.

    A copy is read when the next one is made: by then it has arrived, and
    nothing waits.

    Args:
        taps: List of `GradientTap`.
        parts: `Parts` of the recording.
        updates: `Updates` that are measured outside of the rings, or None.
        numbered: Bool. Whether records are numbered by the steps that
            `note_steps` tells, since each optimizer counts for itself.
        by_clock: Bool. Whether the time that passes decides how long records
            wait, too.
        wanted: Iterable of int. Executions after which the records are wanted
            at once.
    """

    def __init__(self, taps, parts, updates, numbered, by_clock, wanted):
        self._taps = taps
        self._parts = parts
        self._updates = updates
        self._numbered = numbered
        self._backend = _backend.current()
        self._read = [0] * len(taps)
        self._guard(GRADIENTS, self._skip_earlier)
        self._read_before = sum(self._read)
        self._pending = None
        self._numbers, self._pending_numbers = [], None
        self._taken = []
        self._waiting, self._window = 0, 0
        self._period = _SHORTEST_PERIOD
        self._by_clock = by_clock
        self._executions = 0
        self._wanted = frozenset(wanted)
        self._drained_at = time.monotonic()

    @property
    def recorded(self):
        """Records read so far."""
        return sum(self._read) - self._read_before

    @property
    def is_due(self):
        """Whether it is time to copy the rings."""
        return self._waiting >= self._period or self.is_prompt

    @property
    def is_prompt(self):
        """Whether the present records are wanted now, not with the next copy.

        So it is each time the run has doubled. What shows in the first steps
        is then known while the run is young, and there are few such waits.
        """
        done = self._executions
        doubled = done >= _FIRST_PROMPT and done & (done - 1) == 0
        return self._waiting > 0 and (doubled or done in self._wanted)

    def note_execution(self):
        """Note that an execution left something to read."""
        self._waiting += 1
        self._executions += 1

    def note_steps(self, steps):
        """Note the steps of an execution that recorded."""
        if self._numbered:
            self._numbers += steps

    def copy(self, state):
        """Begin to copy the rings to the host.

        Args:
            state: Map from `id(variable)` to its array, or None if the
                variables hold their values.
        """
        self._window, self._waiting = self._waiting, 0
        if self._numbered:
            self._pending_numbers, self._numbers = self._numbers, []
        self._pending = self._guard(GRADIENTS, self._snapshots, state)
        if self._updates is not None:
            self._taken += self._updates.take()

    def read(self, make_table):
        """Read the latest copy.

        Args:
            make_table: Function that returns the model's `LayerTable`.

        Yields:
            A `Block` of its records, if there are any.
        """
        parts = self._guard(GRADIENTS, self._read_rings)
        if parts is None:
            parts = [unread_part(tap) for tap in self._taps]
        taken, self._taken = self._taken, []
        if taken:
            found = self._guard(WEIGHTS, self._updates.read, taken) or {}
            for i, tap in enumerate(self._taps):
                if id(tap) in found:
                    steps, norms = found[id(tap)]
                    parts[i] = dataclasses.replace(
                        parts[i], update_steps=steps, updates=norms
                    )
        if any(len(p.steps) or len(p.update_steps) for p in parts):
            parts = [p for p in parts if p.is_known]
            yield Block.merge(parts, make_table())

    def _guard(self, part, function, *arguments):
        return self._parts.guard((part,), function, *arguments)

    def _snapshots(self, state):
        return [
            None
            if tap.records.ring is None
            else tap.records.ring.snapshot(state)
            for tap in self._taps
        ]

    def _read_rings(self):
        """A `Part` of each tap; None where nothing was copied."""
        pending, self._pending = self._pending, None
        parts, filled = [], 0.0
        for i, tap in enumerate(self._taps):
            store = None if pending is None else pending[i]
            if store is None:
                parts.append(unread_part(tap))
                continue
            store = self._backend.to_numpy(store)
            part, cursor = read_part(
                tap, store, self._read[i], self._pending_numbers
            )
            filled = max(
                filled, (cursor - self._read[i]) / tap.records.ring.rows
            )
            self._read[i] = cursor
            parts.append(part)
        self._adapt(filled)
        return parts

    def _adapt(self, filled):
        """Drain as rarely as the rings allow, before anything is lost.

        Args:
            filled: Share of the fullest ring that the latest window took.
        """
        if not self._window:
            return
        longest = _LONGEST_PERIOD
        if filled:
            longest = max(1, int(self._window * 0.5 / filled))
        if not self._by_clock:
            share = self._executions // _SHARE_OF_RUN
            self._period = min(longest, max(_SHORTEST_PERIOD, share))
            return
        now = time.monotonic()
        waited, self._drained_at = now - self._drained_at, now
        if waited < _SECONDS:
            self._period = min(longest, 2 * self._period)
        elif waited > 4 * _SECONDS:
            self._period = min(
                longest, max(_SHORTEST_PERIOD, self._period // 2)
            )
        else:
            self._period = min(longest, self._period)

    def _skip_earlier(self):
        """Leave out the records that an earlier fit left in the rings."""
        self._read = [
            0
            if tap.records.ring is None
            else ring_layout.written(
                self._backend.to_numpy(tap.records.ring.snapshot())
            )
            for tap in self._taps
        ]
