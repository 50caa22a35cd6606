"""Weights of samples so small that plain steps go nowhere.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.baseline import least_of
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.learning import still_short
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known
from keras_gradguard.diagnosis.remedies.training import fit_without_weights
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import LIGHT
from keras_gradguard.findings.build import in_a_run


def light_weights(trace):
    """Judge whether samples weigh so little that plain steps are too small.

    Outputs and targets of the first batch say what its loss is at least where
    each sample weighs 1. What is left of that is what they weigh on average,
    and a gradient is that much smaller.
    """
    loss, plan = trace.extra.get("loss"), planned_steps(trace)
    if not trace.run.data.weighted or loss is None or plan is None:
        return None
    if not trace.run.optimizer.plain or not len(loss):
        return None
    first = loss[: LIGHT["records"]].astype(np.float64)
    least = least_of(trace)
    with np.errstate(all="ignore"):
        mean = float(np.max(first) / least)
    if not 0 <= mean <= LIGHT["mean"]:
        return None
    steps, ratio = trace.measured("update_ratio")
    ratio = columns(ratio, judged_layers(trace)).astype(np.float64)
    if not ratio.shape[1]:
        return None
    known = np.isfinite(ratio).any(axis=1)
    steps, reach = steps[known], plan * median_known(ratio[known])
    start, learning = int(trace.steps[0]), Learning.of(trace)
    wait = of_plan(trace, *LIGHT["wait"])
    if not len(learning):
        return None
    short = still_short(trace, LIGHT["fallen"], wait)
    for step, far in zip(steps.tolist(), reach.tolist(), strict=True):
        seen = learning.at(step)
        if seen < 0 or not short[seen]:
            continue
        if far > LIGHT["reach"]:
            continue
        return _finding(trace, mean, far, start, step)
    return None


def _finding(trace, mean, reach, start, step):
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="warning",
        layers=[],
        first_step=start,
        last_step=not_learnt_until(trace, step),
        evidence={
            "kind": "light_weights",
            "mean": mean,
            "reach": reach,
            "threshold": LIGHT["mean"],
            "window": {"first_step": start, "last_step": step},
        },
        message=(
            "The weights of samples or classes are far too small: by the loss "
            f"of the first records they average {number(mean)} at most, where "
            "1 is usual. A gradient is that much smaller, and so is each step "
            f"of {trace.run.optimizer.name}. All planned steps together would "
            f"move the weights by {number(reach)} of their size."
        ),
        remedies=[
            fit_without_weights(
                trace.run,
                "Train without weights, or with larger ones",
                "Weights that average 1 leave the gradient its size: divide "
                "them by their mean.",
            )
        ],
    )
