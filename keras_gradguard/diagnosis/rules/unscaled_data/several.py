"""The scale of targets that are those of one output of several."""

import dataclasses
import math

from keras_gradguard.diagnosis.evidence.batch import loss_weight
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
    loss = first_loss(trace, Progress.of(trace))
    if loss_weight(trace) != 1 or not 0 < loss < math.inf:
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
