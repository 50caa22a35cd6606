"""The scale of targets that are those of one output of several."""

import dataclasses
import math

from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.batch import summed_over
from keras_gradguard.diagnosis.evidence.learning import first_loss
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.rules.unscaled_data.targets import (
    judge_target_scale,
)
from keras_gradguard.trace.facts import DataFacts

# How large numbers are that cost as much as the first loss.
_SIZE_OF = {
    "mean_squared_error": math.sqrt,
    "mse": math.sqrt,
    "mean_absolute_error": float,
    "mae": float,
}


def _weight_of(trace, head):
    """Return what the loss of one output is multiplied by, None if unknown."""
    if loss_weight(trace) is not None:
        return loss_weight(trace)
    if summed_over(trace) != 1:
        return None
    told = trace.run.compiled.get("loss_weights")
    if isinstance(told, dict) and isinstance(told.get("entries"), dict):
        found = told["entries"].get(head.name)
    elif isinstance(told, list | tuple) and len(told) == len(trace.run.outputs):
        found = told[trace.run.outputs.index(head)]
    else:
        return None
    return float(found) if isinstance(found, int | float) else None


def judge_one_of_several(trace, large):
    """Judge the targets of the one output that is a regression, by its loss.

    Targets of several outputs are not measured. But what other outputs cost
    is little beside a loss of millions.

    Args:
        trace: `Trace`.
        large: Float. A root mean square that is too large.

    Returns:
        List of `Finding`, at most one.
    """
    heads = [o for o in trace.run.outputs if o.loss_name in _SIZE_OF]
    if len(trace.run.outputs) < 2 or len(heads) != 1:
        return []
    weight = _weight_of(trace, heads[0])
    if not weight or not weight > 0:
        return []
    loss = first_loss(trace, Progress.of(trace)) / weight
    if not 0 < loss < math.inf:
        return []
    size = _SIZE_OF[heads[0].loss_name](loss)
    facts = DataFacts(target_mean=0.0, target_std=size)
    return [
        dataclasses.replace(
            finding,
            message=finding.message.replace(
                "The targets", f"The targets of {heads[0].name}", 1
            ),
        )
        for finding in judge_target_scale(
            heads[0], facts, trace.run.optimizer, large
        )
        if finding.evidence["kind"] == "targets"
    ]
