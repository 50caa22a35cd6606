"""Rows from the rings, brought to the host as arrays per variable."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard.models import optimizers
from keras_gradguard.recording.record import Layout
from keras_gradguard.recording.step.gradients import SKIPPED
from keras_gradguard.recording.step.gradients import UNMEASURED
from keras_gradguard.trace.series import RECORDED
from keras_gradguard.trace.series import UPDATED


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive records, with V variables in forward order.

    Attributes:
        steps: Integer array `(n,)`, the optimizer's step of each record.
        records: Dict of each series of `trace.series.RECORDED` to its array:
            float32 `(n, V)`, NaN without a gradient; or for one per step
            `(n,)`, None where it is not known. `"clip_threshold"` is infinite
            where all may pass, `"loss"` that of the (last) batch of the update.
        skipped: Bool array `(n,)`, updates that were not applied.
        has_gradient: Bool array `(V,)`.
        update_steps: Integer array `(m,)`.
        updates: Dict of each series of `trace.series.UPDATED` to its float32
            array `(m, V)`.
    """

    steps: Any
    records: dict
    skipped: Any
    has_gradient: Any
    update_steps: Any
    updates: dict

    @property
    def grad_norm(self):
        """Float32 array `(n, V)`, norms of the gradients."""
        return self.records["grad_norm"]

    @property
    def loss(self):
        """Float32 array `(n,)`, loss of the batches, or None."""
        return self.records["loss"]

    def with_records(self, keep):
        """The block with some of the records only.

        Args:
            keep: Bool array `(n,)`.
        """
        return dataclasses.replace(
            self,
            steps=self.steps[keep],
            records={
                name: None if values is None else values[keep]
                for name, values in self.records.items()
            },
            skipped=self.skipped[keep],
        )

    def with_updates(self, keep):
        """The block with some of the updates only.

        Args:
            keep: Bool array `(m,)`.
        """
        return dataclasses.replace(
            self,
            update_steps=self.update_steps[keep],
            updates={n: values[keep] for n, values in self.updates.items()},
        )

    def of_columns(self, columns, scale):
        """The block with some of the variables only.

        Args:
            columns: Integer array. Which.
            scale: Float array `(n,)`. What a norm of them all is scaled by.
        """

        def part(series, values):
            if values is None or series.per == "variable":
                return None if values is None else values[:, columns]
            return values * scale if series.together == "norm" else values

        return dataclasses.replace(
            self,
            records={s.name: part(s, self.records[s.name]) for s in RECORDED},
            has_gradient=self.has_gradient[columns],
            updates={s.name: part(s, self.updates[s.name]) for s in UPDATED},
        )

    def append_to(self, trace, without=()):
        """Append the records to a trace.

        Args:
            trace: `Trace` of the same variables.
            without: Series of a step to leave out. Defaults to none.
        """
        trace.set_has_gradient(self.has_gradient)
        extra = {
            name: values
            for name, values in self.records.items()
            if values is not None and name not in without
        }
        trace.append(
            self.steps,
            extra.pop("grad_norm"),
            extra.pop("clipped_grad_norm", None),
            self.skipped,
            extra,
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
        skipped = np.zeros(len(steps), bool)
        has_gradient = np.zeros(width, bool)
        for part, cols, rows in zip(parts, columns, places, strict=True):
            skipped[rows] |= part.flags == SKIPPED
            has_gradient[cols] |= np.asarray(part.has_gradient, bool)

        def spread(found, rows, places):
            whole = np.full((rows, width), np.nan, "float32")
            for values, cols, at in zip(found, columns, places, strict=True):
                whole[np.ix_(at, cols)] = values
            return whole

        records: dict = {}
        for series in RECORDED:
            found = [p.records[series.name] for p in parts]
            if series.per == "variable":
                together = spread(found, len(steps), places)
            else:
                reduce = _OF_ALL.get(series.name, _TOGETHER[series.together])
                together = reduce(parts, found, places, len(steps))
            records[series.name] = together
        update_steps, places = _common_steps([p.update_steps for p in parts])
        halves = [np.split(p.updates, len(UPDATED), axis=1) for p in parts]
        return cls(
            steps=steps,
            records=records,
            skipped=skipped,
            has_gradient=has_gradient,
            update_steps=update_steps,
            updates={
                series.name: spread(found, len(update_steps), places)
                for series, found in zip(
                    UPDATED, zip(*halves, strict=True), strict=True
                )
            },
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
    records = tap.layout.split(values)
    if tap.derives_clipping:
        present = records["grad_norm"][:, np.asarray(tap.has_gradient, bool)]
        records["clipped_grad_norm"] = optimizers.clipped_norm(
            tap.optimizer, present
        )
    updates = values[:, tap.layout.updates]
    measured = (updates[:, :n] != UNMEASURED).all(axis=1)
    if not tap.amends:
        updates = np.zeros((len(updates), len(UPDATED) * n), "float32")
        measured = np.zeros(len(updates), bool)
    part = Part(
        variables=tap.variables,
        has_gradient=[cursor > 0 and has for has in tap.has_gradient],
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
    n = len(tap.recorded)
    layout = Layout(n, False)
    none = np.zeros((0,), "int64")
    return Part(
        variables=tap.recorded,
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


def _first(parts, found, places, rows):
    """The number that each optimizer recorded that knew it."""
    del parts
    first = np.full(rows, np.nan, "float32")
    for values, at in zip(found, places, strict=True):
        first[at] = np.where(np.isnan(first[at]), values, first[at])
    return first if _known(found) else None


def _norm(parts, found, places, rows):
    """The norm over all optimizers, where each of them knows its own."""
    del parts
    squares = np.zeros(rows)
    for values, at in zip(found, places, strict=True):
        squares[at] += values.astype("float64") ** 2
    return None if np.isnan(squares).all() else np.sqrt(squares)


def _clipped(parts, found, places, rows):
    """Norm after clipping: that before, where nothing clips."""
    if not _known(found):
        return None
    after = []
    for part, values in zip(parts, found, strict=True):
        norms = np.square(part.records["grad_norm"], dtype="float64")
        before = np.sqrt(np.nansum(norms, axis=1))
        after.append(np.where(np.isnan(values), before, values))
    return _norm(parts, after, places, rows)


def _threshold(parts, found, places, rows):
    """What the global norm may be, where every optimizer has a threshold."""
    threshold = _norm(parts, found, places, rows)
    if threshold is None:
        return None
    # The largest float32 stands for none at all.
    return np.where(threshold >= np.finfo("float32").max, np.inf, threshold)


def _known(found):
    return any(not np.isnan(values).all() for values in found)


_TOGETHER = {"first": _first, "norm": _norm}
# Those whose gaps mean something.
_OF_ALL = {"clipped_grad_norm": _clipped, "clip_threshold": _threshold}


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
