"""Norms of many tensors in few kernels.

XLA takes longer to compile a kernel than a small tensor to read. TensorFlow's
is left out: it fused the update itself otherwise next to these, and the last
bits of the weights differed.
"""

import jax
import numpy as np
from keras import ops

from keras_gradguard._backend.jax.sharding import is_sharded
from keras_gradguard._backend.kernels import SMALL
from keras_gradguard._backend.scaling import SAFE_HIGH
from keras_gradguard._backend.scaling import SAFE_LOW
from keras_gradguard._backend.scaling import safe_factors
from keras_gradguard._backend.scaling import safe_roots
from keras_gradguard._backend.segments import Segments

# XLA splits longer rows into several kernels.
_ROW = 32
_FAR = 2.0**80  # a power of two rounds nothing
# Sums that a large tensor is reduced to at first. An accelerator sums each in
# a block of its own; the next kernel is then one for all tensors, where XLA
# would else start a small one for each.
_PARTS = 512


def l2_norms(tensors):
    small, large = _split(tensors)
    parts = []
    if small:
        rows, counts = _rows_of([tensors[i] for i in small])
        parts.append(_norms_of_small(rows, counts))
    if large:
        parts.append(_norms_of_large([_large(tensors[i]) for i in large]))
    return _in_order(parts, small + large)


def change_norms(before, after):
    small, large = _split(before)
    n, parts = len(before), []
    if small:
        rows, counts = _rows_of([before[i] for i in small])
        changed, _ = _rows_of([after[i] for i in small])
        rows = ops.concatenate([rows, changed - rows], axis=0)
        parts.append(_norms_of_small(rows, counts + counts))
    if large:
        tensors = [_large(before[i]) for i in large]
        changed = [_large(after[i]) for i in large]
        changes = [a - b for a, b in zip(changed, tensors, strict=True)]
        parts.append(_norms_of_large(tensors + changes))
    places = [*small, *(n + i for i in small)]
    return _in_order(parts, [*places, *large, *(n + i for i in large)])


def _split(tensors):
    """Positions of small tensors and of the others."""
    small: list = []
    large: list = []
    most = 0 if is_sharded() else SMALL
    for i, tensor in enumerate(tensors):
        (small if tensor.size <= most else large).append(i)
    return small, large


def _large(tensor):
    return ops.cast(tensor, "float32") if is_sharded() else _flat(tensor)


def _in_order(parts, places):
    """Join vectors whose entries belong to these places."""
    if places == list(range(len(places))) and len(parts) == 1:
        return parts[0]
    order = np.argsort(places).astype("int32")
    return ops.take(ops.concatenate(parts, axis=0), order, axis=0)


def _rows_of(tensors):
    """Tensors in rows of one length, each begins a row; how many each takes."""
    counts = [-(-t.size // _ROW) for t in tensors]
    pieces = []
    for tensor, rows in zip(tensors, counts, strict=True):
        pieces.append(_flat(tensor))
        missing = rows * _ROW - tensor.size
        if missing:
            # Not `pad`, which is a kernel for each tensor.
            pieces.append(ops.zeros((missing,), "float32"))
    return ops.reshape(ops.concatenate(pieces, axis=0), (-1, _ROW)), counts


def _norms_of_small(rows, counts):
    if not sum(counts):
        return ops.zeros((len(counts),), "float32")
    of_tensor = Segments(counts)

    def sums(factor=None):
        parts = rows if factor is None else rows * factor
        return of_tensor.sum(ops.sum(parts * parts, axis=1))

    def scaled():
        largest = of_tensor.max(ops.max(ops.abs(rows), axis=1))
        factor, back = safe_factors(largest)
        return ops.sqrt(sums(of_tensor.spread(factor)[:, None])) * back

    if sum(counts) * _ROW <= SMALL:
        return scaled()  # a second pass costs less than to choose
    return _safe_norms(sums, scaled)


def _norms_of_large(tensors):
    def sums(factor=None):
        parts = tensors if factor is None else [t * factor for t in tensors]
        return ops.stack([ops.sum(t * t) for t in parts], axis=0)

    def scaled():
        norms = []
        for tensor in tensors:
            factor, back = safe_factors(ops.max(ops.abs(tensor)))
            parts = tensor * factor
            norms.append(ops.sqrt(ops.sum(parts * parts)) * back)
        return ops.stack(norms, axis=0)

    def in_two_steps(factor=None):
        rows = [_in_parts(tensor) for tensor in tensors]
        parts = rows if factor is None else [r * factor for r in rows]
        first = [ops.sum(part * part, axis=1) for part in parts]
        return ops.sum(ops.stack(first, axis=0), axis=1)

    return _safe_norms(sums, scaled, sums if is_sharded() else in_two_steps)


def _in_parts(flat):
    missing = -flat.size % _PARTS
    if missing:
        flat = ops.pad(flat, [[0, missing]])
    return ops.reshape(flat, (_PARTS, -1))


def _safe_norms(sums, scaled, sums_on_accelerator=None):
    """Norms from sums of squares, whatever the size of what is summed.

    Args:
        sums: Function of an optional factor to the sums of the squares of what
            is multiplied with it.
        scaled: Function to the norms, by two passes.
        sums_on_accelerator: What to take instead of `sums` beside a CPU.
    """

    def chosen():
        plain = sums()
        safe = ops.all(ops.logical_and(plain > SAFE_LOW, plain < SAFE_HIGH))
        return ops.cond(safe, lambda: ops.sqrt(plain), scaled)

    def side_by_side():
        return safe_roots(sums_on_accelerator or sums, _FAR)

    return jax.lax.platform_dependent(cpu=chosen, default=side_by_side)


def _flat(tensor):
    return ops.reshape(ops.cast(tensor, "float32"), (-1,))
