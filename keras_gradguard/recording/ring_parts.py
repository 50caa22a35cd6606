"""Rows from the ring of one optimizer, brought to the host."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard.models import optimizers
from keras_gradguard.recording.record import Layout
from keras_gradguard.recording.step.records import UNMEASURED
from keras_gradguard.trace.series import UPDATED


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What one leaf optimizer recorded.

    Attributes:
        variables: Its variables, length n.
        has_gradient: List of bool, length n; all False as long as it has not
            recorded anything.
        steps: Integer array `(r,)`.
        flags: Integer array `(r,)`.
        records: Dict of series to float array, `(r,)` for those per step, NaN
            where it is not known, and `(r, n)` for those per variable.
        update_steps: Integer array `(u,)`.
        updates: Float array `(u, 2n)`, weight norms and update norms.
    """

    variables: list
    has_gradient: list
    steps: Any
    flags: Any
    records: dict
    update_steps: Any
    updates: Any

    @property
    def is_known(self):
        """Whether its optimizer has shown anything so far."""
        return any(self.has_gradient) or len(self.update_steps) > 0


def read_part(tap, store, cursor, numbers):
    """Read the records that came in since the last time.

    Args:
        tap: `GradientTap`.
        store: Host copy of its ring's store.
        cursor: Number of records that were read before.
        numbers: List of the steps of the executions since then, to number
            the records by, or None to do so by the optimizer's own steps.

    Returns:
        `(part, cursor)`.
    """
    before = cursor
    steps, flags, values, cursor = ring_layout.unread(store, cursor)
    if numbers is not None:
        if not len(steps) and cursor:
            # It made no step meanwhile: its latest gradient stands.
            steps, flags, values, _ = ring_layout.unread(store, cursor - 1)
            before = cursor - 1
        steps, rows = _numbered(numbers, len(steps), cursor - before)
        flags, values = flags[rows], values[rows]
    n = len(tap.records.variables)
    records = tap.records.layout.split(values)
    if tap.derives_clipping:
        present = records["grad_norm"][
            :, np.asarray(tap.records.has_gradient, bool)
        ]
        records["clipped_grad_norm"] = optimizers.clipped_norm(
            tap.optimizer, present
        )
    updates = values[:, tap.records.layout.updates]
    measured = (updates[:, :n] != UNMEASURED).all(axis=1)
    if not tap.amends:
        updates = np.zeros((len(updates), len(UPDATED) * n), "float32")
        measured = np.zeros(len(updates), bool)
    part = Part(
        variables=tap.records.variables,
        has_gradient=[cursor > 0 and has for has in tap.records.has_gradient],
        steps=steps,
        flags=flags,
        records=records,
        update_steps=steps[measured],
        updates=updates[measured],
    )
    return part, cursor


def unread_part(tap):
    """A part without records, where the ring cannot be read.

    Args:
        tap: `GradientTap`.
    """
    n = len(tap.records.expected)
    layout = Layout(n, False)
    none = np.zeros((0,), "int64")
    return Part(
        variables=tap.records.expected,
        has_gradient=[False] * n,
        steps=none,
        flags=none,
        records=layout.split(np.zeros((0, layout.width), "float32")),
        update_steps=none,
        updates=np.zeros((0, len(UPDATED) * n), "float32"),
    )


def _numbered(numbers, count, written):
    """Give records the steps of the executions that made them.

    Optimizers that a step applies on their own count on their own: a critic
    may take five steps where its generator takes one. The executions are
    spread evenly over the records; of several of one execution the last
    stays, and one of several executions stands for all of them: a gap would
    look like a gradient that is NaN.

    Args:
        numbers: List of int. Steps of the executions.
        count: Int. Records that are left.
        written: Int. Records that there were.

    Returns:
        Integer arrays: the steps, and the indices of the records.
    """
    if not count or not numbers:
        return np.zeros(0, "int64"), np.zeros(0, "int64")
    if written < len(numbers):
        lost = written - count
        of_step = np.arange(len(numbers)) * written // len(numbers) - lost
        return np.asarray(numbers, "int64"), np.maximum(of_step, 0)
    at = np.arange(written - count, written)
    execution = -(-(at + 1) * len(numbers) // written) - 1
    steps = np.asarray(numbers, "int64")[execution]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], np.flatnonzero(last)
