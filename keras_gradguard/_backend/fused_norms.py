"""Norms of many tensors in few kernels, for steps that XLA compiles."""

import numpy as np
from keras import ops

from keras_gradguard._backend.segments import Segments

# A smaller tensor costs a kernel, not its data.
_SMALL = 1 << 14
# XLA splits longer rows into several kernels.
_ROW = 32
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def l2_norms(tensors):
    """L2 norm of each tensor, safe from overflow and underflow.

    Args:
        tensors: List of n dense float tensors, n at least 1.

    Returns:
        Float32 tensor of shape `(n,)`.
    """
    sizes = [_size(t) for t in tensors]
    tensors = [ops.reshape(ops.cast(t, "float32"), (-1,)) for t in tensors]
    small = [i for i, s in enumerate(sizes) if s is not None and s <= _SMALL]
    large = [i for i in range(len(tensors)) if i not in set(small)]
    parts = []
    if small:
        parts.append(_norms_of_small([tensors[i] for i in small]))
    if large:
        parts.append(_norms_of_large([tensors[i] for i in large]))
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(small + large).astype("int32")
    return ops.take(ops.concatenate(parts, axis=0), order, axis=0)


def norms_of_rows(rows):
    """L2 norm of each row, safe from overflow and underflow.

    Args:
        rows: Float32 tensor `(n, m)`.

    Returns:
        Float32 tensor `(n,)`.
    """
    scale = _scale(ops.max(ops.abs(rows), axis=1))
    scaled = rows / scale[:, None]
    return ops.sqrt(ops.sum(scaled * scaled, axis=1)) * scale


def _norms_of_small(tensors):
    """Laid side by side, in rows of one length, each begins a row."""
    counts = [-(-_size(t) // _ROW) for t in tensors]
    pieces = []
    for tensor, rows in zip(tensors, counts, strict=True):
        pieces.append(tensor)
        if rows * _ROW > _size(tensor):
            pieces.append(ops.zeros((rows * _ROW - _size(tensor),), "float32"))
    rows = ops.reshape(ops.concatenate(pieces, axis=0), (-1, _ROW))
    if not sum(counts):
        return ops.zeros((len(tensors),), "float32")
    of_tensor = Segments(counts)
    scale = _scale(of_tensor.max(ops.max(ops.abs(rows), axis=1)))
    scaled = rows / of_tensor.spread(scale)[:, None]
    sums = of_tensor.sum(ops.sum(scaled * scaled, axis=1))
    return ops.sqrt(sums) * scale


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = ops.stack([ops.sum(t * t) for t in tensors], axis=0)
    safe = ops.all(ops.logical_and(sums > _SAFE_LOW, sums < _SAFE_HIGH))
    return ops.cond(
        safe,
        lambda: ops.sqrt(sums),
        lambda: ops.concatenate(
            [norms_of_rows(ops.reshape(t, (1, -1))) for t in tensors], axis=0
        ),
    )


def _scale(largest):
    usable = ops.logical_and(ops.isfinite(largest), largest > 0)
    return ops.where(usable, largest, ops.ones_like(largest))


def _size(tensor):
    """Number of elements, None if it is not known before the step runs."""
    shape = tuple(tensor.shape)
    return None if None in shape else int(np.prod(shape))
