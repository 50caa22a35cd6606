"""Parts of one long axis, reduced part by part in a few kernels."""

import functools

import numpy as np
from keras import ops


class Segments:
    """Parts of an axis that lie side by side.

    However many there are, and however their sizes differ, a reduction takes
    the same few operations: under XLA each would else be a kernel, to be
    compiled and started. What is not finite stays within its part. In a step
    the parts are filled up to the longest; the host adds them as they lie.

    Args:
        sizes: List of int, number of entries of each part.
        xp: `keras.ops`, or `host_ops`.

    Attributes:
        sizes: Int array `(parts,)`.
    """

    def __init__(self, sizes, xp=ops):
        self._xp = xp
        self.sizes = np.asarray(sizes, "int32")
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._owner = np.repeat(np.arange(len(self.sizes)), self.sizes)

    def sum(self, values):
        """Return `(..., parts)`: the sum of each part, 0 if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._reduced(ops.sum, np.add, values, 0.0)

    def max(self, values):
        """Return `(..., parts)`: the maximum, minus infinity if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._reduced(ops.max, np.maximum, values, float("-inf"))

    def min(self, values):
        """Return `(..., parts)`: the minimum, infinity if it is empty.

        Args:
            values: Float tensor `(..., entries)`.
        """
        return self._reduced(ops.min, np.minimum, values, float("inf"))

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

    def _reduced(self, reduce, ufunc, values, nothing):
        """Each part reduced to a number."""
        if self._xp is ops:
            return reduce(self._rows(values, nothing), axis=-1)
        shape = *values.shape[:-1], len(self.sizes)
        result = np.full(shape, nothing, values.dtype)
        filled = self.sizes > 0
        if filled.any():
            starts = self._starts[filled]
            result[..., filled] = ufunc.reduceat(values, starts, axis=-1)
        return result

    def _rows(self, values, nothing):
        """The parts as rows `(..., parts, longest)`, filled up."""
        inside, positions = self._places
        rows = self._xp.take(values, positions, axis=-1)
        if inside.all():
            return rows
        return self._xp.where(inside, rows, nothing)

    @functools.cached_property
    def _places(self):
        """Bool and int arrays `(parts, longest)`: what stands in the rows."""
        offsets = np.arange(max(1, self.sizes.max(initial=0)))
        inside = offsets < self.sizes[:, None]
        places = np.where(inside, self._starts[:, None] + offsets, 0)
        return inside, places.astype("int32")
