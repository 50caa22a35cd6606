"""Hidden layers without any activation: together they are one linear layer.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import bad_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.way import way_gone
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import WENT
from keras_gradguard.findings.build import in_a_run


def all_linear(trace):
    """Judge whether a model can learn no more than a line.

    Told where the steps were large enough to learn, and nothing was learnt.
    """
    layers = [str(layer) for layer in trace.run.linear or []]
    learning = Learning.of(trace)
    if not layers or not len(learning) or not len(trace.steps):
        return None
    seen = bad_at(trace)
    norms = trace.layer_norms(0, len(trace.steps))
    finite = np.isfinite(norms[:, judged_layers(trace)]).all()
    if seen is None or learning.at_ceiling[-1] or not finite:
        return None
    gone = way_gone(trace)[-1]
    if len(gone) < 2 or not gone[-1] > WENT:
        return None
    first = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="poor_initialization",
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=max(first, not_learnt_until(trace, seen)),
        evidence={
            "kind": "no_activation",
            "moved": float(gone[-1]),
            "threshold": WENT,
            "window": {"first_step": first, "last_step": seen},
        },
        message=(
            f"{in_words(layers)} The weights have moved, and the run has not "
            "learnt: what a line cannot tell needs an activation between the "
            "layers."
        ),
        remedies=for_linear(layers),
    )


def in_words(layers):
    """Return in words what layers without an activation are."""
    one = len(layers) == 1
    have = "has no activation. It is" if one else "have no activation. They are"
    what = "one linear layer, with the last one"
    return f"{names(layers)} {have} {what}, however wide or deep."


def for_linear(layers):
    """Return remedies for hidden layers without an activation."""
    relu = {"activation": "relu", "kernel_initializer": "he_normal"}
    what = "the hidden layer" if len(layers) == 1 else "the hidden layers"
    return [
        changes.change_layers(
            f"Give {what} ReLU with He initialization",
            "Layers with no activation between them are one, however many.",
            dict.fromkeys(layers, relu),
        )
    ]
