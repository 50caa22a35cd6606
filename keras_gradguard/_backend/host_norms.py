"""Norms of arrays that the host can read, by NumPy: nothing is compiled."""

import numpy as np

from keras_gradguard._backend.scaling import SAFE_HIGH
from keras_gradguard._backend.scaling import SAFE_LOW

# Entries at a time, so that what is in between stays in the cache.
_CHUNK = 1 << 15


def l2_norms(arrays):
    """L2 norm of each array, safe from overflow and underflow.

    Args:
        arrays: List of n NumPy arrays.

    Returns:
        Float32 array `(n,)`.
    """
    return np.asarray([_norm(_chunks(array)) for array in arrays], "float32")


def change_norms(before, after):
    """L2 norms of arrays, then those of their changes.

    Args:
        before: List of n NumPy arrays.
        after: List of n arrays of the same shapes.

    Returns:
        Float32 array `(2 n,)`.
    """
    pairs = zip(before, after, strict=True)
    changes = [_norm(_changes(*pair)) for pair in pairs]
    norms = l2_norms(before)
    return np.concatenate([norms, np.asarray(changes, "float32")])


def zero_fractions(arrays):
    """Share of exact zeros of each array, float32 `(n,)`."""
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
        with np.errstate(invalid="ignore", over="ignore"):
            yield b - a


def _wide_enough(array):
    return "float64" if array.dtype.itemsize > 4 else "float32"


def _norm(chunks):
    # Not `np.linalg.norm`: BLAS threads wait for the cores that train.
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in chunks:
            squares = float(np.square(chunk).sum())
            if not SAFE_LOW < squares < SAFE_HIGH:
                squares = float(np.square(chunk, dtype="float64").sum())
            total += squares
    return np.sqrt(total)
