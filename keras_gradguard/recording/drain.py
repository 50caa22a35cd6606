"""Brings what the rings hold to the host, as blocks."""

import dataclasses
import time

import numpy as np

from keras_gradguard import _backend
from keras_gradguard._backend import ring_layout
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.blocks import read_part

# Executions between two drains where no gradients are recorded.
_LONGEST_PERIOD = 256
# Where steps are slow, records are not kept waiting longer than that.
_SECONDS = 1.0
# Several processes have to read at the same steps, so they do not go by their
# clocks: records wait for this share of the run so far.
_SHARE_OF_RUN = 8
_SHORTEST_PERIOD = 8


class RingDrain:
    """Copies the rings of all optimizers on the device, reads them later.

    A copy is read when the next one is made: by then it has arrived, and
    nothing waits.

    Args:
        taps: List of `GradientTap`.
        numbered: Bool. Whether records are numbered by the steps that
            `note_steps` tells, since each optimizer counts for itself.
        keeps_due_only: Bool. Whether all updates were measured, and only those
            of the steps that `note_due` tells are wanted.
        by_clock: Bool. Whether the time that passes decides how long records
            wait, too.
    """

    def __init__(
        self, taps, numbered=False, keeps_due_only=False, by_clock=True
    ):
        self._taps = taps
        self._numbered = numbered
        self._keeps_due_only = keeps_due_only
        self._backend = _backend.current()
        self._read = [self._written(tap.records) for tap in taps]
        self._read_before = sum(self._read)
        self._pending = None
        self._numbers, self._pending_numbers = [], None
        self._due = []
        self._waiting, self._window = 0, 0
        self._period = _SHORTEST_PERIOD
        self._by_clock = by_clock
        self._executions = 0
        self._drained_at = time.monotonic()

    @property
    def recorded(self):
        """Records read so far."""
        return sum(self._read) - self._read_before

    @property
    def is_due(self):
        """Whether it is time to copy the rings."""
        return self._waiting >= self._period

    def note_execution(self):
        """Note that an execution left something to read."""
        self._waiting += 1
        self._executions += 1

    def note_steps(self, steps):
        """Note the steps of an execution that recorded."""
        if self._numbered:
            self._numbers += steps

    def note_due(self, step):
        """Note a step whose update is wanted."""
        self._due.append(step)

    def copy(self, state):
        """Begin to copy the rings to the host.

        Args:
            state: Map from `id(variable)` to its array, or None if the
                variables hold their values.
        """
        self._window, self._waiting = self._waiting, 0
        if self._numbered:
            self._pending_numbers, self._numbers = self._numbers, []
        self._pending = [
            None if tap.records is None else tap.records.snapshot(state)
            for tap in self._taps
        ]

    def read(self, make_table):
        """Read the latest copy.

        Args:
            make_table: Function that returns the model's `LayerTable`.

        Yields:
            A `Block` of its records, if there are any.
        """
        pending, self._pending = self._pending, None
        parts, filled = [], 0.0
        for i, (tap, store) in enumerate(
            zip(self._taps, pending or (), strict=pending is not None)
        ):
            if store is None:
                continue
            store = self._backend.to_numpy(store)
            part, cursor = read_part(
                tap, store, self._read[i], self._pending_numbers
            )
            filled = max(filled, (cursor - self._read[i]) / tap.records.rows)
            self._read[i] = cursor
            parts.append(part)
        self._adapt(filled)
        if parts and any(len(part.steps) for part in parts):
            yield self._with_due_updates(Block.merge(parts, make_table()))

    def _with_due_updates(self, block):
        """The block, without the updates that nobody wanted measured."""
        due, self._due = self._due, []
        if not self._keeps_due_only:
            return block
        keep = np.isin(block.update_steps, due)
        self._due = [step for step in due if step > block.steps[-1]]
        return dataclasses.replace(
            block,
            update_steps=block.update_steps[keep],
            weight_norm=block.weight_norm[keep],
            update_norm=block.update_norm[keep],
        )

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

    def _written(self, ring):
        """Number of records that an earlier fit left in a ring."""
        if ring is None:
            return 0
        return ring_layout.written(self._backend.to_numpy(ring.snapshot()))
