"""Random states beside those of a model, kept as they were."""

import contextlib
import random
import sys

import numpy as np


@contextlib.contextmanager
def random_state_kept():
    """Put Python's, NumPy's and torch's random states back at the end."""
    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(torch_state)
