"""A loss that layers add, or a penalty on outputs, that outweighs the task.

The judgements take a `Trace` and return a `Finding`, or None.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.baseline import most_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies.added import weaken_added
from keras_gradguard.diagnosis.rules.update_ratio.penalty import weaken
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADDED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADDED_WAIT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SURELY_ADDED
from keras_gradguard.diagnosis.rules.update_ratio.weighing import faded_layers
from keras_gradguard.diagnosis.rules.update_ratio.weighing import first_loss
from keras_gradguard.diagnosis.rules.update_ratio.weighing import outweighs


def added_at_once(trace, learning):
    """Judge an added loss, or a penalty on outputs, that dwarfs the task."""
    loss = first_loss(trace)
    found = _leads(trace, learning, loss) if loss else None
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
        fix = weaken(trace, layers, why, key, 1e-6)
    evidence = {"kind": kind, "share": 1 - most / loss, "threshold": SHARE}
    return outweighs(trace, layers, stop, evidence, text, [fix])


def _leads(trace, learning, first):
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


def added_fades(trace, left, stop):
    """Judge a loss that nothing in the layers' configuration tells of."""
    count = len(Learning.of(trace))
    loss, guess = first_loss(trace), guess_of(trace, count)[:1]
    layers, least = faded_layers(trace, left)
    if loss is None or not layers:
        return None
    if not len(guess) or not 0 < guess[0] < (1 - SHARE) * loss:
        return None
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
    return outweighs(trace, layers, stop, evidence, text, [fix])


def collapsed(trace, contrast, stop, limit):
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
        "do"
        + (" and follow nothing of them" if math.isinf(limit) else "")
        + ", and the loss is no lower than that of a constant."
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
    return outweighs(trace, [], stop, evidence, text, [fix])
