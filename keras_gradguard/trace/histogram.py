"""How the entries of gradients spread over the powers of two."""

import dataclasses
from typing import Any

import numpy as np

# Bins of each sign; the last one also takes in all smaller entries.
OCTAVES = 32
# Of a variable, as the step counts it: exponent of the largest entry, number
# of non-finite entries, counts of positive and of negative ones.
COLUMNS = 2 + 2 * OCTAVES


@dataclasses.dataclass(frozen=True, slots=True)
class GradientHistogram:
    """Histograms of the gradients of one update, of N variables or layers.

    The bins are octaves: bin `i` counts the entries whose absolute value is
    in `[2 ** (exponent - i), 2 ** (exponent - i + 1))`, where `exponent` is
    that of the largest. They follow the gradients over all of float32 and are
    `2 ** -31` (ten decades) deep; the last bin takes in all that is smaller.
    Entries below `2 ** -126`, which some processors round to zero, count as
    zeros.

    Attributes:
        step: Integer, the optimizer's step.
        exponent: Integer array `(N,)`; 0 where all is zero or unknown.
        positive: Integer array `(N, OCTAVES)`.
        negative: Integer array `(N, OCTAVES)`.
        zero: Integer array `(N,)`, entries that are zero.
        nonfinite: Integer array `(N,)`, entries that are NaN or infinite.
        known: Bool array `(N,)`, False without a gradient.

    References:
        - [Micikevicius et al., 2018](https://arxiv.org/abs/1710.03740),
          figure 3: gradients by their exponents.
    """

    step: int
    exponent: Any
    positive: Any
    negative: Any
    zero: Any
    nonfinite: Any
    known: Any

    @classmethod
    def unpack(cls, step, rows, sizes):
        """Read what a step counted.

        Args:
            step: Integer.
            rows: Float array `(V, COLUMNS)`, NaN without a gradient.
            sizes: Integer array `(V,)`, entries of each variable.

        Returns:
            A `GradientHistogram` of V variables.
        """
        rows = np.asarray(rows)
        known = ~np.isnan(rows).any(axis=1)
        rows = np.where(known[:, np.newaxis], rows, 0).astype(np.int64)
        nonfinite, counts = rows[:, 1], rows[:, 2:]
        found = counts.sum(axis=1)
        # The gradient of an embedding may come without the rows that it
        # leaves alone; they are zero. Counts above 2 ** 24 are rounded.
        zero = np.maximum(np.asarray(sizes) - found - nonfinite, 0)
        return cls(
            step=int(step),
            exponent=np.where(found > 0, rows[:, 0], 0),
            positive=counts[:, :OCTAVES],
            negative=counts[:, OCTAVES:],
            zero=np.where(known, zero, 0),
            nonfinite=nonfinite,
            known=known,
        )

    def by_layer(self, owners, count):
        """Add up the variables of each layer.

        Args:
            owners: Integer array `(N,)`, index of each variable's layer.
            count: Integer, the number of layers.

        Returns:
            A `GradientHistogram` of `count` layers.
        """
        owners = np.asarray(owners)
        empty = self.positive.sum(axis=1) + self.negative.sum(axis=1) == 0
        lowest = np.iinfo(np.int64).min
        top = np.full(count, lowest)
        np.maximum.at(top, owners[~empty], self.exponent[~empty])
        top[top == lowest] = 0
        shift = np.where(empty, 0, top[owners] - self.exponent)
        bins = np.arange(OCTAVES) + shift[:, np.newaxis]
        bins = np.minimum(bins, OCTAVES - 1)

        def add(values, *places):
            total = np.zeros((count, *values.shape[1:]), values.dtype)
            np.add.at(
                total, (owners[(..., *[None] * len(places))], *places), values
            )
            return total

        return GradientHistogram(
            step=self.step,
            exponent=top,
            positive=add(self.positive, bins),
            negative=add(self.negative, bins),
            zero=add(self.zero),
            nonfinite=add(self.nonfinite),
            known=add(self.known.astype(np.int64)) > 0,
        )

    def buckets(self, index):
        """Buckets on the axis of the values, smallest first.

        Args:
            index: Integer, which variable or layer.

        Returns:
            Float64 array `(k, 3)` of left edge, right edge and count; the
            bucket in the middle holds the zeros and what is below all bins
            that hold anything. Empty where no entry is finite.
        """
        depth = self._depth(index)
        exponent = int(self.exponent[index])
        edges = 2.0 ** (exponent + 1 - np.arange(depth + 1))
        if not depth:
            edges = np.full(1, 2.0**-126)
        sides = [
            np.stack([-edges[:-1], -edges[1:], self.negative[index, :depth]]),
            np.array([[-edges[-1]], [edges[-1]], [self.zero[index]]]),
            np.stack([edges[1:], edges[:-1], self.positive[index, :depth]])[
                :, ::-1
            ],
        ]
        rows = np.concatenate(sides, axis=1).T
        return _trimmed(rows)

    def log10_buckets(self, index):
        """Buckets on the axis of the absolute values' decimal logarithm.

        Args:
            index: Integer, which variable or layer.

        Returns:
            Float64 array `(k, 3)` of left edge, right edge and count. Zeros
            have no logarithm and are left out.
        """
        depth = self._depth(index)
        exponent = int(self.exponent[index])
        edges = (exponent + 1 - np.arange(depth + 1)) * np.log10(2.0)
        counts = self.positive[index, :depth] + self.negative[index, :depth]
        return np.stack([edges[1:], edges[:-1], counts], axis=1)[::-1]

    def _depth(self, index):
        """Number of bins down to the last that holds anything."""
        counts = self.positive[index] + self.negative[index]
        used = np.flatnonzero(counts)
        return int(used[-1]) + 1 if len(used) else 0


def _trimmed(rows):
    """Rows from the first to the last that holds anything."""
    used = np.flatnonzero(rows[:, 2])
    return rows[used[0] : used[-1] + 1] if len(used) else rows[:0]
