"""A penalty or a decay that moves the weights more than the task does.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.rules.update_ratio.added_loss import (
    added_at_once,
)
from keras_gradguard.diagnosis.rules.update_ratio.added_loss import added_fades
from keras_gradguard.diagnosis.rules.update_ratio.added_loss import collapsed
from keras_gradguard.diagnosis.rules.update_ratio.decay import decay_at_once
from keras_gradguard.diagnosis.rules.update_ratio.decay import decay_fades
from keras_gradguard.diagnosis.rules.update_ratio.penalty import outputs_fade
from keras_gradguard.diagnosis.rules.update_ratio.penalty import penalties
from keras_gradguard.diagnosis.rules.update_ratio.penalty import penalty_at_once
from keras_gradguard.diagnosis.rules.update_ratio.penalty import penalty_fades
from keras_gradguard.diagnosis.rules.update_ratio.penalty import penalty_stays
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    AT_ONCE_RECORDS,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import CONSTANT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import LESS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_LONG,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_PATIENCE,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SAME
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARP


def outweighed(trace):
    """Judge whether weights fade under a penalty while nothing is learnt."""
    learning = Learning.of(trace)
    steps, norm = trace.measured("weight_norm")
    if not len(learning) or len(steps) < 3 or not len(trace.steps):
        return None
    found = _at_once(trace, learning, steps, norm)
    if found is not None:
        return found
    start = int(trace.steps[0])
    plan = planned_steps(trace)
    # Codes and quantizers may lie at one point for a while, and then learn.
    wait = max(OUTWEIGHED_PATIENCE, OF_PLAN * plan if plan else 0)
    idle = learning.idle(share=0.1, follows=0.35)
    with np.errstate(invalid="ignore"):
        # Outputs that follow by the draw of the weights shrink with these.
        falls = ~(learning.follows >= 0.35) | learning.shrunk
        falls |= learning.contrast < SAME
        falls &= ~learning.good
    run = learning.steps - start
    long = run >= (
        max(wait, min(OUTWEIGHED_LONG, plan / 2))
        if plan
        else 3 * OUTWEIGHED_LONG
    )
    for at in np.flatnonzero(
        (idle & (run >= OUTWEIGHED_PATIENCE)) | (falls & long)
    ):
        stop = int(learning.steps[at])
        last = int(np.searchsorted(steps, stop, "right")) - 1
        if last < 1:
            continue
        found = None
        if idle[at]:
            found = _while_idle(trace, norm, last, stop)
        if found is None and long[at]:
            found = penalty_stays(trace, learning, int(at), stop)
            if found is None and learning.gain[at] < 0:
                # The loss falls only as the outputs shrink.
                found = outputs_fade(trace, stop)
        # Outputs may vary with nothing that came in, as the noise of a code.
        lost = learning.unrelated[at] and learning.gain[at] < 0
        ripe = learning.stalled[at] or (lost and plan and run[at] >= 2 * wait)
        if found is None and run[at] >= wait and ripe:
            widest = float(np.nanmax(learning.contrast[: at + 1], initial=0))
            if not learning.contrast[at] < (1 if lost else LESS) * widest:
                continue  # outputs that come to differ are on their way
            limit = CONSTANT if idle[at] else SHARP
            limit = np.inf if lost else limit
            contrast = float(learning.contrast[at])
            found = collapsed(trace, contrast, stop, limit)
        if found is not None:
            return found
    return None


def _at_once(trace, learning, steps, norm):
    """Judge what is so strong that nobody has to wait for the loss."""
    few = of_plan(trace, *AT_ONCE_RECORDS)
    if len(trace.steps) < few:
        return None
    found = decay_at_once(trace, learning, steps, norm, few)
    if found is not None:
        return found
    stop = int(trace.steps[few - 1])
    last = int(np.searchsorted(steps, stop, "right")) - 1
    if last < 1 or learning.good[max(0, learning.at(stop))]:
        return None
    own = penalties(trace)
    if own:
        return penalty_at_once(trace, own, stop, few)
    return added_at_once(trace, learning)


def _while_idle(trace, norm, last, stop):
    left = _left(norm, last)
    found = penalty_fades(trace, left, stop)
    found = found or outputs_fade(trace, stop)
    found = found or decay_fades(trace, left, stop)
    return found or added_fades(trace, left, stop)


def _left(norm, last):
    """Return the share of the first norm of each layer at a measurement."""
    with np.errstate(all="ignore"):
        return norm[last].astype(np.float64) / norm[0]
