"""NumPy under the names of `keras.ops`, for what the host works out itself.

Statistics that a step shows are written once: with these functions nothing of
them is compiled.
"""

from typing import Any

import numpy as np
from numpy import abs
from numpy import all
from numpy import arange
from numpy import clip
from numpy import concatenate
from numpy import equal
from numpy import expand_dims
from numpy import greater_equal
from numpy import less_equal
from numpy import logical_and
from numpy import logical_or
from numpy import max
from numpy import maximum
from numpy import mean
from numpy import min
from numpy import not_equal
from numpy import reshape
from numpy import round
from numpy import shape
from numpy import sqrt
from numpy import squeeze
from numpy import stack
from numpy import std
from numpy import sum
from numpy import take
from numpy import where

convert_to_tensor: Any = np.asarray


def cast(array, dtype):
    """The array in another dtype."""
    return np.asarray(array).astype(dtype, copy=False)


def zeros(size, dtype):
    """Array of zeros."""
    return np.zeros(size, dtype)


__all__ = [
    "abs",
    "all",
    "arange",
    "cast",
    "clip",
    "concatenate",
    "convert_to_tensor",
    "equal",
    "expand_dims",
    "greater_equal",
    "less_equal",
    "logical_and",
    "logical_or",
    "max",
    "maximum",
    "mean",
    "min",
    "not_equal",
    "reshape",
    "round",
    "shape",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sum",
    "take",
    "where",
    "zeros",
]
