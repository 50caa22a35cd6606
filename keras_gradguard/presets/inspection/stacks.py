"""Judges stacks of layers: whether the signal dies or blows up in them."""

import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models.values import host_copy
from keras_gradguard.presets.gains import moments

# Signal lost or gained over a plain stack, as a standard deviation: Keras's
# Glorot default under ReLU loses this after nine layers.
_STACK_LOST, _STACK_GROWN = 0.05, 20.0
# Two layers with weak weights train all the same; three may not.
_FEWEST_LOST = 3


def judge_stacks(nodes, kernels):
    """Follow the signal's second moment through plain stacks of layers.

    Args:
        nodes: List of `graph.Node`, in forward order.
        kernels: List of `Kernel` of these.

    Returns:
        List of `InitializationProblem`, at most one.
    """
    lost_in: tuple = ()
    by_node: dict = {}
    for kernel in kernels:
        by_node.setdefault(id(kernel.node), []).append(kernel)
    power: dict = {}
    stack: dict = {}
    for node in nodes:
        q, chain = _merge(node, power, stack)
        mine = by_node.get(id(node), [])
        if mine:
            for kernel in mine:
                q *= kernel.fan_in * kernel.rms**2
            bias = getattr(node.inner, "bias", None)
            if bias is not None:
                bias = host_copy(bias).astype("float64")
                q += float(np.mean(bias**2))
            chain = [*chain, *mine]
            std = np.sqrt(q)
            lost = (
                std < _STACK_LOST
                and len(chain) >= _FEWEST_LOST
                and all(k.hidden for k in mine)
            )
            if not all(k.rms for k in mine):
                q, chain = 1.0, []  # Zero on purpose, or judged already.
            elif lost and (not lost_in or _goes_on(chain, lost_in[0])):
                lost_in = chain, std
            elif std > _STACK_GROWN and len(chain) > 1 and not lost_in:
                # One stack is enough: what follows is its echo.
                return [_stack_problem(chain, std)]
        elif node.kind is not None or not _passes(node):
            q, chain = 1.0, []
        if node.activation is not None and 1e-30 < q < 1e30:
            q = _after(node.activation, q)
        if not np.isfinite(q):
            q, chain = 1.0, []
        power[id(node)], stack[id(node)] = q, chain
    # One stack is enough here, too, to its end.
    return [_stack_problem(*lost_in)] if lost_in else []


def _goes_on(chain, before):
    return len(chain) > len(before) and chain[len(before) - 1] is before[-1]


def _passes(node):
    return isinstance(node.layer, (*graph.KEPT, *graph.ACTIVATIONS)) or (
        type(node.layer).__name__ in ("Add", "Concatenate", "Average")
    )


def _merge(node, power, stack):
    if not node.sources:
        return 1.0, []
    coming = [power.get(id(s), 1.0) for s in node.sources]
    # A sum over branches keeps the signal of the shortest one alive.
    total = sum(coming) if type(node.layer).__name__ == "Add" else None
    q = total if total is not None else float(np.mean(coming))
    return q, list(stack.get(id(node.sources[0]), []))


def _after(activation, q):
    try:
        return moments(activation, q).second_moment
    except ValueError:
        return 1.0


def _stack_problem(chain, std):
    lost = std < 1.0
    worst = [k for k in chain if (k.ratio < 0.9 if lost else k.ratio > 1.1)]
    worst = worst or chain
    first = worst[-1] if len(worst) < 2 else worst[1]
    rest = [k.node.key for k in worst if k is not first]
    change = f"shrinks to {std:.2g} of" if lost else f"grows to {std:.2g} times"
    return first.problem(
        "vanishing_stack" if lost else "exploding_stack",
        f"over {len(chain)} layers the signal {change} what it was. Weights "
        f"such as these have a standard deviation of {first.rms:.3g}, where "
        f"{first.expected:.3g} fits, and the errors multiply.",
        rest,
        left=min(1.0, float(std)),
    )
