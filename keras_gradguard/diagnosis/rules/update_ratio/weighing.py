"""What the judgements of what outweighs the task share."""

import math

import numpy as np

from keras_gradguard.diagnosis.rules.update_ratio.thresholds import FADED
from keras_gradguard.findings.build import in_a_run


def first_loss(trace):
    """Return the first recorded loss, None if it is not known or not finite."""
    loss = trace.extra.get("loss")
    if loss is None or not len(loss) or not np.isfinite(loss[0]):
        return None
    return float(loss[0])


def faded_layers(trace, left, most=FADED):
    """Return the trained layers whose weights faded, and the least left.

    Fewer than half of all are none.

    Args:
        trace: `Trace`.
        left: Array. The share of the first norm that each layer has still.
        most: Float. The share below which it has faded.
    """
    trained = np.unique(trace.owners[trace.has_gradient])
    faded = [int(at) for at in trained if left[at] < most]
    if len(faded) < max(1, len(trained) // 2):
        return [], math.nan
    layers = [str(trace.layers[at]) for at in faded]
    return layers, float(min(left[at] for at in faded))


def outweighs(trace, layers, stop, evidence, text, fixes):
    """Return the finding that something outweighs the task by step `stop`."""
    first = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            **evidence,
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=fixes,
    )
