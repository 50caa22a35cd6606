"""Packs what a step shows of its layers into one vector, and reads it back.

One vector a step costs one output of the compiled function, however many
layers there are. What its parts are is known when the step is traced.
"""

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._series import DATA_SERIES
from keras_gradguard._series import OUTPUT_STATISTICS
from keras_gradguard.recording import batch_statistics
from keras_gradguard.recording import output_statistics
from keras_gradguard.recording.measurements import Counts
from keras_gradguard.recording.measurements import Measurement


class Packing:
    """The layouts of the vectors of one model's steps."""

    def __init__(self):
        self._counts = [], []
        self._measurement = [], [], []

    # In the step

    def pack_counts(self, seen):
        """Per site its samples, then per unit for how many it is active.

        Small outputs are laid side by side: they cost a kernel, not their
        data. A layer may fold other axes into that of the samples, so those
        of which it is not known that they have the same number stay apart.

        Args:
            seen: Dict from `Site` to what was seen of it; of that
                `"outputs"`, a list with a tensor for each call.

        Returns:
            Float32 tensor (sites + units,), None if nothing was seen.
        """
        groups, single = {}, []
        for site, shown in seen.items():
            outputs = shown["outputs"]
            if len(outputs) == 1 and output_statistics.is_small(outputs[0]):
                key = str(outputs[0].dtype), outputs[0].shape[0]
                groups.setdefault(key, []).append((site, outputs[0]))
            elif outputs:
                single.append((site, outputs))
        parts, order, units, batches = [], [], [], []
        for group in groups.values():
            order.extend(site for site, _ in group)
            small = [outputs for _, outputs in group]
            batches.extend(small)
            units.extend(int(outputs.shape[1]) for outputs in small)
            joined = small[0]
            if len(small) > 1:
                joined = ops.concatenate(small, axis=1)
            parts.append(_active(joined, 1))
        for site, outputs in single:
            order.append(site)
            batches.append(outputs[0])
            calls = [_active(o, site.unit_axis, site.positive) for o in outputs]
            parts.append(output_statistics.largest(calls))
            units.append(int(parts[-1].shape[0]))
        self._counts = order, units
        if not parts:
            return None
        samples = _backend.current().batch_sizes(batches)
        return ops.concatenate([samples, *parts], axis=0)

    def pack_measurement(self, seen, data):
        """Statistics of the batch, of each layer, and of its units.

        Args:
            seen: As for `pack_counts`; of that `"statistics"`, a list with
                `(statistics, magnitude, share)` for each call.
            data: Dict from a group of `DATA_SERIES` to its scalars.

        Returns:
            Float32 tensor of rank 1.
        """
        parts = [batch_statistics.pack(data)]
        order, magnitudes, shares = [], [], []
        for site, shown in seen.items():
            if not shown["statistics"]:
                continue
            order.append(site)
            calls, magnitude, share = zip(*shown["statistics"], strict=True)
            parts.append(sum(calls[1:], start=calls[0]) / len(calls))
            magnitudes.append(output_statistics.over_calls(magnitude))
            shares.append(output_statistics.over_calls(share))
        units = [0 if m is None else int(m.shape[0]) for m in magnitudes]
        live = [0 if s is None else int(s.shape[0]) for s in shares]
        self._measurement = order, units, live
        rest = [v for v in [*magnitudes, *shares] if v is not None]
        return ops.concatenate([*parts, *rest], axis=0)

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
        order, units, live = self._measurement
        vector = np.asarray(vector, "float32")
        known = len(DATA_SERIES)
        data = dict(zip(DATA_SERIES, vector[:known].tolist(), strict=True))
        shape = len(order), len(OUTPUT_STATISTICS)
        stop = known + shape[0] * shape[1]
        table = vector[known:stop].reshape(shape)
        rest = vector[stop:]
        return Measurement(
            step,
            list(order),
            table,
            _split(rest[sum(units) :], live),
            _split(rest, units),
            data,
            facts,
        )


def _active(outputs, axis, positive=False):
    active = output_statistics.active_samples(outputs, axis, positive)
    return ops.sum(active, axis=0)


def _split(vector, units):
    parts, at = [], 0
    for count in units:
        parts.append(vector[at : at + count] if count else None)
        at += count
    return parts
