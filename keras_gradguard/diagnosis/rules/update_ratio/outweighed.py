"""A penalty or a decay that moves the weights more than the task does.

The judgement takes a `Trace` and returns a `Finding`, or None.

Longer than 350 lines, since the ways to outweigh the loss are told apart by the
same measurements.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.baseline import most_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.code import WEIGHTS
from keras_gradguard.diagnosis.remedies.own_code import weaken_added
from keras_gradguard.diagnosis.rules.update_ratio.outweighed_at_once import (
    added_leads,
)
from keras_gradguard.diagnosis.rules.update_ratio.outweighed_at_once import (
    decay_of_a_step,
)
from keras_gradguard.diagnosis.rules.update_ratio.outweighed_at_once import (
    penalty_leads,
)
from keras_gradguard.diagnosis.rules.update_ratio.outweighed_at_once import (
    weaken_decay,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AS_CONSTANT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    AT_ONCE_RECORDS,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import CONSTANT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import FADED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import GONE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import LESS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_LONG,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_PATIENCE,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_USUAL,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SAME
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARP
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARP_DECAY
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SUM_OF_SIZES
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SURELY_ADDED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import TENFOLD
from keras_gradguard.findings.build import in_a_run

# Penalties that count, by the variables that they are on.
_REGULARIZERS = {
    f"{what}_regularizer": of
    for what, of in WEIGHTS.items()
    if what not in ("bias", "gamma", "beta")
}


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
            found = _penalty_leads(trace, learning, int(at), stop)
            if found is None and learning.gain[at] < 0:
                # The loss falls only as the outputs shrink.
                found = _activity(trace, stop)
        if found is None and run[at] >= wait and learning.stalled[at]:
            widest = float(np.nanmax(learning.contrast[: at + 1], initial=0))
            if not learning.contrast[at] < LESS * widest:
                continue  # outputs that come to differ are on their way
            limit = CONSTANT if idle[at] else SHARP
            contrast = float(learning.contrast[at])
            found = _collapsed(trace, contrast, stop, limit)
        if found is not None:
            return found
    return None


def _at_once(trace, learning, steps, norm):
    """Judge what is so strong that nobody has to wait for the loss."""
    few = of_plan(trace, *AT_ONCE_RECORDS)
    if len(trace.steps) < few:
        return None
    stop = int(trace.steps[few - 1])
    last = int(np.searchsorted(steps, stop, "right")) - 1
    if last < 1 or learning.good[max(0, learning.at(stop))]:
        return None
    if decay_of_a_step(trace.run) >= SHARP_DECAY:
        with np.errstate(all="ignore"):
            left = norm[last].astype(np.float64) / norm[0]
        found = _decay(trace, left, stop)
        if found is not None:
            return found
    own, loss = _penalties(trace), _first_loss(trace)
    if not own or not loss:
        return _added_at_once(trace, learning, loss)
    total = sum(own.values())
    least = sum(l2 + SUM_OF_SIZES * l1 for _, _, l1, l2 in _penalized(trace))
    times = penalty_leads(
        trace, lambda at: _slope(trace, at), total, least, records=few
    )
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


def _added_at_once(trace, learning, loss):
    """Judge an added loss, or a penalty on outputs, that dwarfs the task."""
    found = added_leads(trace, learning, loss) if loss else None
    if found is None:
        return None
    stop, most, late = found
    layers = [
        str(layer)
        for layer in trace.layers
        if trace.info(str(layer)).get("activity_regularizer")
    ]
    what = f"The penalty on the outputs of {names(layers)}"
    if not layers:
        what = "An added loss"
    text = (
        f"{what} outweighs the task. The first loss was {number(loss)}, of "
        f"which outputs and targets make {number(most)} at most. By step "
        f"{stop} it is {number(late)} still, so the steps serve that alone."
    )
    why = "`model.losses` lists it; the loss of the data must lead."
    fix = weaken_added(trace.run, why, loss - most, most)
    kind = "penalty"
    if layers:
        kind, key = "activity_penalty", ["activity_regularizer"]
        why = "It adds up over all units of a sample."
        fix = _weaken(trace, layers, why, key, 1e-6)
    evidence = {"kind": kind, "share": 1 - most / loss, "threshold": SHARE}
    return _finding(trace, layers, stop, evidence, text, [fix])


def _while_idle(trace, norm, last, stop):
    with np.errstate(all="ignore"):
        left = norm[last].astype(np.float64) / norm[0]
    found = _penalty(trace, left, stop)
    found = found or _activity(trace, stop)
    found = found or _decay(trace, left, stop)
    return found or _added(trace, left, stop)


def _penalty(trace, left, stop):
    own = _penalties(trace)
    loss, total = _first_loss(trace), sum(own.values())
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


def _penalty_leads(trace, learning, at, stop):
    """Judge a penalty that falls, while the loss of the data does not."""
    own, loss = _penalties(trace), _first_loss(trace)
    measured = trace.measured("weight_norm")[0]
    now = int(np.searchsorted(measured, stop, "right")) - 1
    guess = float(guess_of(trace, at + 1)[-1])
    late = _loss_by(trace, stop)
    if not own or not loss or now < 1 or not late > 0:
        return None
    total, left = sum(own.values()), sum(_penalties(trace, now).values())
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
    fix = _weaken(
        trace,
        [str(trace.layers[at]) for at in own],
        "1e-4 is usual; the loss of the data must lead.",
        list(_REGULARIZERS),
        OUTWEIGHED_USUAL["penalty"],
    )
    evidence = {"kind": "penalty", "share": share, "threshold": SHARE}
    return _finding(trace, layers, stop, evidence, text, [fix])


def _activity(trace, stop):
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
    fix = _weaken(
        trace,
        layers,
        "It adds up over all units of a sample.",
        ["activity_regularizer"],
        1e-6,
    )
    evidence = {"kind": "activity_penalty", "threshold": FADED}
    return _finding(trace, layers, stop, evidence, text, [fix])


def _decay(trace, left, stop):
    decay, rate = trace.run.optimizer.weight_decay, trace.run.learning_rate
    if rate is None or decay is None or not decay > 0:
        return None
    run = stop - int(trace.steps[0])
    # Keras takes rate * decay off the weights at each step.
    explained = math.exp(-min(700.0, rate * decay * run))
    trained = np.unique(trace.owners[trace.has_gradient])
    faded = [int(at) for at in trained if left[at] < FADED]
    if explained > 0.5 or len(faded) < max(1, len(trained) // 2):
        return None
    layers = [str(trace.layers[at]) for at in faded]
    text = (
        "The weight decay outweighs the task: each step takes "
        f"{number(100 * rate * decay)} % off the weights. It is "
        f"{number(decay)} at a learning rate of {number(rate)}. The weights of "
        f"{names(layers)} shrank to "
        f"{number(100 * float(min(left[at] for at in faded)))} % of their "
        "size, and nothing was learnt."
    )
    fix = weaken_decay()
    evidence = {
        "kind": "decay",
        "weight_decay": float(decay),
        "threshold": FADED,
    }
    return _finding(trace, layers, stop, evidence, text, [fix])


def _added(trace, left, stop):
    """Judge a loss that nothing in the layers' configuration tells of."""
    count = len(Learning.of(trace))
    loss, guess = _first_loss(trace), guess_of(trace, count)[:1]
    trained = np.unique(trace.owners[trace.has_gradient])
    faded = [int(at) for at in trained if left[at] < FADED]
    if loss is None or len(faded) < max(1, len(trained) // 2):
        return None
    if not len(guess) or not 0 < guess[0] < (1 - SHARE) * loss:
        return None
    layers = [str(trace.layers[at]) for at in faded]
    least = float(min(left[at] for at in faded))
    text = (
        "An added loss outweighs the task: the first loss was "
        f"{number(loss)}, where a constant prediction has "
        f"{number(float(guess[0]))}. The weights of {names(layers)} shrank to "
        f"{number(least)} of their size, and nothing was learnt."
    )
    fix = weaken_added(
        trace.run,
        "`model.losses` lists it; the loss of the data must lead.",
        loss - float(guess[0]),
        float(guess[0]),
    )
    evidence = {
        "kind": "penalty",
        "share": float(1 - guess[0] / loss),
        "threshold": SHARE,
    }
    return _finding(trace, layers, stop, evidence, text, [fix])


def _collapsed(trace, contrast, stop, limit):
    """Judge a loss of a layer's own under which the outputs are a constant.

    The weight of a variational autoencoder's divergence is the usual one: what
    it encodes then holds nothing of the input ("posterior collapse", Bowman et
    al., "Generating sentences from a continuous space", 2016).
    """
    most = most_of(trace)
    loss = float(trace.data("loss")[0]) if most > 0 else math.nan
    # The bound is a safe one: what lies above it was added for certain.
    if not contrast < limit or not most < (1 - SURELY_ADDED) * loss:
        return None
    text = (
        f"An added loss outweighs the task. The first loss was {number(loss)}, "
        f"of which outputs and targets make {number(most)} at most. By now "
        f"the outputs vary by {number(100 * contrast)} % of what the targets "
        "do, and the loss is no lower than that of a constant."
    )
    fix = weaken_added(
        trace.run,
        "`model.losses` lists it. In a variational autoencoder, raise the "
        "weight of the divergence from 0, or keep it small.",
        loss - most,
        most,
    )
    evidence = {
        "kind": "penalty",
        "share": 1 - most / loss,
        "contrast": contrast,
        "threshold": SURELY_ADDED,
    }
    return _finding(trace, [], stop, evidence, text, [fix])


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


def _penalties(trace, measured=0):
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


def _first_loss(trace):
    loss = trace.extra.get("loss")
    if loss is None or not len(loss) or not np.isfinite(loss[0]):
        return None
    return float(loss[0])


def _weaken(trace, layers, why, keys, to):
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


def _finding(trace, layers, stop, evidence, text, fixes):
    first = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            **evidence,
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=fixes,
    )
