"""Rows from the rings, brought to the host as arrays per variable."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard.recording import optimizers
from keras_gradguard.recording.gradients import SKIPPED


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive records, with V variables in forward order.

    Attributes:
        steps: Integer array `(n,)`, the optimizer's step of each record.
        grad_norm: Float32 array `(n, V)`, NaN without a gradient.
        clipped_grad_norm: Float64 array `(n,)`, or None if nothing clips.
        skipped: Bool array `(n,)`, updates that were not applied.
        has_gradient: Bool array `(V,)`.
        update_steps: Integer array `(m,)`.
        weight_norm: Float32 array `(m, V)`, before the update.
        update_norm: Float32 array `(m, V)`.
    """

    steps: Any
    grad_norm: Any
    clipped_grad_norm: Any
    skipped: Any
    has_gradient: Any
    update_steps: Any
    weight_norm: Any
    update_norm: Any

    @classmethod
    def merge(cls, parts, table):
        """Put the parts of several optimizers side by side.

        Args:
            parts: List of `Part`.
            table: `LayerTable` of the model.

        Returns:
            A `Block`.
        """
        index = table.index
        columns = [[index[id(v)] for v in p.variables] for p in parts]
        width = len(table.variables)
        steps, places = _common_steps([p.steps for p in parts])
        grad_norm = np.full((len(steps), width), np.nan, "float32")
        skipped = np.zeros(len(steps), bool)
        has_gradient = np.zeros(width, bool)
        squares = np.zeros(len(steps))
        clips = False
        for part, cols, rows in zip(parts, columns, places, strict=True):
            grad_norm[np.ix_(rows, cols)] = part.norms
            skipped[rows] |= part.flags == SKIPPED
            has_gradient[cols] = part.has_gradient
            clips |= not np.isnan(part.clipped).all()
            squares[rows] += _clipped(part) ** 2
        update_steps, places = _common_steps([p.update_steps for p in parts])
        weight_norm = np.full((len(update_steps), width), np.nan, "float32")
        update_norm = weight_norm.copy()
        for part, cols, rows in zip(parts, columns, places, strict=True):
            n = len(part.variables)
            weight_norm[np.ix_(rows, cols)] = part.updates[:, :n]
            update_norm[np.ix_(rows, cols)] = part.updates[:, n:]
        return cls(
            steps=steps,
            grad_norm=grad_norm,
            clipped_grad_norm=np.sqrt(squares) if clips else None,
            skipped=skipped,
            has_gradient=has_gradient,
            update_steps=update_steps,
            weight_norm=weight_norm,
            update_norm=update_norm,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What one leaf optimizer recorded.

    Attributes:
        variables: Its variables, length n.
        has_gradient: List of bool, length n.
        steps: Integer array `(r,)`.
        flags: Integer array `(r,)`.
        clipped: Float array `(r,)`, NaN where nothing clips.
        norms: Float array `(r, n)`.
        update_steps: Integer array `(u,)`.
        updates: Float array `(u, 2n)`, weight norms and update norms.
    """

    variables: list
    has_gradient: list
    steps: Any
    flags: Any
    clipped: Any
    norms: Any
    update_steps: Any
    updates: Any


def read_block(backend, tap, snapshots, drained):
    """Read the rows that came in since the last time.

    Args:
        backend: Module of `_backend`.
        tap: `GradientTap`.
        snapshots: Copies of its records and of its updates.
        drained: `(int, int)`, rows of both that were read before.

    Returns:
        `(part, records cursor, updates cursor)`.
    """
    (marks, values), cursor = _rows(backend, snapshots[0], drained[0])
    (update_marks, updates), seen = _rows(backend, snapshots[1], drained[1])
    real = update_marks[:, 1] == 1
    clipped = values[:, 0]
    if tap.derives_clipping:
        present = values[:, 1:][:, np.asarray(tap.has_gradient, bool)]
        clipped = optimizers.clipped_norm(tap.optimizer, present)
    part = Part(
        variables=tap.variables,
        has_gradient=tap.has_gradient,
        steps=marks[:, 0],
        flags=marks[:, 1],
        clipped=clipped,
        norms=values[:, 1:],
        update_steps=update_marks[real, 0],
        updates=updates[real],
    )
    return part, cursor, seen


def _rows(backend, snapshot, drained):
    """Unread rows of a ring in the order they were written."""
    cursor, marks, values = (backend.to_numpy(part) for part in snapshot)
    cursor = int(cursor)
    rows = len(marks)
    first = max(drained, cursor - rows)
    wanted = np.arange(first, cursor) % rows
    return (marks[wanted].astype("int64"), values[wanted]), cursor


def _clipped(part):
    """Norm after clipping: that before, where nothing clips."""
    before = np.sqrt(np.nansum(np.square(part.norms, dtype="float64"), axis=1))
    return np.where(np.isnan(part.clipped), before, part.clipped)


def _common_steps(series):
    """Steps of several series, and each series' rows among them.

    The leaves of a `MultiOptimizer` step together, so their series are the
    same. If they are not, they are joined by the step's number.
    """
    first = series[0]
    if all(len(s) == len(first) and (s == first).all() for s in series):
        return first, [np.arange(len(first))] * len(series)
    steps = np.unique(np.concatenate(series))
    return steps, [np.searchsorted(steps, s) for s in series]
