"""Norms of arrays that the host can read, by NumPy: nothing is compiled."""

import numpy as np

from keras_gradguard._backend.scaling import SAFE_HIGH
from keras_gradguard._backend.scaling import SAFE_LOW

# Entries at a time, so that what is in between stays in the cache.
_CHUNK = 1 << 15
_SMALL = 1 << 12


@np.errstate(over="ignore", invalid="ignore")
def l2_norms(arrays):
    norms = np.zeros(len(arrays))
    small = [i for i, a in enumerate(arrays) if 0 < a.size <= _SMALL]
    if small:
        norms[small] = _norms_of_small([arrays[i] for i in small])
    for i, array in enumerate(arrays):
        if array.size > _SMALL:
            norms[i] = _norm(_chunks(array))
    return norms.astype("float32")


@np.errstate(over="ignore", invalid="ignore")
def change_norms(before, after):
    n = len(before)
    norms = np.zeros(2 * n, "float32")
    norms[:n] = l2_norms(before)
    small = [i for i, a in enumerate(before) if 0 < a.size <= _SMALL]
    if small:
        first, then = (
            _side_by_side([arrays[i] for i in small])
            for arrays in (before, after)
        )
        sizes = [before[i].size for i in small]
        norms[[n + i for i in small]] = _norms_of_parts(then - first, sizes)
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.size > _SMALL:
            norms[n + i] = _norm(_changes(a, b))
    return norms


def _norms_of_small(arrays):
    """Norms of small arrays: a call of NumPy costs more than to read them."""
    return _norms_of_parts(_side_by_side(arrays), [a.size for a in arrays])


def _side_by_side(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays]).astype("float64")


def _norms_of_parts(flat, sizes):
    starts = np.cumsum(sizes) - sizes
    return np.sqrt(np.add.reduceat(np.square(flat), starts))


def zero_fractions(arrays):
    shares = [
        (array.size - np.count_nonzero(array)) / max(1, array.size)
        for array in arrays
    ]
    return np.asarray(shares, "float32")


def _chunks(array):
    flat = array.reshape(-1)
    for start in range(0, len(flat), _CHUNK):
        chunk = flat[start : start + _CHUNK]
        yield chunk.astype(_wide_enough(chunk), copy=False)


def _changes(before, after):
    for a, b in zip(_chunks(before), _chunks(after), strict=True):
        yield b - a


def _wide_enough(array):
    return "float64" if array.dtype.itemsize > 4 else "float32"


def _norm(chunks):
    # Not `np.linalg.norm`: BLAS threads wait for the cores that train.
    total = 0.0
    for chunk in chunks:
        squares = float(np.square(chunk).sum())
        if not SAFE_LOW < squares < SAFE_HIGH:
            squares = float(np.square(chunk, dtype="float64").sum())
        total += squares
    return np.sqrt(total)
