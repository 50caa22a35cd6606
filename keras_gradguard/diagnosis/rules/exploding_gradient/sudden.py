"""Growth within a few steps, judged record by record.

Each judgement takes a `Trace` and returns a `Growth`, or None.
"""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import of_few_samples
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import LOOK_BACK
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.diagnosis.evidence.stretches import growth_before
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import layers_by
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import BURST
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    HUGE_UPDATE,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import LOST
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    RUNAWAY,
)
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import GROWTH


def to_nonfinite(trace):
    """Judge the way to the first gradient that is not finite."""
    gone = np.flatnonzero(gone_records(trace) & ~trace.skipped)
    if not len(gone) or gone[0] == 0:
        return None
    at = int(gone[0])
    growth = growth_before(trace, at)
    update, layer = _largest_update(trace, int(trace.steps[at]))
    if growth < GROWTH and not update > HUGE_UPDATE:
        return None
    low = max(0, at - LOOK_BACK)
    norms = trace.global_norms(low, at)
    finite = np.where(norms > 0, norms, np.inf)
    start = low + int(np.argmin(finite))
    last = trace.layer_norms(at - 1, at)[0]
    layers = layers_by(trace, np.nan_to_num(last, nan=0.0))
    first, stop = int(trace.steps[start]), int(trace.steps[at])
    begin = number(norms[start - low])
    end = number(norms[-1])
    before = int(trace.steps[at - 1])
    text = (
        f"The gradient norm grew from {begin} to {end} and then was not "
        f"finite. That was at steps {first}, {before} and {stop}."
    )
    if begin == end:
        text = (
            f"The gradient norm was {end} at step {before}, and not finite at "
            f"step {stop}."
        )
    if update > HUGE_UPDATE:
        text += (
            f" One update changed the weights of {layer} by "
            f"{number(update)} times their size."
        )
    evidence = {
        "growth": growth,
        "threshold": GROWTH,
        "update_ratio": update,
        "grad_norm": [float(v) for v in norms[-8:]],
        "window": {"first_step": first, "last_step": stop},
    }
    until = int(trace.steps[gone[-1]])
    return Growth(layers, first, until, evidence, text)


def runaway(trace):
    """Judge whether the gradient ran away within three steps."""
    if of_few_samples(trace):
        return None
    for low, high in _jumps(trace):
        found = _runaway_within(trace, low, high)
        if found is not None:
            return found
    return None


def _runaway_within(trace, low, high):
    norms = trace.global_norms(low, high)
    together = _in_a_row(trace.steps[low:high])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rise = norms[1:] / norms[:-1]
        both = (rise[1:] > RUNAWAY["each"]) & (rise[:-1] > RUNAWAY["each"])
        both &= norms[2:] / norms[:-2] > RUNAWAY["both"]
    both &= np.isfinite(norms[2:]) & (norms[:-2] > 0) & together
    if not both.any():
        return None
    at = int(np.argmax(both))
    start, norms = low + at, norms[at:]
    first, stop = int(trace.steps[start]), int(trace.steps[start + 2])
    layers = _by_norm(trace, start + 2)
    steps = ", ".join(number(n) for n in norms[:3])
    text = (
        f"The gradient norm ran away from step {first} on: {steps} in three "
        "steps. What was learnt before is lost."
    )
    evidence = {
        "growth": float(norms[2] / norms[0]),
        "threshold": RUNAWAY["both"],
        "window": {"first_step": first, "last_step": stop},
    }
    # Up to where the norm stays as far above where it began.
    later = trace.global_norms(start + 2, len(trace.steps))
    with np.errstate(invalid="ignore", over="ignore"):
        high = ~(later < RUNAWAY["each"] * norms[0])
    until = int(trace.steps[start + 2 + np.flatnonzero(high)[-1]])
    return Growth(layers, first, until, evidence, text)


def burst(trace):
    """Judge a rise in the first steps after which nothing is learnt."""
    records = min(BURST["records"], len(trace.steps))
    norms = trace.global_norms(0, records)
    loss = trace.extra.get("loss")
    few = of_few_samples(trace)
    if loss is None or few or records < 2 or not norms[0] > 0:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        jump = norms > BURST["growth"] * norms[0]
        jump &= loss[:records] > BURST["loss"] * np.abs(loss[0])
    learning = Learning.of(trace)
    if not jump.any() or not len(learning):
        return None
    at = int(np.argmax(jump))
    late = learning.steps >= trace.steps[at] + BURST["after"]
    spoilt = np.flatnonzero(late & learning.idle())
    if not len(spoilt):
        return None
    first, stop = int(trace.steps[0]), int(learning.steps[spoilt[0]])
    layers = _by_norm(trace, at)
    text = (
        f"The gradient norm went from {number(norms[0])} to "
        f"{number(norms[at])} within {count(at, 'step')}. The loss went from "
        f"{number(loss[0], 3)} to {number(loss[at], 3)}. That threw the "
        f"weights so far off that nothing was learnt up to step {stop}."
    )
    evidence = {
        "growth": float(norms[at] / norms[0]),
        "threshold": BURST["growth"],
        "window": {"first_step": first, "last_step": stop},
    }
    until = int(learning.steps[spoilt[-1]])
    return Growth(layers, first, until, evidence, text)


