"""Packs what a step shows of its layers into one vector, and reads it back.

One vector a step costs one output of the compiled function, however many
layers there are. What its parts are is known when the step is traced.
"""

import dataclasses
import itertools

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._series import DATA_SERIES
from keras_gradguard._series import OUTPUT_STATISTICS
from keras_gradguard.recording import batch_statistics
from keras_gradguard.recording import columns
from keras_gradguard.recording import output_statistics
from keras_gradguard.recording.columns import Columns
from keras_gradguard.recording.measurements import Counts
from keras_gradguard.recording.measurements import Measurement


@dataclasses.dataclass(slots=True)
class Seen:
    """What a step showed of one site.

    Attributes:
        outputs: List of tensors, the outputs to be counted of each call.
        small: List of `(inputs, outputs)` of the calls that are measured
            with those of other layers, at the end.
        measured: List of what `output_statistics.of_call` gave of the others.
    """

    outputs: list = dataclasses.field(default_factory=list)
    small: list = dataclasses.field(default_factory=list)
    measured: list = dataclasses.field(default_factory=list)


class Packing:
    """The layouts of the vectors of one model's steps."""

    def __init__(self):
        self._counts = [], []
        self._measurement = [], [], [], []

    # In the step

    def pack_counts(self, seen):
        """Per site its samples, then per unit for how many it is active.

        Small outputs are laid side by side: they cost a kernel, not their
        data. A layer may fold other axes into that of the samples, so those
        of which it is not known that they have the same number stay apart.

        Args:
            seen: Dict from `Site` to its `Seen`, of that `outputs`.

        Returns:
            Float32 tensor (sites + units,), None if nothing was seen.
        """
        shown = [(site, s.outputs) for site, s in seen.items() if s.outputs]
        if not shown:
            return None
        joined, apart = _split_small(
            [o[0] if len(o) == 1 else None for _, o in shown]
        )
        parts, units = [], []
        for group in joined:
            table = Columns([shown[i][1][0] for i in group])
            parts.append(ops.sum(table.nonzero, axis=0))
            units += table.parts.sizes.tolist()
        for i in apart:
            site, outputs = shown[i]
            calls = [_active(o, site) for o in outputs]
            parts.append(output_statistics.largest(calls))
            units.append(int(parts[-1].shape[0]))
        order = [*itertools.chain(*joined), *apart]
        self._counts = [shown[i][0] for i in order], units
        samples = _backend.current().batch_sizes(
            [shown[i][1][0] for i in order]
        )
        return ops.concatenate([samples, *parts], axis=0)

    def pack_measurement(self, seen, batch, data):
        """Statistics of the batch, of each layer, and of its units.

        Args:
            seen: Dict from `Site` to its `Seen`.
            batch: Dict from a group of `DATA_SERIES` to its small tensor.
            data: Dict from another group to its scalars.

        Returns:
            Float32 tensor of rank 1.
        """
        sites = [s for s in seen if seen[s].small or seen[s].measured]
        single = [
            seen[s].small[0]
            if len(seen[s].small) == 1 and not seen[s].measured
            else (None, None)
            for s in sites
        ]
        joined, apart = _split_small([outputs for _, outputs in single])
        tables, magnitudes, shares, units, live = [], [], [], [], []
        for group in joined:
            inputs, outputs = zip(*[single[i] for i in group], strict=True)
            table, magnitude, share = output_statistics.of_small(
                [sites[i] for i in group], inputs, outputs
            )
            tables.append(ops.reshape(table, (-1,)))
            magnitudes.append(magnitude)
            shares.append(share)
            units += [int(o.shape[1]) for o in outputs]
            live += [int(o.shape[1]) for o in outputs]
        for i in apart:
            shown = seen[sites[i]]
            calls = shown.measured + [
                output_statistics.of_call(sites[i], *call)
                for call in shown.small
            ]
            table, magnitude, share = zip(*calls, strict=True)
            tables.append(sum(table[1:], start=table[0]) / len(table))
            for kept, widths, calls in (
                (magnitudes, units, magnitude),
                (shares, live, share),
            ):
                vector = output_statistics.over_calls(calls)
                widths.append(0 if vector is None else int(vector.shape[0]))
                if vector is not None:
                    kept.append(vector)
        order = [*itertools.chain(*joined), *apart]
        self._measurement = [sites[i] for i in order], order, units, live
        parts = [batch_statistics.pack(batch, data)]
        return ops.concatenate([*parts, *tables, *magnitudes, *shares], axis=0)

    # On the host

    def counts(self, vector):
        """Read what `pack_counts` made, summed over steps or not.

        Args:
            vector: NumPy array.

        Returns:
            `Counts`.
        """
        order, units = self._counts
        vector = np.asarray(vector, "float64")
        sites = len(order)
        return Counts(
            list(order), _split(vector[sites:], units), vector[:sites]
        )

    def measurement(self, step, vector, facts):
        """Read what `pack_measurement` made.

        Args:
            step: Int. The optimizer's step.
            vector: NumPy array.
            facts: Dict, as in `Measurement`.

        Returns:
            `Measurement`.
        """
        sites, order, units, live = self._measurement
        vector = np.asarray(vector, "float32")
        known = len(DATA_SERIES)
        data = dict(zip(DATA_SERIES, vector[:known].tolist(), strict=True))
        shape = len(sites), len(OUTPUT_STATISTICS)
        stop = known + shape[0] * shape[1]
        table = vector[known:stop].reshape(shape)
        magnitude = _split(vector[stop:], units)
        share = _split(vector[stop + sum(units) :], live)
        forward = np.argsort(order)
        return Measurement(
            step,
            [sites[i] for i in forward],
            table[forward],
            [share[i] if sites[i].can_die else None for i in forward],
            [magnitude[i] for i in forward],
            data,
            facts,
        )


def _active(outputs, site):
    active = output_statistics.active_samples(
        outputs, site.unit_axis, site.positive
    )
    return ops.sum(active, axis=0)


def _split_small(tensors):
    """Tell which small tensors go together.

    Args:
        tensors: List of tensors, some of them None.

    Returns:
        Lists of positions that go together, and a list of the others.
    """
    small = [
        i
        for i, tensor in enumerate(tensors)
        if tensor is not None and columns.is_small(tensor)
    ]
    joined = [
        [small[j] for j in group]
        for group in columns.by_batch([tensors[i] for i in small])
    ]
    return joined, [i for i in range(len(tensors)) if i not in set(small)]


def _split(vector, units):
    parts, at = [], 0
    for count in units:
        parts.append(vector[at : at + count] if count else None)
        at += count
    return parts
