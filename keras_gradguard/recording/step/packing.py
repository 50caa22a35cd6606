"""Packs what a step shows of its layers into one vector, and reads it back.

One vector a step costs one output of the compiled function, however many
layers there are. What its parts are is known when the step is traced.
"""

import dataclasses
from typing import Any
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.recording.measurements import Counts
from keras_gradguard.recording.measurements import Measurement
from keras_gradguard.recording.step import output_statistics
from keras_gradguard.recording.step import side_by_side
from keras_gradguard.recording.step.output_statistics import Calls
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import OUTPUT_STATISTICS


@dataclasses.dataclass(slots=True)
class Seen:
    """What a step showed of one site.

    Attributes:
        outputs: List of tensors, the outputs to be counted of each call.
        calls: List of what `output_statistics.of_call`
            kept of those that are measured.
    """

    outputs: list = dataclasses.field(default_factory=list)
    calls: list = dataclasses.field(default_factory=list)


class Packing:
    """The layouts of the vectors of one model's steps."""

    def __init__(self):
        self._counts: Any = [], []
        self._seen: Any = [], [], []
        self._known: dict = {}

    # In the step. The parts stand in the order of the sites, whatever the
    # batch: a last one that is smaller may be laid out in other groups.

    def pack_counts(self, seen):
        """Per site its samples, then per unit for how many it is active.

        Args:
            seen: Dict from `Site` to its `Seen`, of that `outputs`.

        Returns:
            Float32 tensor (sites + units,), None if nothing was seen.
        """
        sites = [site for site in seen if seen[site].outputs]
        if not sites:
            return None
        outputs = [seen[site].outputs for site in sites]
        tables = [
            [output_statistics.of_samples(o, site) for o in calls]
            for site, calls in zip(sites, outputs, strict=True)
        ]
        parts, units = [], []
        for run in _runs(outputs):
            if run.joined:
                chosen = [tables[i][0] for i in run.positions]
                parts.append(_active(side_by_side.of_one_kind(chosen)))
                units += [int(table.shape[1]) for table in chosen]
                continue
            (i,) = run.positions
            widths = [int(table.shape[1]) for table in tables[i]]
            if len(set(widths)) == 1:
                parts.append(_active_in_any(tables[i]))
                units.append(widths[0])
            else:
                # No two of them are the same units.
                parts += [_active(table) for table in tables[i]]
                units.append(sum(widths))
        self._counts = sites, units
        backend = _backend.current()
        samples = backend.batch_sizes([o[0] for o in outputs])
        parts = backend.each_whole(parts)
        return ops.concatenate([samples, *parts], axis=0)

    def pack_activations(self, seen, xp=ops):
        """Statistics of each layer, and of its units.

        Args:
            seen: List of the sites in order, each with what
                `output_statistics.of_call` kept of its calls.
            xp: `keras.ops`, or `host_ops`.

        Returns:
            List of float32 tensors of rank 1.
        """
        if not seen:
            self._seen = [], [], []
            return []
        flat = [(site, call) for site, calls in seen for call in calls]
        calls = Calls([s for s, _ in flat], [call for _, call in flat], xp)
        counted = tuple((site, len(of_site)) for site, of_site in seen)
        key = calls.key, counted
        if key not in self._known:
            self._known[key] = _positions(calls, counted)
        parts, self._seen = self._known[key]
        overs = {"mean": xp.mean, "max": xp.max}
        return [calls.take([(places, overs[over]) for places, over in parts])]

    # On the host

    def counts(self, vector):
        """Read what `pack_counts` made, summed over steps or not.

        Args:
            vector: NumPy array.

        Returns:
            `Counts`.
        """
        sites, units = self._counts
        samples, active = np.split(np.asarray(vector, "float64"), [len(sites)])
        return Counts(list(sites), _split(active, units), samples)

    def activations_of(self, vector):
        """Read what `pack_activations` made, behind the data.

        Args:
            vector: NumPy array.

        Returns:
            `(sites, activations, active, magnitude)`, as in `Measurement`.
        """
        sites, units, live = self._seen
        vector = np.asarray(vector, "float32")[len(DATA_SERIES) :]
        shape = len(sites), len(OUTPUT_STATISTICS)
        stop = shape[0] * shape[1]
        table, rest = vector[:stop].reshape(shape), vector[stop:]
        active = _split(rest[sum(units) :], live)
        return list(sites), table, active, _split(rest, units)


