"""Records of all optimizers of a model, side by side."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard.recording.step.records import SKIPPED
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
