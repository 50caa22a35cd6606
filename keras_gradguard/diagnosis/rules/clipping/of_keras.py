"""Keras's own clips where they cut every gradient down to next to nothing.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.clipping.thresholds import AT_ONCE
from keras_gradguard.diagnosis.rules.clipping.thresholds import MOST
from keras_gradguard.diagnosis.rules.clipping.thresholds import OF_KERAS_LEFT
from keras_gradguard.diagnosis.rules.clipping.thresholds import OF_KERAS_SHARE
from keras_gradguard.diagnosis.rules.clipping.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.clipping.thresholds import RECORDS
from keras_gradguard.findings.build import in_a_run

_WAYS = ("global_clipnorm", "clipnorm", "clipvalue")
# Their steps are as large whatever the gradient's size.
_SCALE_FREE = (
    "Adam",
    "AdamW",
    "Nadam",
    "Adamax",
    "RMSprop",
    "Lion",
    "Adafactor",
    "Lamb",
    "Muon",
    "Adagrad",
    "Adadelta",
)


def starved(trace):
    """Judge whether a clip of Keras's leaves steps too small to learn."""
    way, threshold, name = _clip(trace)
    learning = Learning.of(trace)
    # Where no entry reaches epsilon, the steps grow with the gradient, too.
    epsilon = trace.run.optimizer.epsilon or 0.0
    free = name in _SCALE_FREE and not epsilon > threshold
    if way is None or free or not len(learning):
        return None
    norms = trace.get("grad_norm", by="variable")[:, trace.has_gradient]
    few = of_plan(trace, AT_ONCE["of_plan"], *AT_ONCE["records"])
    if len(norms) < few:
        return None
    left = _left(trace, way, threshold, norms)
    start = int(trace.steps[0])
    plan = planned_steps(trace)
    wait = MOST if plan is None else max(RECORDS, OF_PLAN * plan)
    least, little = RECORDS, learning.little(0.15)
    if _hopeless(trace, left[:few], plan):
        wait = least = few
        # What the loss does in the first records is not known yet.
        little |= np.isnan(learning.fallen)
    late = learning.steps - start >= wait - 1
    late &= little & ~learning.good
    for at in np.flatnonzero(late):
        stop = int(learning.steps[at])
        count = int(np.searchsorted(trace.steps, stop, "right"))
        seen = left[:count]
        seen = seen[np.isfinite(seen)]
        if len(seen) < least or np.mean(seen < OF_KERAS_LEFT) < OF_KERAS_SHARE:
            continue
        return _finding(trace, way, threshold, seen, norms[:count], stop)
    return None


def _hopeless(trace, left, plan):
    """Whether what a clip leaves moves nothing within the plan."""
    if plan is None or not (left < AT_ONCE["left"]).all():
        return False
    ratio = columns(trace.measured("update_ratio")[1], judged_layers(trace))
    ratio = ratio[np.isfinite(ratio).any(axis=1)][: AT_ONCE["measured"]]
    if len(ratio) < AT_ONCE["measured"]:
        return False
    return bool(median_known(ratio).max() * plan < AT_ONCE["reach"])


def _clip(trace):
    optimizer = trace.run.optimizer
    for way in _WAYS:
        value = getattr(optimizer, way)
        if value is not None and 0 < value < float("inf"):
            return way, float(value), optimizer.name
    return None, 0.0, None


def _left(trace, way, threshold, norms):
    """Return (T,): the share of the gradient that a clip lets through.

    Of a clip of each variable, that of the variable that keeps most; of a
    clip of values, the largest that is possible.
    """
    norms = norms.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if way == "global_clipnorm":
            return threshold / np.sqrt(np.nansum(norms**2, axis=1))
        limit = threshold
        if way == "clipvalue":
            sizes = trace.sizes[trace.has_gradient]
            limit = threshold * np.sqrt(sizes)
        share = limit / np.where(norms > 0, norms, np.nan)
        # Whole variables without a gradient say nothing.
        weight = np.nan_to_num(norms) ** 2
        share = np.minimum(np.nan_to_num(share, nan=1.0), 1.0)
        return np.sqrt((share**2 * weight).sum(1) / weight.sum(1))


def _finding(trace, way, threshold, seen, norms, stop):
    first = int(trace.steps[0])
    typical = float(
        np.median(np.sqrt(np.nansum(norms.astype(np.float64) ** 2, axis=1)))
    )
    part = float(np.median(seen))
    text = (
        f"{way}={threshold:g} of the optimizer cuts every gradient: a typical "
        f"norm is {number(typical)}. {number(100 * part)} % of it remains. "
        "Such steps are too small to learn from, whatever the learning rate."
    )
    usual = float(f"{max(1.0, typical):.1g}")
    fixes = [
        training.set_optimizer_arguments(
            "Remove the clip", "No gradient here calls for it.", **{way: None}
        ),
        training.set_optimizer_arguments(
            "Raise the threshold above a typical gradient norm",
            "Then only outliers are cut.",
            **{way: None, "global_clipnorm": usual},
        ),
    ]
    return in_a_run(
        trace,
        rule="clipping",
        severity="critical",
        layers=[],
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            "kind": way,
            "clip_threshold": threshold,
            "grad_norm": typical,
            "share_left": part,
            "threshold": OF_KERAS_LEFT,
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=fixes,
    )
