"""A gradient that vanishes on its way back through time."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.through_time import MEASURED
from keras_gradguard.diagnosis.evidence.through_time import ThroughTime
from keras_gradguard.diagnosis.evidence.through_time import owners_of
from keras_gradguard.diagnosis.evidence.unmoved import Unmoved
from keras_gradguard.diagnosis.remedies.recurrent import for_forgetting
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import FALL
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import GROWS
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import NOTED
from keras_gradguard.findings.build import in_a_run


def through_time(trace, limit):
    """Judge whether a run learns nothing and its recurrent layers forget.

    Args:
        trace: The `Trace`.
        limit: Float. Of the largest gradient of a layer, what has to arrive at
            its first time step.

    Returns:
        A `Finding` or None.
    """
    layers = ThroughTime.all_of(trace)
    progress, learning = Progress.of(trace), Learning.of(trace)
    if not layers or not progress.known or not len(learning):
        return None
    unmoved = Unmoved.of(trace, FALL)
    for at in np.flatnonzero(unmoved.flat | unmoved.blind):
        stop = int(learning.steps[at])
        guilty = [layer for layer in layers if _forgets(layer, stop, limit)]
        if guilty:
            blind = bool(unmoved.blind[at])
            return _finding(trace, guilty, stop, limit, blind, progress)
    return None


def _forgets(layer, stop, limit):
    """Whether next to nothing arrives, by all of the latest measurements."""
    latest = layer.latest(stop)
    if len(latest) < MEASURED:
        return False
    with np.errstate(invalid="ignore"):
        return bool((layer.arrives[latest] < limit).all())


def _finding(trace, guilty, stop, limit, blind, progress):
    def arrives(layer):
        return float(np.median(layer.arrives[layer.latest(stop)]))

    guilty = sorted(guilty, key=arrives)
    worst = guilty[0]
    share, latest = arrives(worst), worst.latest(stop)
    length = int(worst.lengths[latest[-1]])
    halving = float(np.median(worst.halving[latest]))
    start = int(trace.steps[0])
    at = int(np.searchsorted(trace.blocks().last_step, stop, "right")) - 1
    names = [path for each in guilty for path in owners_of(trace, each.layer)]
    evidence = {
        "kind": "through_time",
        "arrives": {each.layer: arrives(each) for each in guilty},
        "ratio": share,
        "threshold": limit,
        "time_steps": length,
        "halving": halving,
        "loss_first": progress.first,
        "loss": float(progress.loss[at]),
        "window": {"first_step": start, "last_step": stop},
    }
    name = worst.layer.rsplit("/", maxsplit=1)[-1]
    return in_a_run(
        trace,
        rule="vanishing_gradient",
        severity="critical" if blind else "warning",
        layers=names,
        first_step=start,
        last_step=not_learnt_until(trace, stop),
        evidence=evidence,
        message=(
            f"The gradient of {name} vanishes through time. Of its norm at the "
            f"end, {share_text(share)} arrives at the first of {length} time "
            f"steps. {halves(halving)} What came long before cannot be learnt. "
            f"The loss does not move: {progress.first:.3g} at the start, "
            f"{evidence['loss']:.3g} now."
        ),
        remedies=for_forgetting(trace.run, names, length),
    )


def share_text(share):
    """Return in words which share of a norm there is."""
    return number(share) if share > 0 else "nothing that float32 can hold"


def halves(halving):
    """Return in words within how many time steps a gradient halves."""
    if halving < 1.5:
        return "It halves at every time step or sooner."
    return f"It halves every {number(halving)} time steps."


def note_of(layer):
    """Return what a first gradient shows of a layer, or None.

    Args:
        layer: `ThroughTime` of one measurement.
    """
    share, grows = float(layer.arrives[0]), float(layer.grows[0])
    name, length = layer.layer, int(layer.lengths[0])
    if share < NOTED:
        return (
            f"Through time: of the gradient of {name} at the end, "
            f"{share_text(share)} arrives at the first of {length} time steps. "
            f"{halves(float(layer.halving[0]))} At first it will learn of the "
            "latest steps alone, which is enough for many tasks."
        )
    if grows > max(GROWS, 10 * length):
        return (
            f"Through time: the gradient of {name} grows {number(grows)}-fold "
            f"on its way back over {length} time steps. Clip it: "
            "`optimizer.global_clipnorm=1.0`."
        )
    return None
