"""A trace's measurements of gradients through time."""

import copy

import numpy as np

from keras_gradguard import _validation
from keras_gradguard._validation import check_choice

# Time steps at which a norm is kept, of any length.
TIMES = 64
_OWNER = "Trace.append_time_gradients"


def times_of(length):
    """Return which time steps are kept of a number of them.

    Args:
        length: Int. Time steps that there were.

    Returns:
        Int array, all of them up to `TIMES`; else so many, evenly spaced, with
        the first and the last.
    """
    if length <= TIMES:
        return np.arange(length)
    at = np.arange(TIMES)
    return (2 * at * (int(length) - 1) + TIMES - 1) // (2 * (TIMES - 1))


def one_of(length, norms):
    """Return time steps and norms of one measurement, arrays `(1, B)`.

    Args:
        length: Int. Time steps that there were.
        norms: Float array `(TIMES,)`.
    """
    times = times_of(length)
    return times[np.newaxis], norms[np.newaxis, : len(times)]


class TimeGradients:
    """One row per measurement of gradients through time.

    Args:
        tables: `TraceTables`, which keep the rows.

    Attributes:
        layers: Str array (R,). Paths of the recurrent layers; empty until
            they are known.
    """

    def __init__(self, tables):
        self.layers = np.zeros(0, dtype=str)
        self._tables = tables
        self._hidden: set = set()

    def without(self, hidden):
        """Return a view without some layers.

        Args:
            hidden: Iterable of str, their paths.
        """
        other = copy.copy(self)
        other._hidden = set(hidden)
        return other

    @property
    def shown(self):
        """Str array: the layers that are not hidden."""
        kept = [name not in self._hidden for name in self.layers.tolist()]
        return self.layers[np.array(kept, bool)]

    def extend(self, other, low, high):
        """Append what another one has of the steps from `low` to `high`."""
        names = other.layers.tolist()
        if not names or (len(self.layers) and self.layers.tolist() != names):
            return
        table = other._tables.times
        keep = (other.steps >= low) & (other.steps < high)
        self.layers = other.layers
        self._tables.add_recurrent(len(names))
        values = {name: table.get(name)[keep] for name in table.names}
        self._tables.append_times(int(keep.sum()), values)

    def append(self, step, layers, lengths, norms):
        """Append one measurement; see `Trace.append_time_gradients`."""
        step = _validation.check_int(_OWNER, "step", step)
        layers = _validation.check_names(_OWNER, "layers", layers)
        known = self.layers.tolist() or layers
        if layers != known:
            raise ValueError(
                f"{_OWNER}: `layers` must be the same in each call. Received: "
                f"{len(layers)} layers that differ from the {len(known)} "
                "before. Start another trace."
            )
        lengths = _validation.check_array(
            _OWNER, "lengths", lengths, np.int64, (len(layers),)
        )
        norms = _validation.check_array(
            _OWNER,
            "norms",
            norms,
            np.float32,
            (len(layers), TIMES),
            "A row holds the norms at the time steps that are kept, then NaN.",
        )
        if not len(self.layers):
            self.layers = np.array(layers, dtype=str)
            self._tables.add_recurrent(len(layers))
        self._tables.append_times(
            1,
            {"step": [step], "length": lengths[None], "norm": norms[None]},
        )

    @property
    def steps(self):
        """Int array (K,): steps at which was measured."""
        return self._tables.times.get("step")

    def of(self, layer):
        """Return what was measured of a layer; see `Trace.time_gradients`."""
        check_choice(
            "Trace.time_gradients", "layer", layer, self.shown.tolist()
        )
        at = self.layers.tolist().index(layer)
        lengths = self._tables.times.get("length")[:, at]
        norms = self._tables.times.get("norm")[:, at]
        widest = min(TIMES, int(lengths.max(initial=0)))
        times = np.full((len(lengths), widest), -1, np.int64)
        for row, length in zip(times, lengths, strict=True):
            kept = times_of(length)
            row[: len(kept)] = kept
        return self.steps, times, norms[:, :widest]
