"""From as many records as there are to as many as a screen shows."""

import numpy as np


def window(steps, first, last):
    """Return a slice of the records of some steps, and what still stands then.

    Args:
        steps: Int array (T,), rising.
        first: Int. First step; None is the first of all.
        last: Int. Last step; None is the last of all.

    Returns:
        Slice of records; it begins with the one before `first` where none is
        at `first`, since that one lasts until the next.
    """
    start = 0 if first is None else np.searchsorted(steps, first, "right") - 1
    stop = len(steps) if last is None else np.searchsorted(steps, last, "right")
    return slice(max(0, int(start)), int(stop))


def bins(steps, most):
    """Group records into spans of about equally many steps.

    Args:
        steps: Int array (T,), rising.
        most: Int. Largest number of groups.

    Returns:
        Int array (n + 1,), n <= `most`: the first record of each group, and T.
        No group is empty.
    """
    if len(steps) <= most:
        # Repeated steps of skipped updates must not make a span of no width.
        starts = np.flatnonzero(np.diff(steps, prepend=steps[:1] - 1))
    else:
        edges = np.linspace(steps[0], steps[-1] + 1, most + 1)[:-1]
        starts = np.unique(np.searchsorted(steps, edges))
        _, first = np.unique(steps[starts], return_index=True)
        starts = starts[first]
    return np.append(starts, len(steps))


def mean(values, groups, missing=None):
    """Return means of groups; what is not finite stays so.

    Args:
        values: Float array (T, ...).
        groups: Int array (n + 1,), as `bins` made it.
        missing: Bool array like `values`: what was not measured. Defaults to
            nothing.

    Returns:
        Float64 array (n, ...), and a bool array like it: groups in which
        nothing was measured, NaN there.
    """
    values = values.astype(np.float64)
    known = np.ones(values.shape) if missing is None else ~missing * 1.0
    if missing is not None:
        values = np.where(missing, 0.0, values)
    counts = np.add.reduceat(known, groups[:-1], axis=0)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        total = np.add.reduceat(values, groups[:-1], axis=0)
        return total / counts, counts == 0


def maximum(values, groups, missing):
    """Return maxima as `mean` does means: NaN is larger than any number."""
    values = np.where(missing, -np.inf, values)
    none = np.logical_and.reduceat(missing, groups[:-1], axis=0)
    high = np.maximum.reduceat(values, groups[:-1], axis=0)
    return np.where(none, np.nan, high), none


def spread(values, groups, low=None, high=None):
    """Return minima and maxima of groups (n,) of what is finite, else NaN.

    Args:
        values: Float array (T,).
        groups: Int array (n + 1,), as `bins` made it.
        low: Float array (T,). Minima, where values are means already.
        high: Float array (T,). Maxima.
    """
    low = values if low is None else np.where(np.isnan(low), values, low)
    high = values if high is None else np.where(np.isnan(high), values, high)
    low = np.where(np.isfinite(low), low, np.inf)
    low = np.minimum.reduceat(low, groups[:-1])
    high = np.where(np.isfinite(high), high, -np.inf)
    high = np.maximum.reduceat(high, groups[:-1])
    none = ~(np.isfinite(low) & np.isfinite(high))
    return np.where(none, np.nan, low), np.where(none, np.nan, high)
