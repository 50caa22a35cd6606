"""Penalties on weights and on outputs that outweigh the task.

The judgements take a `Trace` and return a `Finding`, or None.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.code import WEIGHTS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ALONE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AS_CONSTANT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import FADED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import GONE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_USUAL,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SAME
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SUM_OF_SIZES
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import TENFOLD
from keras_gradguard.diagnosis.rules.update_ratio.weighing import first_loss
from keras_gradguard.diagnosis.rules.update_ratio.weighing import outweighs

# Penalties, by the variables that they are on.
_REGULARIZERS = {
    f"{what}_regularizer": of
    for what, of in WEIGHTS.items()
    if what not in ("bias", "gamma", "beta")
}


def penalty_at_once(trace, own, stop, records):
    """Judge a penalty beside which the task is next to nothing at the start.

    Args:
        trace: `Trace`.
        own: What `penalties` returned.
        stop: Int. The step by which it shows.
        records: Int. The first ones, by which it shows.
    """
    loss = first_loss(trace)
    if not loss:
        return None
    total = sum(own.values())
    least = sum(l2 + SUM_OF_SIZES * l1 for _, _, l1, l2 in _penalized(trace))
    times = _times_a_constant(trace, total, least, records)
    if not times >= TENFOLD:
        return None
    layers = [str(trace.layers[i]) for i in sorted(own, key=own.get)[::-1]]
    text = (
        f"The penalty on the weights outweighs the task: it is {number(total)} "
        f"of a loss of {number(loss)} at the start. That is {number(times)} "
        "times what a constant prediction costs. The gradient is next to "
        "nothing but that of the penalty, so only the weights shrink."
    )
    return _of_penalty(trace, own, layers, stop, total / abs(loss), text)


def _times_a_constant(trace, total, least, records):
    """Return how many times the loss of a constant a penalty is, or 0.

    Only where the gradient is that of the penalty and hardly anything else, and
    where weights that are of any use cost more than all that can be learnt.

    Args:
        trace: `Trace`.
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
        slope = _slope(trace, int(at))
        part = slope / norms[record] if norms[record] > 0 else math.nan
        if not ALONE[0] < part < ALONE[1]:
            return 0.0
        shown += 1
    return float(total / guess[0]) if shown >= 3 else 0.0


def penalty_fades(trace, left, stop):
    """Judge weights that faded under a penalty, while nothing was learnt."""
    own = penalties(trace)
    loss, total = first_loss(trace), sum(own.values())
    share = total / abs(loss) if loss else math.nan
    faded = [at for at in own if left[at] < FADED]
    if not faded or not share > SHARE:
        return None
    layers = [str(trace.layers[at]) for at in faded]
    least = float(min(left[at] for at in faded))
    text = (
        f"The penalty on the weights outweighs the task: {number(total)} of a "
        f"loss of {number(loss)} at the start. The weights of {names(layers)} "
        f"shrank to {number(100 * least)} % of their size, and nothing was "
        "learnt."
    )
    return _of_penalty(trace, own, layers, stop, share, text)


def penalty_stays(trace, learning, at, stop):
    """Judge a penalty that falls, while the loss of the data does not."""
    own, loss = penalties(trace), first_loss(trace)
    measured = trace.measured("weight_norm")[0]
    now = int(np.searchsorted(measured, stop, "right")) - 1
    guess = float(guess_of(trace, at + 1)[-1])
    late = _loss_by(trace, stop)
    if not own or not loss or now < 1 or not late > 0:
        return None
    total, left = sum(own.values()), sum(penalties(trace, now).values())
    share = total / abs(loss)
    # Where the loss of a constant is not known, that of the data at first.
    guess = guess if np.isfinite(guess) else loss - total
    learnt = late - left < AS_CONSTANT * guess or not guess > 0
    learnt &= not learning.contrast[at] < SAME
    leads = left > SHARE * late or left < GONE * total
    if learnt or not share > SHARE or not leads:
        return None
    layers = [str(trace.layers[i]) for i in sorted(own, key=own.get)[::-1]]
    text = (
        f"The penalty on the weights outweighs the task. Of a loss of "
        f"{number(late)} by step {stop} it is {number(left)}; at the start "
        f"it was {number(total)} of {number(loss)}. The rest is no lower than "
        "the loss of a constant prediction: only the weights shrink."
    )
    return _of_penalty(trace, own, layers, stop, share, text)


