"""Hidden layers without any activation: together they are one linear layer.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import wanting_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import not_learnt_until
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known
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
    seen = harmed_at(trace)
    seen = wanting_at(trace) if seen is None else seen
    norms = trace.layer_norms(0, len(trace.steps))
    finite = np.isfinite(norms[:, judged_layers(trace)]).all()
    if seen is None or learning.at_ceiling[-1] or not finite:
        return None
    went = _went(trace)
    if not went > WENT:
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
            "moved": went,
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


def _went(trace):
    """Return how far the weights went, of their size, step by step."""
    steps, ratio = trace.measured("update_ratio")
    ratio = columns(ratio, judged_layers(trace)).astype(np.float64)
    known = np.isfinite(ratio).any(axis=1) if ratio.shape[1] else []
    steps, ratio = steps[known], ratio[known]
    if len(steps) < 2:
        return 0.0
    spans = np.diff(steps, prepend=int(trace.steps[0]))
    return float((median_known(ratio) * spans).sum())