def _positions(calls, counted):
    """What `Calls.take` takes, and the sites, units and units that can die.

    Args:
        calls: `Calls`.
        counted: Each `Site` with the number of its calls, in order.
    """
    tables: list = []
    magnitudes: list = []
    shares: list = []
    units: list = []
    live: list = []
    at = 0
    for _, count in counted:
        stop = at + count
        table, magnitude, share = calls.of_site(range(at, stop))
        at = stop
        tables.append((table, "mean"))
        for part, parts, lengths in (
            (magnitude, magnitudes, units),
            (share, shares, live),
        ):
            lengths.append(0 if part is None else part.shape[1])
            if part is not None:
                parts.append((part, "max"))
    sites = [site for site, _ in counted]
    return [*tables, *magnitudes, *shares], (sites, units, live)


def data_of(vector):
    """Read the statistics of the batch, which come first.

    Args:
        vector: NumPy array.

    Returns:
        Dict of float, by the names of `DATA_SERIES`.
    """
    values = np.asarray(vector, "float32")[: len(DATA_SERIES)].tolist()
    return dict(zip(DATA_SERIES, values, strict=True))


def measurement(step, seen, data, facts):
    """What a step showed.

    Args:
        step: Int. The optimizer's step.
        seen: What `activations_of` returned, None if that is not known.
        data: What `data_of` returned, empty if that is not known.
        facts: Dict, as in `Measurement`.

    Returns:
        `Measurement`.
    """
    if seen is None:
        table = np.zeros((0, len(OUTPUT_STATISTICS)), "float32")
        seen = [], table, [], []
    sites, activations, active, magnitude = seen
    return Measurement(step, sites, activations, active, magnitude, data, facts)


class _Run(NamedTuple):
    """Sites one after the other whose outputs are looked at together.

    Attributes:
        positions: List of int.
        joined: Whether they are laid side by side; else it is one.
    """

    positions: list
    joined: bool


def _runs(outputs):
    """Group what is laid side by side: each costs kernels of its own.

    A layer may fold other axes into that of the samples, so those of which it
    is not known that they have the same number stay apart.

    Args:
        outputs: List of the outputs of each site, a tensor for each call.

    Returns:
        List of `_Run`, in order.
    """
    runs: list = []
    rows = None
    for i, calls in enumerate(outputs):
        joined = len(calls) == 1 and _is_joined(calls[0])
        if joined and rows == int(calls[0].shape[0]):
            runs[-1].positions.append(i)
            continue
        runs.append(_Run([i], joined))
        rows = int(calls[0].shape[0]) if joined else None
    return runs


def _is_joined(outputs):
    """Whether a sample and a unit become a number that is cheaply copied."""
    if len(outputs.shape) > 2:
        return outputs.shape[0] is not None and side_by_side.may_join()
    return side_by_side.is_small(outputs)


def _active(table):
    """For how many samples each unit is not zero."""
    counts = [
        ops.sum(ops.cast(part != 0, "float32"), axis=0)
        for (part,) in _backend.current().slices([table], 1)
    ]
    return ops.concatenate(counts, axis=0) if len(counts) > 1 else counts[0]


def _active_in_any(tables):
    """The same over calls: where a unit is not zero in one of them.

    Calls of which a layer folds other axes into that of the samples do not
    have the same samples. Then the call that shows most of a unit counts.

    Args:
        tables: List of tensors (batch, units).
    """
    if len(tables) == 1:
        return _active(tables[0])

    def one_by_one():
        counts = ops.stack([_active(table) for table in tables], axis=0)
        return ops.max(counts, axis=0)

    def together(rows=None):
        shown = [ops.cast(table[:rows] != 0, "float32") for table in tables]
        return ops.sum(output_statistics.largest(shown), axis=0)

    known = {table.shape[0] for table in tables}
    if None not in known:
        return together() if len(known) == 1 else one_by_one()
    rows = ops.stack([ops.shape(table)[0] for table in tables], axis=0)
    least = ops.min(rows)
    return ops.cond(
        ops.equal(least, ops.max(rows)), lambda: together(least), one_by_one
    )


def _split(vector, units):
    parts, at = [], 0
    for count in units:
        parts.append(vector[at : at + count] if count else None)
        at += count
    return parts
