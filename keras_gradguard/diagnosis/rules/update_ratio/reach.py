"""Steps that cannot take the weights far enough in the planned time."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known
from keras_gradguard.diagnosis.remedies import huber
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.poor_initialization.kernels import (
    wrong_kernels,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADAPTIVE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import REACH
from keras_gradguard.findings.build import in_a_run


def short_of_reach(trace, far):
    """Judge whether all planned steps together are too small to learn from.

    Args:
        trace: The `Trace`.
        far: Float. How far they have to take the weights, of their size.

    Returns:
        List of `Finding`, at most one.
    """
    plan = planned_steps(trace)
    blocks = trace.blocks()
    if plan is None or plan < REACH["few_planned"] or not len(blocks):
        return []
    # Steps whose size does not hang on the gradient tell so sooner.
    optimizer = trace.run.optimizer
    own_size = optimizer.name in ADAPTIVE and optimizer.learning_rate
    if plan < REACH["planned"]:
        if not own_size:
            return []
        # A short run may be meant to change little, but not nothing.
        far = min(far, REACH["sure"])
    steps, ratio = trace.measured("update_ratio")
    done = int(np.searchsorted(steps, blocks.last_step[-1], "right"))
    steps = steps[:done]
    ratio = columns(ratio[:done], judged_layers(trace)).astype(np.float64)
    known = np.isfinite(ratio).any(axis=1) if ratio.shape[1] else []
    steps, ratio = steps[known], ratio[known]
    if len(steps) < 5:
        return []
    middle = median_known(ratio)
    with np.errstate(over="ignore"):
        reach = np.maximum.accumulate(middle) * plan
    learning = Learning.of(trace)
    start = int(trace.steps[0])
    for at in np.flatnonzero((reach < far) & (middle > 0)):
        sure = own_size and reach[at] < REACH["sure"]
        few = REACH["sure_steps" if sure else "steps"]
        if at < 4 or steps[at] - start < max(few, REACH["of_plan"] * plan):
            continue
        seen = learning.at(steps[at])
        grows = not sure and _may_reach(steps - start, middle, reach, at)
        if seen < 0 or grows:
            continue
        little = sure or learning.little(0.3)[seen]
        if np.isnan(learning.fallen[seen]) and reach[at] < REACH["hopeless"]:
            little |= _has_not_fallen(trace, int(steps[at]))
        if learning.good[seen] or not little:
            continue
        if by_wide_weights(trace, float(reach[at]), far):
            return []
        stop = int(steps[at])
        evidence = {
            "kind": "reach",
            "update_ratio": float(np.mean(middle[: at + 1])),
            "reach": float(reach[at]),
            "planned_steps": plan,
            "threshold": far,
            "window": {"first_step": start, "last_step": stop},
        }
        text = (
            f"The {_what(trace.run)} is too small: one update changes the "
            f"weights by {number(middle[at])} of their size. All {plan:,} "
            "planned steps in one direction would move them by "
            f"{number(reach[at])} of their size, which is too little to learn."
            + huber.in_words(trace.run)
        )
        fixes = training.for_slow(trace, 3.0 / reach[at])
        still = (reach < far) & (steps >= stop)
        until = min(int(steps[still][-1]), not_learnt_until(trace, stop))
        return [
            in_a_run(
                trace,
                rule="update_ratio",
                severity="warning",
                layers=[],
                first_step=start,
                last_step=until,
                evidence=evidence,
                message=text,
                remedies=fixes,
            )
        ]
    return []


def _what(run):
    told = huber.small_delta(run)
    return "learning rate" if told is None else "delta of the Huber loss"


def _has_not_fallen(trace, step):
    """Whether the loss of the first records is what it was, by a third."""
    loss = trace.extra.get("loss")
    if loss is None:
        return False
    first = loss[: int(np.searchsorted(trace.steps, step, "right"))]
    part = max(1, len(first) // 3)
    with np.errstate(all="ignore"):
        before, late = np.mean(first[:part]), np.mean(first[-part:])
        return bool((before - late) / abs(before) < 0.3)


def by_wide_weights(trace, reach, far):
    """Return whether steps are short beside weights that start too large.

    At a gain of 1 the same steps would go far enough: the start is wrong.

    Args:
        trace: `Trace` of the run.
        reach: Float. How far all planned steps go, of the weights' size.
        far: Float. How far they have to go.
    """
    wide = [kernels for kind, kernels in wrong_kernels(trace) if kind == "wide"]
    gains = [float(kernel["gain"]) for kernel in wide[0]] if wide else []
    judged = max(1, len(trace.layers) - 1)
    return 2 * len(gains) >= judged and reach * float(np.median(gains)) >= far


def _may_reach(run, middle, reach, at):
    """Whether steps that have grown since the start may grow far enough.

    They do in a warm-up, in the first tens of steps with momentum, and where a
    net sits on a plateau at its start.
    """
    if middle[at] <= 1.5 * middle[0]:
        return False
    half = int(np.searchsorted(run, run[at] / 2, "right")) - 1
    grows = middle[at] > 1.5 * middle[half]
    return grows or reach[at] > REACH["hopeless"]