def lost(trace):
    """Judge a burst amid a run that took away what had been learnt.

    Until then the loss had fallen. From the burst on it is back near where the
    run began, and it does not come down again.
    """
    loss, few = trace.extra.get("loss"), of_few_samples(trace)
    least = LOST["before"] + LOST["after"]
    if loss is None or few or len(loss) < least or not np.isfinite(loss[0]):
        return None
    loss = np.asarray(loss, np.float64)
    top = LOST["loss"] * np.median(loss[:8])
    with np.errstate(invalid="ignore"):
        high = np.flatnonzero(loss > top) if top > 0 else np.zeros(0, int)
    # Where a stretch of them begins.
    apart = np.diff(high, prepend=-LOST["before"]) > LOST["after"]
    for at in high[apart][-LOST["most"] :]:
        found = _lost_at(trace, loss, int(at))
        if found is not None:
            return found
    return None


def _lost_at(trace, loss, at):
    low, stop = at - LOST["before"], at + 2
    if low < 8 or len(loss) < stop + LOST["after"]:
        return None
    first, before = np.median(loss[:8]), np.median(loss[low:at])
    learnt = first - before
    if not learnt > LOST["learnt"] * first:
        return None
    norms = trace.global_norms(low, stop)
    usual = float(np.median(norms[:-2]))
    worst = at + int(np.argmax(norms[-2:]))
    norm = float(norms[worst - low])
    if not norm > LOST["growth"] * usual > 0:
        return None
    # Each half of the records since, and those of late.
    rest = loss[stop:]
    half = len(rest) // 2
    early, late = np.median(rest[:half]), np.median(rest[half:])
    latest = np.median(rest[-LOST["after"] // 2 :])
    gone = min(late, latest) > before + LOST["gone"] * learnt
    if not gone or early - late > LOST["coming_back"] * learnt:
        return None
    burst_at, until = int(trace.steps[worst]), int(trace.steps[-1])
    layers = _by_norm(trace, worst)
    text = (
        f"The gradient norm was {number(norm)} at step {burst_at}, and "
        f"{number(usual)} on the steps before. The loss had come from "
        f"{number(first, 3)} to {number(before, 3)}, and has been near "
        f"{number(late, 3)} since. What was learnt before is lost."
    )
    evidence = {
        "kind": "lost",
        "growth": norm / usual,
        "threshold": LOST["growth"],
        "window": {
            "first_step": int(trace.steps[at]),
            "last_step": int(trace.steps[stop + LOST["after"] - 1]),
        },
    }
    return Growth(layers, burst_at, until, evidence, text)


def _by_norm(trace, at):
    """Return the judged layers, that of the largest gradient first."""
    last = np.nan_to_num(trace.layer_norms(at, at + 1)[0])
    return layers_by(trace, last)


def _jumps(trace):
    """Return ranges of records in which the gradient may have run away.

    All of the first 256; of the rest, those around a block that is above the
    one before.
    """
    count = min(RUNAWAY["records"], len(trace.steps))
    ranges = [(0, count)]
    blocks = trace.blocks()
    with np.errstate(invalid="ignore"):
        rise = np.diff(blocks.global_log) > 1.0
    for at in np.flatnonzero(rise)[:64] + 1:
        low, high = np.searchsorted(
            trace.steps,
            [blocks.first_step[at - 1], blocks.last_step[at] + 1],
        )
        if high > count and high - low >= 3:
            ranges.append((int(low), int(high)))
    return ranges


def _in_a_row(steps):
    """Return whether three records follow one another, none left out."""
    if len(steps) < 3:
        return np.zeros(0, bool)
    apart = np.diff(steps)
    return (apart[1:] == apart[:-1]) & (apart[1:] <= max(1, apart.min()))


def _largest_update(trace, step):
    """Return the largest finite update ratio up to `step`, and its layer."""
    steps, ratio = trace.measured("update_ratio")
    ratio = ratio[steps <= step][:, judged_layers(trace)]
    finite = np.where(np.isfinite(ratio), ratio, 0.0)
    if not finite.size:
        return 0.0, ""
    worst = int(finite.max(axis=0).argmax())
    layer = trace.layers[judged_layers(trace)][worst]
    return float(finite[:, worst].max()), str(layer)
