"""Parts of a run that are equally long in steps, whatever was kept of them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class StepBins:
    """Equal parts of the steps of a series.

    A long run is thinned out: its old steps are few and its latest are all
    there. Parts of equally many records would give the latest steps most of
    the room.

    Attributes:
        edges: Int array (B + 1,). The steps at which the parts begin, and the
            step after the last one.
        starts: Int array (B,). The first record of each part. A part without
            a record shows the one before it.
        stops: Int array (B,). The record after its last one.
    """

    edges: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def of(cls, steps, most):
        """Divide the steps of a series.

        Args:
            steps: Int array (T,), T >= 1, in time order. Steps may repeat.
            most: Int. The largest number of parts.
        """
        # A counter that is set back while training goes on moves no record to
        # an earlier part: there, it would hide what happened.
        steps = np.maximum.accumulate(steps)
        first, after = int(steps[0]), int(steps[-1]) + 1
        count = min(most, after - first)
        edges = first + np.arange(count + 1) * (after - first) // count
        starts = np.searchsorted(steps, edges[:-1], side="left")
        stops = np.searchsorted(steps, edges[1:], side="left")
        empty = stops == starts
        return cls(edges, np.where(empty, starts - 1, starts), stops)

    def __len__(self):
        return len(self.starts)

    @property
    def middles(self):
        """Float array (B,): the step in the middle of each part."""
        return (self.edges[:-1] + self.edges[1:] - 1) / 2

    def sum(self, values):
        """Return (B, ...): sums over the records of each part."""
        return self._reduced(np.add, values)

    def min(self, values):
        """Return (B, ...): minima; a NaN does not count beside a number."""
        return self._reduced(np.fmin, values)

    def max(self, values):
        """Return (B, ...): maxima; a NaN does not count beside a number."""
        return self._reduced(np.fmax, values)

    def any(self, values):
        """Return (B, ...): whether it holds for any record."""
        return self._reduced(np.logical_or, values)

    def median(self, values):
        """Return (B, ...): medians of what is known, NaN if nothing is."""
        out = np.full((len(self), *values.shape[1:]), np.nan)
        for at, (start, stop) in enumerate(
            zip(self.starts, self.stops, strict=True)
        ):
            part = values[start:stop].astype(np.float64)
            some = ~np.isnan(part).all(axis=0)
            with np.errstate(invalid="ignore"):  # between two infinities
                out[at, some] = np.nanmedian(part[:, some], axis=0)
        return out

    def _reduced(self, ufunc, values):
        # `reduceat` wants an index behind each part: of one row more.
        values = np.concatenate([values, values[-1:]])
        pairs = np.stack([self.starts, self.stops], axis=1).ravel()
        return ufunc.reduceat(values, pairs, axis=0)[::2]
