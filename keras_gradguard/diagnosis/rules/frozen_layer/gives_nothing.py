"""A layer of the user's own that gives the same number for every input."""

import numpy as np


def gives_nothing(trace, zero):
    """Return the own layer behind which nothing varies any more, or None.

    What comes into the next layer that was measured does not vary at all, and
    no gradient comes back to this one, nor to those before it.

    Args:
        trace: `Trace`.
        zero: Set of str. The layers whose gradient is exactly zero.
    """
    came = trace.activation("input_std")[:1]
    if not came.size or not (came[0] == 0).any():
        return None
    site = str(trace.sites[int(np.argmax(came[0] == 0))])
    order = [str(layer) for layer in trace.layers]
    if site not in order:
        return None
    before = order[: order.index(site)]
    own = [layer for layer in before if layer in trace.run.own_layers]
    if not own or own[-1] not in zero:
        return None
    # Nothing that trains lies between it and what does not vary.
    behind = before[before.index(own[-1]) + 1 :]
    shapes = trace.run.info(own[-1]).get("shapes") or {}
    return None if behind or not shapes else own[-1]


def in_words(layer):
    """Return what is wrong with such a layer.

    Args:
        layer: Str. Its path.
    """
    return (
        f"{layer}: this layer of your own gives the same number for every "
        "input, so no gradient comes back through it. A rectifier does so "
        "where its biases start far below 0, a sigmoid where they start far "
        "from it."
    )
