"""Python's and NumPy's generators, which layers may draw from."""

import contextlib
import random

import numpy as np


@contextlib.contextmanager
def kept():
    """Leave the generators as they were.

    A layer may draw from them while it is traced.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
