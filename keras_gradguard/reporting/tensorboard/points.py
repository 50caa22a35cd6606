"""Points that get sparser as a run gets longer."""

from typing import Any

import numpy as np


class Points:
    """Says which records make a point together.

    A point stands for `first` steps at the start of a run and later for a
    `share`-th of the run so far, so the number of points grows with the
    logarithm of its length: about `share * (1 + log(steps / share / first))`.

    Args:
        first: Int. Steps of the first points.
        share: Int. Larger gives more points.
    """

    def __init__(self, first, share):
        self._first, self._share = first, share
        self._start: Any = None
        self._from: Any = None
        self._next: Any = None

    def cuts(self, steps, *, force=False, most=None):
        """Return where the points end that are complete.

        Args:
            steps: Int array (T,) of the steps of all records, rising.
            force: Bool. Also make a point of what is left over.
            most: Int. Merge points until there are so many at most; later
                calls go on behind them. Defaults to no limit.

        Returns:
            List of n steps, each the first one after a point; int array of
            n + 1 rows, the first of each point and the one after the last.
            Both are empty if no point is complete.
        """
        if self._start is None:
            self._start = self._from = int(steps[0])
            self._next = self._start + self._first
        last, ends = int(steps[-1]), []
        while self._next <= last:
            ends.append(self._next)
            run = self._next - self._start
            self._next += max(self._first, run // self._share)
        if force and last >= self._from:
            ends.append(last + 1)
            self._next = (
                last
                + 1
                + max(self._first, (last + 1 - self._start) // self._share)
            )
        if not ends:
            return [], np.zeros(0, int)
        if most is not None:
            ends = ends[:: -(-len(ends) // most)][:-1] + ends[-1:]
        rows = np.searchsorted(steps, [self._from, *ends])
        self._from = ends[-1]
        return ends, rows


def means(values, rows):
    """Return means (n, ...) over `values[rows[i]:rows[i + 1]]`, none empty."""
    starts = rows[:-1] - rows[0]
    counts = np.diff(rows).reshape(-1, *[1] * (values.ndim - 1))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.add.reduceat(values, starts, axis=0) / counts


def highs(values, rows):
    """Return maxima as `means` does means; NaN is the largest of all."""
    return np.maximum.reduceat(values, rows[:-1] - rows[0], axis=0)


def lows(values, rows):
    """Return minima as `means` does means; NaN is the smallest of all."""
    return np.minimum.reduceat(values, rows[:-1] - rows[0], axis=0)
