"""Constraints that cut the weights down.

The judgement of a run takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.code import WEIGHTS
from keras_gradguard.diagnosis.remedies.expressions import is_call
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import HELD
from keras_gradguard.diagnosis.rules.update_ratio.weighing import outweighs

_CONSTRAINTS = tuple(f"{what}_constraint" for what in WEIGHTS)


def constrained(trace):
    """Judge whether a constraint leaves next to nothing of the weights.

    Keras applies it behind each step. Weights that lose most of their norm by
    the first one, with a constraint on them, were cut down by it: steps of an
    optimizer make weights larger, or turn them.

    References:
        - [Srivastava et al., 2014](https://jmlr.org/papers/v15/srivastava14a.html),
          who hold the norm of the weights of a unit to 3 or 4.
    """
    learning = Learning.of(trace)
    steps, norm = trace.measured("weight_norm")
    if not len(learning) or not len(trace.steps) or not len(steps):
        return None
    after = int(np.searchsorted(steps, steps[0], "right"))
    if after == len(steps) or steps[after] > steps[0] + HELD["steps"]:
        return None
    with np.errstate(all="ignore"):
        left = norm[after].astype(np.float64) / norm[0]
    pushed = _pushed_up(trace, learning, left, int(steps[after]))
    if pushed is not None:
        return pushed
    held, above = {}, []
    for at in np.flatnonzero(left < HELD["above_zero"]):
        layer = str(trace.layers[at])
        told = _constraints(trace.run, layer).values()
        cut = any(map(_keeps_above_zero, told))
        if told and (cut or left[at] < HELD["left"]):
            held[layer] = float(left[at])
            above += [layer] if cut else []
    run = learning.steps - int(trace.steps[0])
    bad = (run >= of_plan(trace, *HELD["wait"])) & ~learning.good
    bad &= learning.little(HELD["fallen"]) & ~learning.at_ceiling
    bad &= learning.steps >= steps[after]
    if not held or not bad.any():
        return None
    least = min(held.values())
    layers = sorted(held, key=lambda layer: held[layer])
    text = (
        f"A constraint leaves next to nothing of the weights of "
        f"{names(layers)}: {number(100 * least)} % of their size behind the "
        "first step. So no signal and no gradient gets through. Each unit's "
        "weights have a norm of about 1 at the start; 3 or 4 is a usual limit."
    )
    fix = _left_out(trace.run, layers)
    limit = HELD["left"]
    if len(above) == len(layers):
        limit = HELD["above_zero"]
        text = (
            f"A constraint keeps the weights of {names(layers)} at 0 and "
            "above, and nothing was learnt. The first step set those below to "
            "0. What is left can only rise with what comes in, so it learns "
            "only what rises with it, too."
        )
    evidence = {"kind": "constraint", "left": least, "threshold": limit}
    seen = int(learning.steps[bad.argmax()])
    return outweighs(trace, layers, seen, evidence, text, [fix])


def _pushed_up(trace, learning, grown, step):
    """Judge whether a constraint makes weights so large that units saturate."""
    layers = {
        str(trace.layers[at]): float(grown[at])
        for at in np.flatnonzero(grown > HELD["grown"])
        if _constraints(trace.run, str(trace.layers[at]))
    }
    flat = trace.activation("saturated_fraction")[: len(learning)]
    owners = [at for at, s in enumerate(trace.sites) if str(s) in layers]
    if not layers or not owners:
        return None
    with np.errstate(invalid="ignore"):
        ends = (flat[:, owners] >= HELD["flat"]).any(axis=1)
    run = learning.steps - int(trace.steps[0])
    bad = (run >= of_plan(trace, *HELD["wait"])) & ~learning.good
    bad &= ends & (learning.steps >= step)
    if not bad.any():
        return None
    named = sorted(layers, key=lambda layer: -layers[layer])
    text = (
        f"A constraint makes the weights of {names(named)} large: "
        f"{number(layers[named[0]])} times as large as they were, behind the "
        "first step. So their units lie in the flat ends of the activation, "
        "where next to no gradient passes. Each unit's weights have a norm of "
        "about 1 at the start; 3 or 4 is a usual limit."
    )
    seen = int(learning.steps[bad.argmax()])
    evidence = {"kind": "constraint", "grown": layers[named[0]]}
    evidence["threshold"] = HELD["grown"]
    fix = _left_out(trace.run, named)
    return outweighs(trace, named, seen, evidence, text, [fix])


def constraint_at_start(run):
    """Return layers, evidence, text and remedies of a norm held far off."""
    limits, least_of = {}, {}
    for layer in run.layers:
        told = [c for c in _constraints(run, layer).values() if is_call(c)]
        most = [c["arguments"].get("max_value") for c in told]
        most = [m for m in most if isinstance(m, int | float)]
        asked = [c["arguments"].get("min_value") for c in told]
        asked = [m for m in asked if isinstance(m, int | float)]
        if most and min(most) < HELD["norm"]:
            limits[layer] = float(min(most))
        elif asked and max(asked) > HELD["high"]:
            least_of[layer] = float(max(asked))
    if least_of and not limits:
        return _held_up(run, least_of)
    if not limits:
        return None
    least, layers = min(limits.values()), list(limits)
    text = (
        f"A constraint leaves next to nothing of the weights of "
        f"{names(layers)}: a norm of {number(least)} for each unit, which "
        "starts at about 1. 3 or 4 is a usual limit."
    )
    evidence = {
        "kind": "constraint",
        "max_value": least,
        "threshold": HELD["norm"],
    }
    return layers, evidence, text, [_left_out(run, layers)]


def _held_up(run, limits):
    most, layers = max(limits.values()), list(limits)
    text = (
        f"A constraint makes the weights of {names(layers)} large: a norm of "
        f"at least {number(most)} for each unit, which starts at about 1. "
        "3 or 4 is a usual limit."
    )
    evidence = {"kind": "constraint", "min_value": most}
    evidence["threshold"] = HELD["high"]
    return layers, evidence, text, [_left_out(run, layers)]


def _keeps_above_zero(constraint):
    told = constraint["call"] if is_call(constraint) else str(constraint)
    return told.lower().replace("_", "").endswith("nonneg")


def _left_out(run, layers):
    return model.change_layers(
        "Leave out the constraint",
        "Then the weights keep the size that they were drawn with.",
        {layer: dict.fromkeys(_constraints(run, layer)) for layer in layers},
    )


def _constraints(run, layer):
    """Return a layer's arguments that hold a constraint, by their names."""
    _, info = run.of_user(layer)
    given = info["call"]["arguments"] if is_call(info.get("call")) else {}
    return {name: given[name] for name in _CONSTRAINTS if given.get(name)}
