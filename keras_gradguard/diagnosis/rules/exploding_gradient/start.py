"""Signals and gradients that have exploded before the first step."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.rules.dead_relu import silent_layers

# Numbers beyond this leave no gradient in float32.
_HUGE = 1e30
# Healthy deep tanh nets end at 140.
_EXPLODED = 1e4
_FEWEST_LAYERS = 3


def huge_output(start):
    """Find the first layer that gives NaN or infinity from finite inputs.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    for layer in start.layers:
        values = layer.output
        if values.dtype.kind != "f":
            continue
        bad = ~np.isfinite(values)
        if bad.any() or float(np.abs(values).max(initial=0)) > _HUGE:
            what = "NaN or infinity" if bad.any() else "numbers above 1e30"
            evidence = {
                "kind": "output",
                "nonfinite_fraction": float(bad.mean()),
                "threshold": _HUGE,
            }
            text = (
                f"{layer.path} gives {what} for the first batch, before any "
                "training. So no gradient is left."
            )
            return [layer.path], evidence, text
    return None


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
    if len(norms) < _FEWEST_LAYERS or not np.isfinite(norms).all():
        return None
    largest = int(np.argmax(norms))
    growth = norms[largest] / max(norms[-1], 1e-30)
    if growth <= _EXPLODED or norms[largest] <= 1.0:
        return None
    evidence = {
        "kind": "at_start",
        "grad_norm": norms_by_layer(gradient),
        "ratio": float(growth),
        "threshold": _EXPLODED,
    }
    text = (
        f"Before any training {paths[largest]} gets "
        f"{number(growth)} times more gradient than {paths[-1]}. The norms "
        f"are {number(norms[largest])} and {number(norms[-1])}. "
        f"Gradient norms from input to output: {profile_text(norms)}."
    )
    return [paths[largest]], evidence, text


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
