"""Parts of one long axis, reduced part by part in a few kernels."""

import numpy as np
from keras import ops


class Segments:
    """Parts of an axis that lie side by side.

    However many there are, and however their sizes differ, a reduction takes
    the same few operations: under XLA each would else be a kernel, to be
    compiled and started. What is not finite stays within its part.

    Args:
        sizes: List of int, number of entries of each part.
        xp: `keras.ops`, or `host_ops`.

    Attributes:
        sizes: Int array `(parts,)`.
    """

    def __init__(self, sizes, xp=ops):
        self._xp = xp
        self.sizes = np.asarray(sizes, "int32")
        starts = np.cumsum(self.sizes) - self.sizes
        offsets = np.arange(max(1, self.sizes.max(initial=0)))
        self._inside = offsets < self.sizes[:, None]
        self._positions = np.where(
            self._inside, starts[:, None] + offsets, 0
        ).astype("int32")
        self._owner = np.repeat(np.arange(len(self.sizes)), self.sizes)

    def sum(self, values):
        """Return `(..., parts)`: the sum of each part, 0 if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._xp.sum(self._rows(values, 0.0), axis=-1)

    def max(self, values):
        """Return `(..., parts)`: the maximum, minus infinity if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._xp.max(self._rows(values, float("-inf")), axis=-1)

    def min(self, values):
        """Return `(..., parts)`: the minimum, infinity if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._xp.min(self._rows(values, float("inf")), axis=-1)

    def mean(self, values):
        """Return `(..., parts)`: the mean of each part, 0 if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        sizes = np.maximum(self.sizes, 1).astype("float32")
        return self.sum(values) / self._xp.convert_to_tensor(sizes)

    def spread(self, values):
        """Return `(..., entries)`: each part's value for all its entries.

        Args:
            values: Tensor `(..., parts)`.
        """
        return self._xp.take(values, self._owner, axis=-1)

    def _rows(self, values, nothing):
        """The parts as rows `(..., parts, longest)`, filled up."""
        rows = self._xp.take(values, self._positions, axis=-1)
        if self._inside.all():
            return rows
        return self._xp.where(self._inside, rows, nothing)
