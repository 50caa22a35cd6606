"""When a step is at fault."""

from typing import Any

import numpy as np

from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import GROWTH
from keras_gradguard.models import optimizers

# A spike is judged by the median of so many norms before it, not by fewer.
WINDOW, _FEWEST = 64, 16


def nonfinite_rows(model: Any, block: Any) -> np.ndarray:
    """Return which records have a loss or a gradient that is not finite.

    A loss scale is found by skipping such updates, so those do not count.

    Args:
        model: A compiled Keras model.
        block: A `Block`.
    """
    bad = ~np.isfinite(block.grad_norm[:, block.has_gradient]).all(axis=1)
    if block.loss is not None:
        bad |= ~np.isfinite(block.loss)
    if optimizers.loss_scalers(model.optimizer):
        bad &= ~block.skipped
    return bad


def global_norms(block: Any) -> np.ndarray:
    """Return the norm of all gradients as one vector, per record.

    Args:
        block: A `Block`.
    """
    norms = block.grad_norm[:, block.has_gradient].astype("float64")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.square(norms).sum(axis=1))


def is_spike(norm: float, before: Any) -> bool:
    """Return whether a norm is `GROWTH` times the usual one, or more.

    Args:
        norm: Float, finite.
        before: The finite norms before, `WINDOW` of them at most.
    """
    if len(before) < _FEWEST:
        return False
    usual = float(np.median(list(before)))
    return usual > 0 and norm > GROWTH * usual
