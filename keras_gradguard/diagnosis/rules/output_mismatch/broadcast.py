"""Targets (n,) that meet outputs (n, 1) in a loss of the user's own."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import BROADCAST
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import SHRINKS
from keras_gradguard.findings.remedy import Remedy


def broadcast(trace, output):
    """Judge whether targets (n,) and outputs (n, 1) meet in a loss.

    Their difference is a table (n, n) of each output with each target, and the
    least of its squares is the mean of the targets for every input. Keras
    brings both to one rank before a function, but not before a model's own
    loss, nor before a class derived from `keras.losses.Loss`.
    """
    data = trace.run.data
    target, given = data.target_shape, data.output_shape
    learning = Learning.of(trace)
    run = trace.run
    own = run.own_loss == "model" or run.own_code.get("loss_class") is True
    if not own or target is None or given != [*target, 1] or not len(learning):
        return None
    run = learning.steps - int(trace.steps[0])
    with np.errstate(invalid="ignore"):
        small = learning.contrast < 0.5
        widest = np.fmax.accumulate(learning.contrast)
        shrinks = learning.contrast < SHRINKS * np.fmin(widest, 1.0)
    wait = of_plan(trace, *BROADCAST)
    seen = np.flatnonzero(
        (run >= wait) & small & ~learning.good & (learning.stalled | shrinks)
    )
    if not len(seen):
        return None
    shown = "(n,)" if not target else f"(n, {', '.join(map(str, target))})"
    part = float(learning.contrast[seen[0]])
    return int(learning.steps[seen[0]]), mismatch(
        output,
        "broadcast",
        f"the targets have the shape {shown}, the outputs one axis of length "
        "1 more. In a loss of your own their difference then pairs each "
        "output with each target, so the outputs shrink to a constant. They "
        f"vary by {number(100 * part)} % of what the targets do.",
        _one_shape("y.reshape(-1, 1)" if not target else "y[..., None]"),
        contrast=part,
    )


def at_start(start, output):
    """Judge whether the first loss sees which target is whose.

    Args:
        start: `Start`.
        output: `Output`, the only one.

    Returns:
        List of `Finding`, at most one.
    """
    if not start.unpaired:
        return []
    return [
        mismatch(
            output,
            "broadcast",
            "the loss stays the same when the targets change places among the "
            "rows, so it does not see which target is whose. The outputs have "
            "one axis of length 1 more than the targets. In a loss of your own "
            "their difference then pairs each output with each target.",
            _one_shape("y[..., None]"),
        )
    ]


def _one_shape(code):
    return [
        Remedy(
            "Give targets and outputs one shape",
            "Then each output meets its own target.",
            f"y = {code}",
        )
    ]
