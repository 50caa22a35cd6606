"""Dropout that lets next to nothing through.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.code import put_layers
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import DROPPED
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy

# Arguments of layers that drop something themselves.
_OWN = ("dropout", "recurrent_dropout")


def dropped(trace):
    """Judge whether dropout leaves too little to learn from.

    References:
        - [Srivastava et al., 2014](https://jmlr.org/papers/v15/srivastava14a.html),
          who drop a half of hidden units and a fifth of inputs.
    """
    told, learning = dropout_of(trace.run, DROPPED["rate"]), Learning.of(trace)
    if told is None or not len(learning) or not len(trace.steps):
        return None
    run = learning.steps - int(trace.steps[0])
    hopeless = told[1]["rate"] >= DROPPED["hopeless"]
    due = of_plan(trace, *DROPPED["soon" if hopeless else "wait"])
    with np.errstate(invalid="ignore"):
        little = learning.little(DROPPED["fallen"]) & ~learning.good
    seen = np.flatnonzero((run >= due) & little & ~learning.at_ceiling)
    if not len(seen):
        return None
    layers, evidence, text, fixes = told
    first, stop = int(trace.steps[0]), int(learning.steps[seen[0]])
    window = {"first_step": first, "last_step": stop}
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=int(learning.steps[seen[-1]]),
        evidence={**evidence, "window": window},
        message=text,
        remedies=fixes,
    )


def dropout_of(run, limit):
    """Return layers, evidence, text and remedies of heavy dropout, or None.

    Args:
        run: `RunInfo` of the run or the model.
        limit: Float. A share that is too much to drop.
    """
    heavy = {
        path: info
        for path, info in run.noise.items()
        if isinstance(info.get("rate"), int | float) and info["rate"] >= limit
    }
    inside = _inside(run, limit)
    if not heavy and not inside:
        return None
    rates = [float(info["rate"]) for info in heavy.values()]
    rate = max([*rates, *(max(own.values()) for own in inside.values())])
    layers = [*heavy, *inside]
    text = (
        f"{names(layers)}: dropout throws away {number(100 * rate)} % of "
        "what comes in, and other parts at each step. What is left is too "
        "little to learn from: 0.2 to 0.5 is usual."
    )
    lighter = {
        path: call(
            f"keras.layers.{info['class']}",
            DROPPED["usual"],
            name=str(info.get("name")),
        )
        for path, info in heavy.items()
    }
    evidence = {"kind": "dropout", "rate": rate, "threshold": limit}
    why, fixes = "Then most of the signal gets through.", []
    if heavy:
        fixes.append(Remedy("Drop less", why, put_layers(run, lighter)))
    if inside:
        less = {
            path: dict.fromkeys(own, DROPPED["usual"])
            for path, own in inside.items()
        }
        fixes.append(model.change_layers("Drop less", why, less))
    return layers, evidence, text, fixes


def _inside(run, limit):
    """Return the shares that recurrent layers and attention drop themselves.

    Args:
        run: `RunInfo` of the run or the model.
        limit: Float. A share that is too much to drop.

    Returns:
        Dict from path to a dict from the name of an argument to a float.
    """
    found: dict = {}
    for layer in run.layers:
        path, info = run.of_user(layer)
        made = info.get("call")
        told = made.get("arguments") if isinstance(made, dict) else None
        if not isinstance(told, dict):
            continue
        shares = {name: told.get(name) for name in _OWN}
        heavy = {
            name: float(share)
            for name, share in shares.items()
            if isinstance(share, int | float) and share >= limit
        }
        if heavy:
            found[path] = heavy
    return found