def _of_penalty(trace, own, layers, stop, share, text):
    fix = weaken(
        trace,
        [str(trace.layers[at]) for at in own],
        "1e-4 is usual; the loss of the data must lead.",
        list(_REGULARIZERS),
        OUTWEIGHED_USUAL["penalty"],
    )
    evidence = {"kind": "penalty", "share": share, "threshold": SHARE}
    return outweighs(trace, layers, stop, evidence, text, [fix])


def outputs_fade(trace, stop):
    """Judge outputs that faded under a penalty on them."""
    std = trace.activation("std").astype(np.float64)
    at = int(np.searchsorted(trace.activation_steps, stop, "right")) - 1
    if at < 1 or not std.shape[1]:
        return None
    mean = trace.activation("mean").astype(np.float64)
    with np.errstate(all="ignore"):
        size = np.hypot(mean, std)
        left = size[at] / size[0]
    layers = [
        layer
        for layer in layers_of(trace, trace.sites[left < FADED])
        if trace.info(layer).get("activity_regularizer")
    ]
    if not layers:
        return None
    text = (
        f"The penalty on the outputs of {names(layers)} outweighs the task. "
        f"They shrank to {number(100 * float(np.nanmin(left)))} % of their "
        "size, and nothing was learnt."
    )
    fix = weaken(
        trace,
        layers,
        "It adds up over all units of a sample.",
        ["activity_regularizer"],
        1e-6,
    )
    evidence = {"kind": "activity_penalty", "threshold": FADED}
    return outweighs(trace, layers, stop, evidence, text, [fix])


def _slope(trace, measured):
    """Return the norm of the gradient of all penalties on weights."""
    norm = trace.measured("weight_norm", by="variable")[1][measured]
    square = 0.0
    for i, _, l1, l2 in _penalized(trace):
        size = float(norm[i])
        if np.isfinite(size):
            square += (2 * l2 * size) ** 2 + l1**2 * float(trace.sizes[i])
    return math.sqrt(square)


def _penalized(trace):
    """Yield index, layer's index, l1 and l2 of variables with a penalty."""
    for i, (at, path) in enumerate(
        zip(trace.owners.tolist(), trace.variables.tolist(), strict=True)
    ):
        info, name = trace.info(str(trace.layers[at])), path.split("/")[-1]
        for key, of in _REGULARIZERS.items():
            told = info.get(key)
            if name not in of or not isinstance(told, dict):
                continue
            l1, l2 = (_factor(told.get(each)) for each in ("l1", "l2"))
            if l1 + l2 > 0:
                yield i, at, l1, l2


def penalties(trace, measured=0):
    """Return what the penalty on each layer's weights adds to the loss.

    Args:
        trace: `Trace`.
        measured: Int. At which measurement of the weights. Defaults to the
            first.

    Returns:
        Dict from the index of a layer to a float; layers without a penalty are
        left out. The sum of the sizes of weights, which l1 takes, is that of a
        normal distribution.
    """
    norm = trace.measured("weight_norm", by="variable")[1][measured]
    found: dict = {}
    for i, at, l1, l2 in _penalized(trace):
        size = float(norm[i])
        added = l2 * size**2 + l1 * 0.8 * size * math.sqrt(trace.sizes[i])
        if np.isfinite(added):
            found[at] = found.get(at, 0.0) + added
    return found


def _factor(value):
    return float(value) if isinstance(value, int | float) else 0.0


def weaken(trace, layers, why, keys, to):
    """Return the change of the penalties of layers to a usual one."""
    changes: dict = {}
    for layer in layers:
        path, info = trace.run.of_user(layer)
        # Attention hands its own on to the layers in it, and hides it.
        inner = trace.run.info(layer)
        own = {k: _l2(to) for k in keys if info.get(k) or inner.get(k)}
        if own:
            changes[path] = own
    return model.change_layers("Weaken the penalty", why, changes)


def _l2(size):
    return {
        "module": "keras.regularizers",
        "class_name": "L2",
        "config": {"l2": size},
    }


def _loss_by(trace, stop):
    """Return the mean loss of the ten records up to a step, NaN if unknown."""
    loss = trace.extra.get("loss")
    if loss is None:
        return math.nan
    last = int(np.searchsorted(trace.steps, stop, "right"))
    known = loss[max(0, last - 10) : last]
    return float(np.nanmean(known)) if np.isfinite(known).any() else math.nan
