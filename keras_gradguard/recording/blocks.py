"""Rows from the rings, brought to the host as arrays per variable."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard.models import optimizers
from keras_gradguard.recording.step.gradients import SCALARS
from keras_gradguard.recording.step.gradients import SKIPPED
from keras_gradguard.recording.step.gradients import UNMEASURED


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive records, with V variables in forward order.

    Attributes:
        steps: Integer array `(n,)`, the optimizer's step of each record.
        grad_norm: Float32 array `(n, V)`, NaN without a gradient.
        clipped_grad_norm: Float64 array `(n,)`, or None if nothing clips.
        clip_threshold: Float64 array `(n,)`, that of the global norm, or None
            if the optimizer has none. Infinite where all may pass.
        loss: Float32 array `(n,)`, loss of the (last) batch of each update, or
            None if it is not known.
        skipped: Bool array `(n,)`, updates that were not applied.
        has_gradient: Bool array `(V,)`.
        update_steps: Integer array `(m,)`.
        weight_norm: Float32 array `(m, V)`, before the update.
        update_norm: Float32 array `(m, V)`.
    """

    steps: Any
    grad_norm: Any
    clipped_grad_norm: Any
    clip_threshold: Any
    loss: Any
    skipped: Any
    has_gradient: Any
    update_steps: Any
    weight_norm: Any
    update_norm: Any

    def with_records(self, keep):
        """The block with some of the records only.

        Args:
            keep: Bool array `(n,)`.
        """
        rows = {
            name: getattr(self, name)
            for name in (
                "steps",
                "grad_norm",
                "clipped_grad_norm",
                "clip_threshold",
                "loss",
                "skipped",
            )
        }
        return dataclasses.replace(
            self,
            **{
                name: None if values is None else values[keep]
                for name, values in rows.items()
            },
        )

    def with_updates(self, keep):
        """The block with some of the updates only.

        Args:
            keep: Bool array `(m,)`.
        """
        return dataclasses.replace(
            self,
            update_steps=self.update_steps[keep],
            weight_norm=self.weight_norm[keep],
            update_norm=self.update_norm[keep],
        )

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
        thresholds = np.zeros(len(steps))
        clips = False
        for part, cols, rows in zip(parts, columns, places, strict=True):
            grad_norm[np.ix_(rows, cols)] = part.norms
            skipped[rows] |= part.flags == SKIPPED
            has_gradient[cols] |= np.asarray(part.has_gradient, bool)
            clips |= not np.isnan(part.clipped).all()
            squares[rows] += _clipped(part) ** 2
            thresholds[rows] += part.threshold.astype("float64") ** 2
        loss = _loss(parts, places, len(steps))
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
            clip_threshold=_threshold(thresholds),
            loss=loss,
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
        has_gradient: List of bool, length n; all False as long as it has not
            recorded anything.
        steps: Integer array `(r,)`.
        flags: Integer array `(r,)`.
        clipped: Float array `(r,)`, NaN where nothing clips.
        threshold: Float array `(r,)`, NaN where no threshold was chosen.
        loss: Float array `(r,)`, NaN where it is not known.
        norms: Float array `(r, n)`.
        update_steps: Integer array `(u,)`.
        updates: Float array `(u, 2n)`, weight norms and update norms.
    """

    variables: list
    has_gradient: list
    steps: Any
    flags: Any
    clipped: Any
    threshold: Any
    loss: Any
    norms: Any
    update_steps: Any
    updates: Any

    @property
    def is_known(self):
        """Whether its optimizer has shown anything so far."""
        return any(self.has_gradient) or len(self.update_steps) > 0


def read_part(tap, store, cursor, numbers=None):
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
    n = len(tap.variables)
    clipped, threshold, loss = values[:, :SCALARS].T
    norms = values[:, SCALARS : SCALARS + n]
    if tap.derives_clipping:
        present = norms[:, np.asarray(tap.has_gradient, bool)]
        clipped = optimizers.clipped_norm(tap.optimizer, present)
    updates = values[:, SCALARS + n :]
    measured = (updates[:, :n] != UNMEASURED).all(axis=1)
    if not tap.amends:
        updates = np.zeros((len(updates), 2 * n), "float32")
        measured = np.zeros(len(updates), bool)
    part = Part(
        variables=tap.variables,
        has_gradient=[cursor > 0 and has for has in tap.has_gradient],
        steps=steps,
        flags=flags,
        clipped=clipped,
        threshold=threshold,
        loss=loss,
        norms=norms,
        update_steps=steps[measured],
        updates=updates[measured],
    )
    return part, cursor


def unread_part(tap):
    """A part without records, where the ring cannot be read.

    Args:
        tap: `GradientTap`.
    """
    n = len(tap.recorded)
    scalars = np.zeros((0,), "float32")
    none = np.zeros((0,), "int64")
    return Part(
        variables=tap.recorded,
        has_gradient=[False] * n,
        steps=none,
        flags=none,
        clipped=scalars,
        threshold=scalars,
        loss=scalars,
        norms=np.zeros((0, n), "float32"),
        update_steps=none,
        updates=np.zeros((0, 2 * n), "float32"),
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


def _clipped(part):
    """Norm after clipping: that before, where nothing clips."""
    before = np.sqrt(np.nansum(np.square(part.norms, dtype="float64"), axis=1))
    return np.where(np.isnan(part.clipped), before, part.clipped)


def _loss(parts, places, rows):
    """The loss, which each optimizer recorded that knew it."""
    loss = np.full(rows, np.nan, "float32")
    for part, at in zip(parts, places, strict=True):
        loss[at] = np.where(np.isnan(loss[at]), part.loss, loss[at])
    known = any(not np.isnan(part.loss).all() for part in parts)
    return loss if known else None


def _threshold(squares):
    """What the global norm may be, where every optimizer has a threshold."""
    if np.isnan(squares).all():
        return None
    threshold = np.sqrt(squares)
    # The largest float32 stands for none at all.
    return np.where(threshold >= np.finfo("float32").max, np.inf, threshold)


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
