"""A gradient that explodes on its way back through time."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import (
    first_loss as first_loss_of,
)
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.through_time import MEASURED
from keras_gradguard.diagnosis.evidence.through_time import ThroughTime
from keras_gradguard.diagnosis.evidence.through_time import owners_of
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    THROUGH_TIME,
)


def through_time(trace):
    """Judge whether a run learns nothing and its states explode.

    Args:
        trace: The `Trace`.

    Returns:
        A `Growth`, or None.
    """
    layers, progress = ThroughTime.all_of(trace), Progress.of(trace)
    if not layers or not progress.known:
        return None
    window = max(THROUGH_TIME["window"], progress.window)
    first = first_loss_of(trace, progress)
    with np.errstate(invalid="ignore", over="ignore"):
        worse = progress.loss - first > abs(first)
    stuck = progress.stalled(window, THROUGH_TIME["stalled"])
    stuck &= progress.not_learned(window, THROUGH_TIME["learned"])
    blocks = trace.blocks()
    for at in np.flatnonzero(worse | stuck):
        stop = int(blocks.last_step[at])
        guilty = [layer for layer in layers if _explodes(layer, stop)]
        if guilty:
            return _growth(trace, guilty, stop, bool(worse[at]))
    return None


def _explodes(layer, stop):
    """Whether it grows back through time in all of the latest measurements."""
    latest = layer.latest(stop)
    if len(latest) < MEASURED:
        return False
    # Where each time step has an output, each adds to what comes back.
    least = np.maximum(
        THROUGH_TIME["grows"], THROUGH_TIME["each"] * layer.lengths[latest]
    )
    with np.errstate(invalid="ignore"):
        return bool((layer.grows[latest] > least).all())


def _growth(trace, guilty, stop, worse):
    def grows(layer):
        return float(np.median(layer.grows[layer.latest(stop)]))

    guilty = sorted(guilty, key=grows, reverse=True)
    worst = guilty[0]
    length = int(worst.lengths[worst.latest(stop)[-1]])
    start = int(trace.steps[0])
    name = worst.layer.rsplit("/", maxsplit=1)[-1]
    what = "rises" if worse else "does not fall"
    return Growth(
        [path for each in guilty for path in owners_of(trace, each.layer)],
        start,
        stop,
        {
            "kind": "through_time",
            "grows": {each.layer: grows(each) for each in guilty},
            "growth": grows(worst),
            "threshold": THROUGH_TIME["grows"],
            "time_steps": length,
            "window": {"first_step": start, "last_step": stop},
        },
        f"The gradient of {name} explodes through time: it grows "
        f"{number(grows(worst))}-fold on its way back over {length} time "
        f"steps. The loss {what}.",
        "critical" if worse else "warning",
    )
