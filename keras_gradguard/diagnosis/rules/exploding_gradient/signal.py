"""Growth of the signal on its way through the layers, at the first step.

The judgement takes a `Trace` and returns a `Growth`, or None.
"""

from typing import Any

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    DEEP_SIGNAL,
)


def through_layers(trace):
    """Judge whether the signal grows without bound through the layers."""
    layers, first, step = _signals_that_explode(trace)
    if not layers:
        return None
    last = int(trace.steps[-1])
    text = (
        "The signal grows without bound on its way through the layers. At "
        f"step {step} the outputs of {layers[0]} are {first}, and no gradient "
        "is finite. Each layer makes it larger."
    )
    evidence = {
        "layers": len(layers),
        "threshold": DEEP_SIGNAL,
        "window": {"first_step": step, "last_step": step},
    }
    return Growth(layers, step, last, evidence, text)


def _signals_that_explode(trace):
    """Return the layers whose outputs grew out of all bounds at the start.

    Args:
        trace: The `Trace`.

    Returns:
        Tuple of the layers, how large the outputs of the first of them were,
        as text, and the step; no layers if nothing of the kind was seen.
    """
    nothing: Any = [], "", 0
    std = trace.activation("std")[:1].astype(np.float64)
    if not std.shape[1] or not len(std) or not len(trace.steps):
        return nothing
    step = int(trace.activation_steps[0])
    at = int(np.searchsorted(trace.steps, step))
    if at >= len(trace.steps) or not gone_records(trace)[at]:
        return nothing
    size = np.hypot(trace.activation("mean")[0].astype(np.float64), std[0])
    start = np.hypot(
        float(trace.data("input_mean")[0]), float(trace.data("input_std")[0])
    )
    if not np.isfinite(start):
        return nothing
    with np.errstate(invalid="ignore"):
        over = size > DEEP_SIGNAL * max(start, 1e-30)
        huge = over | np.isnan(size)
    # `output_mismatch` reports the output alone. NaN that no large
    # number came before did not grow: something made it.
    if not huge[:-1].any() or not over.any():
        return nothing
    first = int(np.argmax(huge))
    shown = (
        f"{number(size[first])} in size"
        if np.isfinite(size[first])
        else "not finite"
    )
    return layers_of(trace, trace.sites[huge]), shown, step
