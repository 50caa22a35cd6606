"""A penalty or a decay so strong that the first records show it.

Each judgement takes a `Trace` and returns numbers.
"""

import math

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.baseline import most_of
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADDED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADDED_WAIT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ALONE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_USUAL,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARP_DECAY


def decay_of_a_step(run):
    """Return the share of the weights that each step takes off, or 0.

    Args:
        run: `RunInfo` of the run or the model.
    """
    decay, rate = run.optimizer.weight_decay, run.learning_rate
    if rate is None:
        rate = run.optimizer.learning_rate
    if rate is None or decay is None or not decay > 0:
        return 0.0
    return float(rate * decay)


def decay_at_start(run):
    """Return evidence, text and remedy of a decay no weight lasts under."""
    part, decay = decay_of_a_step(run), run.optimizer.weight_decay
    if part < SHARP_DECAY:
        return None
    text = (
        f"The weight decay outweighs the task: each step takes "
        f"{number(100 * part)} % off the weights, whatever the data say. It is "
        f"{number(decay)}."
    )
    evidence = {
        "kind": "decay",
        "weight_decay": float(decay),
        "threshold": SHARP_DECAY,
    }
    return evidence, text, [weaken_decay()]


def weaken_decay():
    """Return the remedy of a decay that is too strong."""
    return training.set_optimizer_arguments(
        "Weaken the weight decay",
        "AdamW's default is 0.004.",
        weight_decay=OUTWEIGHED_USUAL["decay"],
    )


def penalty_leads(trace, slopes, total, least, records):
    """Return how many times the loss of a constant a penalty is, or 0.

    Only where the gradient is that of the penalty and hardly anything else, and
    where weights that are of any use cost more than all that can be learnt.

    Args:
        trace: `Trace`.
        slopes: Function of the number of a measurement of the weights, which
            returns the norm of the penalty's gradient by that.
        total: Float. What the penalty adds to the first loss.
        least: Float. What it adds where each layer has weights of norm 1.
        records: Int. The first ones to look at.
    """
    guess = guess_of(trace, 1)[:1]
    if not len(guess) or not guess[0] > 0 or not least >= guess[0]:
        return 0.0
    steps = trace.measured("weight_norm")[0]
    early = trace.steps[:records]
    norms = trace.global_norms(0, len(early)).astype(np.float64)
    shown = 0
    for at in np.flatnonzero(np.isin(steps, early)):
        record = int(np.searchsorted(early, steps[at]))
        slope = slopes(int(at))
        part = slope / norms[record] if norms[record] > 0 else math.nan
        if not ALONE[0] < part < ALONE[1]:
            return 0.0
        shown += 1
    return float(total / guess[0]) if shown >= 3 else 0.0


def added_leads(trace, learning, first):
    """Return the step and the two shares of an added loss that leads, or None.

    The first loss is so many times what outputs and targets can make, and the
    loss of late still is.

    Args:
        trace: `Trace`.
        learning: `Learning` of it.
        first: Float. The first loss.
    """
    most, loss = most_of(trace), trace.extra.get("loss")
    if loss is None or not most > 0 or not first > ADDED[0] * most:
        return None
    wait = of_plan(trace, *ADDED_WAIT)
    run = learning.steps - int(trace.steps[0]) + 1
    for at in np.flatnonzero((run >= wait) & ~learning.good):
        last = int(np.searchsorted(trace.steps, learning.steps[at], "right"))
        late = np.asarray(loss[max(0, last - 5) : last], np.float64)
        if not np.isfinite(late).all() or not late.min() > ADDED[1] * most:
            return None
        return int(learning.steps[at]), most, float(late.mean())
    return None
