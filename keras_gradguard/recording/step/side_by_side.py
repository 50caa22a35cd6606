"""Small tensors of a step side by side, measured by few operations."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._backend.kernels import SMALL
from keras_gradguard._backend.segments import Segments


def is_small(tensor):
    """Tell whether a tensor is rather laid beside others than reduced.

    Args:
        tensor: Tensor (batch, columns).
    """
    shape = tuple(tensor.shape)
    if len(shape) != 2 or None in shape or math.prod(shape) > SMALL:
        return False
    return may_join()


def may_join():
    """Tell whether small tensors may be laid side by side at all."""
    return _backend.current().may_join()


def of_one_kind(tables):
    """Lay tables side by side in which only zeros matter.

    Args:
        tables: List of tensors (batch, columns).

    Returns:
        Tensor (batch, columns of all), zero where they are.
    """
    if len({keras.backend.standardize_dtype(t.dtype) for t in tables}) > 1:
        # What is tiny in one dtype may be zero in another.
        tables = [ops.cast(table != 0, "float32") for table in tables]
    return ops.concatenate(tables, axis=1) if len(tables) > 1 else tables[0]


def by_batch(tensors):
    """Group small tensors by the length of their first axis.

    Args:
        tensors: List of tensors for which `is_small` holds.

    Returns:
        List of lists of positions.
    """
    groups: dict = {}
    for i, tensor in enumerate(tensors):
        groups.setdefault(int(tensor.shape[0]), []).append(i)
    return list(groups.values())


class Columns:
    """Tensors with the same number of rows as the columns of one table.

    Args:
        tensors: List of n tensors (batch, columns).
        xp: `keras.ops`, or `host_ops`.

    Attributes:
        table: Float32 tensor (batch, columns of all).
        parts: `Segments` of its columns, one for each tensor.
    """

    def __init__(self, tensors, xp=ops):
        self._xp = xp
        tensors = [self._xp.cast(tensor, "float32") for tensor in tensors]
        several = len(tensors) > 1
        self.table = (
            self._xp.concatenate(tensors, axis=1) if several else tensors[0]
        )
        self.parts = Segments([tensor.shape[1] for tensor in tensors], xp)

    def constants(self, values):
        """Return (columns,): a constant of each tensor for its columns.

        Args:
            values: List of n floats.
        """
        return np.repeat(np.asarray(values, "float32"), self.parts.sizes)

    @functools.cached_property
    def column_mean(self):
        """Tensor (columns,): the mean of each column."""
        return self._xp.mean(self.table, axis=0)

    def std(self, mean=None):
        """Return (n,): the standard deviation of each tensor.

        Args:
            mean: Tensor (n,), the means, if they are known.
        """
        mean = self.parts.mean(self.column_mean) if mean is None else mean
        off = self.table - self.parts.spread(mean)
        return self._xp.sqrt(self.parts.mean(self._xp.mean(off * off, axis=0)))

    @functools.cached_property
    def column_std(self):
        """Tensor (columns,): the standard deviation of each column."""
        off = self.table - self.column_mean
        return self._xp.sqrt(self._xp.mean(off * off, axis=0))

    @functools.cached_property
    def nonzero(self):
        """Tensor (batch, columns): 1 where the table is not zero."""
        return self._xp.cast(self.table != 0, "float32")
