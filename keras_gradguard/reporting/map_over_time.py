"""Gradients through time of the latest measurement, as they are drawn."""

import dataclasses

import numpy as np

from keras_gradguard._text import number

# Decades of a map.
_DECADES = 12
_COLUMNS = 64


@dataclasses.dataclass(frozen=True, slots=True)
class TimeProfiles:
    """The latest norms of each recurrent layer over its time steps.

    Attributes:
        step: Int. The optimizer's step.
        layers: List of R str.
        lengths: List of R int, time steps.
        cells: Float array (R, columns). Log10 of the norms, from the first
            time step to the last of each layer; minus infinity for 0, NaN
            where nothing is known.
        gone: Bool array (R, columns). Norms that are not finite.
        lines: List of R str. Each layer in words.
    """

    step: int
    layers: list
    lengths: list
    cells: np.ndarray
    gone: np.ndarray
    lines: list

    @property
    def log_range(self):
        """Tuple of the ends of the colours."""
        known = self.cells[np.isfinite(self.cells)]
        if not len(known):
            return 0.0, 1.0
        high = float(known.max())
        return max(float(known.min()), high - _DECADES), high


def last_profiles(trace):
    """Return `TimeProfiles` of a trace, or None where nothing was measured."""
    found = []
    for layer in trace.recurrent_layers.tolist():
        steps, times, norms = trace.time_gradients(layer)
        there = np.flatnonzero((times >= 0).any(axis=1))
        if len(there):
            at = int(there[-1])
            known = times[at] >= 0
            found.append(
                (layer, int(steps[at]), times[at][known], norms[at][known])
            )
    if not found:
        return None
    rows = [_row(times, norms) for _, _, times, norms in found]
    cells = np.array(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.where(np.isinf(cells), np.nan, cells))
    return TimeProfiles(
        step=max(step for _, step, _, _ in found),
        layers=[layer for layer, *_ in found],
        lengths=[int(times[-1]) + 1 for _, _, times, _ in found],
        cells=logs,
        gone=np.isinf(cells),
        lines=[_words(layer, times, norms) for layer, _, times, norms in found],
    )


def _row(times, norms):
    """Stretch the norms of a layer over all columns, by its nearest times."""
    at = np.linspace(0, times[-1], _COLUMNS)
    right = np.clip(np.searchsorted(times, at), 0, len(times) - 1)
    left = np.maximum(right - 1, 0)
    nearer = at - times[left] < times[right] - at
    return norms[np.where(nearer, left, right)].astype(np.float64)


def _words(layer, times, norms):
    known = np.flatnonzero(~np.isnan(norms))
    if not len(known):
        return f"{layer}: all time steps are masked."
    first, last = known[0], known[-1]
    return (
        f"{layer}: {number(float(norms[first]))} at time step {times[first]}, "
        f"{number(float(norms[last]))} at time step {times[last]}."
    )
