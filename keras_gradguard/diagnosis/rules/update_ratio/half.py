"""Weights of half precision under an optimizer whose epsilon is lost in them.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import first_loss
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import HALF_USUAL
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SMALLEST
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import THROWN
from keras_gradguard.findings.build import in_a_run

# They divide by the root of a mean of squares, plus epsilon.
_DIVIDE = ("Adam", "AdamW", "Nadam", "RMSprop", "Adadelta", "Adagrad", "Lamb")


def half_precision(trace):
    """Judge weights in float16 that a small epsilon throws about.

    Squares of small gradients are 0 in float16, and the step is divided by
    epsilon alone. Reported once the run fares badly.
    """
    optimizer = trace.run.optimizer
    epsilon = optimizer.epsilon
    if optimizer.name not in _DIVIDE or epsilon is None:
        return None
    layers = [
        str(layer)
        for layer in trace.layers
        if trace.info(layer).get("dtype") == "float16"
    ]
    if not epsilon < SMALLEST or not layers:
        return None
    thrown = harmed_at(trace), _thrown_at(trace)
    found = [step for step in thrown if step is not None]
    if not found:
        return None
    seen = min(found)
    first = int(trace.steps[0])
    text = (
        f"The weights of {names(layers)} are float16, where an epsilon of "
        f"{epsilon:g} is next to nothing. Squares of small gradients are 0 "
        f"there, too, so {optimizer.name} divides by next to nothing and its "
        "steps throw the weights away."
    )
    fixes = [
        model.change_layers(
            "Keep the weights in float32",
            "mixed_float16 computes in float16 and steps in float32.",
            {layer: {"dtype": "mixed_float16"} for layer in layers},
        ),
        training.set_optimizer_arguments(
            "Use a larger epsilon",
            "float16 holds nothing below 6e-8, and little below 6e-5.",
            epsilon=HALF_USUAL,
        ),
    ]
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=max(seen, int(trace.steps[-1])),
        evidence={
            "kind": "float16",
            "epsilon": float(epsilon),
            "threshold": SMALLEST,
            "window": {"first_step": first, "last_step": seen},
        },
        message=text,
        remedies=fixes,
    )


def _thrown_at(trace):
    """Return the step by which the loss had risen far above the first."""
    blocks, progress = trace.blocks(), Progress.of(trace)
    first = first_loss(trace, progress)
    if not progress.per_batch or not first > 0:
        return None
    with np.errstate(invalid="ignore"):
        high = np.flatnonzero(progress.loss > THROWN * first)
    return int(blocks.last_step[high[0]]) if len(high) else None
