"""Signals and gradients that have exploded before the first step."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.rules.dead_relu import silent_layers
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    EXPLODED,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    FEWEST_LAYERS,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import HUGE
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import MOST
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    START_SIGNAL,
)


def _of_numbers(start):
    """Yield the layers that give floating-point numbers, and those."""
    for layer in start.layers:
        if layer.output.dtype.kind == "f":
            yield layer, layer.output


def first_nonfinite(start):
    """Find the first layer that gives NaN or infinity, and how it came there.

    Args:
        start: `Start`.

    Returns:
        Tuple of the `LayerStart`, and a bool: whether numbers had become so
        large by then that their squares overflow. None if all is finite.
    """
    largest = 0.0
    for layer, values in _of_numbers(start):
        fine = np.isfinite(values)
        largest = max(largest, float(np.abs(values[fine]).max(initial=0)))
        if not fine.all():
            limit = np.sqrt(float(np.finfo(values.dtype).max))
            return layer, largest > limit
    return None


def huge_output(start):
    """Find the first layer whose outputs are huge, or have overflowed.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    gone = first_nonfinite(start)
    if gone is not None and not gone[1]:
        return None
    for layer, values in _of_numbers(start):
        bad = ~np.isfinite(values)
        if bad.any() or float(np.abs(values).max(initial=0)) > HUGE:
            what = "NaN or infinity" if bad.any() else "numbers above 1e30"
            evidence = {
                "kind": "output",
                "nonfinite_fraction": float(bad.mean()),
                "threshold": HUGE,
            }
            text = (
                f"{layer.path} gives {what} for the first batch, before any "
                "training. So no gradient is left."
            )
            return [layer.path], evidence, text
    return None


def certain_outputs(start):
    """Find layers that grew the signal so far that no gradient is left.

    A softmax or sigmoid of huge numbers gives 0 and 1 exactly, and the loss
    has no slope there.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    grown = _grown(start) if no_slope_at_ends(start) else None
    if grown is None:
        return None
    came, sizes = grown
    return _of_signal(
        start,
        came,
        sizes,
        "The outputs are 0 and 1 exactly, where the loss has no slope, so "
        "every gradient is zero.",
    )


def far_outputs(start):
    """Find layers that grew the signal far beyond all that is wanted.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    grown = _grown(start)
    facts = start.heads[0].facts if len(start.heads) == 1 else None
    if grown is None or facts is None or start.gradient is None:
        return None
    size = facts.target_mean, facts.target_std
    ends = facts.output_min, facts.output_max
    if None in (*size, *ends):
        return None
    came, sizes = grown
    if start.heads[0].output.activation in ("softmax", "sigmoid"):
        return _far_logits(start, came, sizes)
    wanted = float(np.hypot(*size))
    if not max(map(abs, ends)) > START_SIGNAL * max(wanted, came):
        return None
    return _of_signal(
        start,
        came,
        sizes,
        f"What is wanted has a size of {number(wanted)}. The "
        "loss and its first gradient are as much too large.",
    )


def _far_logits(start, came, sizes):
    """Judge probabilities whose loss is worked out from their logits."""
    norm = float(np.linalg.norm(start.gradient.norms))
    if not max(abs(start.gradient.loss), norm) > MOST:
        return None
    return _of_signal(
        start,
        came,
        sizes,
        f"The loss is {number(start.gradient.loss)} and the norm of its first "
        f"gradient {number(norm)}.",
    )


def _grown(start):
    """Return the sizes of what comes in, and of what each layer gives.

    None if they are not known, or none of them is far above the inputs.
    """
    inputs = start.inputs
    if inputs is None or not start.layers or start.tells("unscaled_data"):
        return None
    facts = inputs.facts
    if facts.input_mean is None or facts.input_std is None:
        return None
    came = max(1.0, float(np.hypot(facts.input_mean, facts.input_std)))
    sizes = [
        float(np.sqrt(np.mean(np.square(layer.output, dtype=np.float64))))
        for layer in start.layers
    ]
    return (came, sizes) if max(sizes) > START_SIGNAL * came else None


def _of_signal(start, came, sizes, so):
    largest = int(np.argmax(sizes))
    before = np.array([came, *sizes[:-1]])
    growth = np.array(sizes) / np.maximum(before, 1e-30)
    order = np.argsort(-growth, kind="stable")
    layers = [start.layers[at].path for at in order if growth[at] > 2]
    evidence = {
        "kind": "at_start",
        "signal": sizes[largest],
        "loss": float(start.gradient.loss),
        "threshold": START_SIGNAL,
    }
    text = (
        f"The signal explodes on its way through the layers: from "
        f"{number(came)} to {number(sizes[largest])} in "
        f"{start.layers[largest].path}. {so}"
    )
    return layers, evidence, text


def no_slope_at_ends(start):
    """Whether outputs are probabilities of 0 and 1, and no gradient is left.

    Args:
        start: `Start`.
    """
    gradient = start.gradient
    if gradient is None or np.any(gradient.norms) or len(start.heads) != 1:
        return False
    facts = start.heads[0].facts
    if facts is None or None in (facts.output_min, facts.output_max):
        return False
    if start.heads[0].output.activation not in ("softmax", "sigmoid"):
        return False
    at_zero, at_one = facts.output_min < 1e-6, facts.output_max > 1 - 1e-6
    # Both ends are reached, or all outputs are at the same one.
    return (at_zero and (at_one or facts.output_max < 1e-6)) or (
        at_one and facts.output_min > 1 - 1e-6
    )


def growth_over_depth(start):
    """Find a gradient that grows on its way back through the layers.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    gradient = start.gradient
    if gradient is None or start.tells("unscaled_data") or silent_layers(start):
        return None
    paths, norms = gradient.paths, gradient.norms
    if len(norms) < FEWEST_LAYERS or not np.isfinite(norms).all():
        return None
    largest = int(np.argmax(norms))
    growth = norms[largest] / max(_at_the_outputs(start), 1e-30)
    if growth <= EXPLODED or norms[largest] <= 1.0:
        return None
    evidence = {
        "kind": "at_start",
        "grad_norm": norms_by_layer(gradient),
        "ratio": float(growth),
        "threshold": EXPLODED,
    }
    text = (
        f"Before any training {paths[largest]} gets "
        f"{number(growth)} times more gradient than {paths[-1]}. The norms "
        f"are {number(norms[largest])} and {number(norms[-1])}. "
        f"Gradient norms from input to output: {profile_text(norms)}."
    )
    return [paths[largest]], evidence, text


def _at_the_outputs(start):
    """Return the norm at the last layer, of several outputs the largest.

    Weights of losses make that of one as much smaller as they say.
    """
    paths, norms = start.gradient.paths, start.gradient.norms
    ends = {head.output.layer for head in start.heads}
    at = [norms[at] for at, path in enumerate(paths) if path in ends]
    return max(at) if len(at) > 1 else norms[-1]


def norms_by_layer(gradient):
    """Return a dict from layer path to its gradient norm, as evidence.

    Args:
        gradient: `GradientStart`.
    """
    return {
        path: float(f"{norm:.4g}")
        for path, norm in zip(gradient.paths, gradient.norms, strict=True)
        if np.isfinite(norm)
    }
