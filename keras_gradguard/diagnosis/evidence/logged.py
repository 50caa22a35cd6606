"""Losses in the logs of the epochs, by whatever name."""

import re

import numpy as np

_SIDES = {
    "discriminator": r"(^|_)(d|disc|discriminator|critic)(_|$)",
    "generator": r"(^|_)(g|gen|generator)(_|$)",
}


def losses_of_sides(trace):
    """Return the losses of two networks that train each other, or None.

    Args:
        trace: `Trace`.

    Returns:
        Dict from `"discriminator"` and `"generator"` to float arrays (E,).
    """
    names = _names(trace)
    found = {
        side: next((n for n in names if re.search(words, n.lower())), None)
        for side, words in _SIDES.items()
    }
    if None in found.values():
        return None
    return {side: trace.logs[name] for side, name in found.items()}


def logged_loss(trace):
    """Return the loss of each epoch (E,), none where nothing tells it.

    That is `loss`. A loop of one's own may log others: their total, the only
    one, or the sum of its parts. Those of two sides have no sum.

    Args:
        trace: `Trace`.
    """
    if "loss" in trace.logs:
        return trace.logs["loss"]
    names = _names(trace)
    total = [name for name in names if "total" in name.lower()]
    chosen = total[:1] or names
    if not chosen or losses_of_sides(trace) is not None:
        return np.zeros(0)
    return np.sum([trace.logs[name] for name in chosen], axis=0)


def _names(trace):
    return [
        name
        for name in trace.logs
        if "loss" in name.lower() and not name.startswith("val_")
    ]
