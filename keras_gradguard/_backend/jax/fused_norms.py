"""Norms of many tensors in few kernels.

XLA takes longer to compile a kernel than a small tensor to read. TensorFlow's
is left out: it fused the update itself otherwise next to these, and the last
bits of the weights differed.
"""

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
    small, large = _split(tensors)
    parts = []
    if small:
        rows, counts = _rows_of([tensors[i] for i in small])
        parts.append(_norms_of_small(rows, counts))
    if large:
        parts.append(_norms_of_large([_flat(tensors[i]) for i in large]))
    return _in_order(parts, small + large)


def change_norms(before, after):
    """L2 norms of tensors, then those of their changes.

    Args:
        before: List of n dense float tensors, n at least 1.
        after: List of n tensors of the same shapes.

    Returns:
        Float32 tensor of shape `(2 n,)`.
    """
    small, large = _split(before)
    n, parts = len(before), []
    if small:
        rows, counts = _rows_of([before[i] for i in small])
        changed, _ = _rows_of([after[i] for i in small])
        rows = ops.concatenate([rows, changed - rows], axis=0)
        parts.append(_norms_of_small(rows, counts + counts))
    if large:
        tensors = [_flat(before[i]) for i in large]
        changed = [_flat(after[i]) for i in large]
        changes = [a - b for a, b in zip(changed, tensors, strict=True)]
        parts.append(_norms_of_large(tensors + changes))
    places = [*small, *(n + i for i in small)]
    return _in_order(parts, [*places, *large, *(n + i for i in large)])


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


def _split(tensors):
    """Positions of small tensors and of the others."""
    small: list = []
    large: list = []
    for i, tensor in enumerate(tensors):
        (small if tensor.size <= _SMALL else large).append(i)
    return small, large


def _in_order(parts, places):
    """Join vectors whose entries belong to these places."""
    if places == list(range(len(places))) and len(parts) == 1:
        return parts[0]
    order = np.argsort(places).astype("int32")
    return ops.take(ops.concatenate(parts, axis=0), order, axis=0)


def _rows_of(tensors):
    """Tensors in rows of one length, each begins a row; how many each takes."""
    counts = [-(-t.size // _ROW) for t in tensors]
    pieces = [
        ops.pad(_flat(tensor), [[0, rows * _ROW - tensor.size]])
        for tensor, rows in zip(tensors, counts, strict=True)
    ]
    return ops.reshape(ops.concatenate(pieces, axis=0), (-1, _ROW)), counts


def _norms_of_small(rows, counts):
    if not sum(counts):
        return ops.zeros((len(counts),), "float32")
    of_tensor = Segments(counts)

    def scaled():
        scale = _scale(of_tensor.max(ops.max(ops.abs(rows), axis=1)))
        parts = rows / of_tensor.spread(scale)[:, None]
        sums = of_tensor.sum(ops.sum(parts * parts, axis=1))
        return ops.sqrt(sums) * scale

    if sum(counts) * _ROW <= _SMALL:
        return scaled()  # a second pass costs less than to choose
    sums = of_tensor.sum(ops.sum(rows * rows, axis=1))
    return ops.cond(_safe(sums), lambda: ops.sqrt(sums), scaled)


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = ops.stack([ops.sum(t * t) for t in tensors], axis=0)
    return ops.cond(
        _safe(sums),
        lambda: ops.sqrt(sums),
        lambda: ops.concatenate(
            [norms_of_rows(ops.reshape(t, (1, -1))) for t in tensors], axis=0
        ),
    )


def _safe(sums):
    """Whether no sum of squares lost digits; one that is zero may have."""
    return ops.all(ops.logical_and(sums > _SAFE_LOW, sums < _SAFE_HIGH))


def _flat(tensor):
    return ops.reshape(ops.cast(tensor, "float32"), (-1,))


def _scale(largest):
    usable = ops.logical_and(ops.isfinite(largest), largest > 0)
    return ops.where(usable, largest, ops.ones_like(largest))
