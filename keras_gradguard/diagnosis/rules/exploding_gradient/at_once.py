"""A first loss and gradient that no outputs and targets of this size give.

The judgement takes a `Trace` and returns a `Growth`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import certain_at_once
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    AT_ONCE_SIGNAL,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import MOST

_RECURRENT = ("RNN", "LSTM", "GRU")


def at_once(trace):
    """Judge the first step: whether the signal has exploded on its way."""
    if not len(Learning.of(trace)) or not len(trace.steps):
        return None
    step = int(trace.activation_steps[0])
    if step != int(trace.steps[0]):
        return None
    norm = float(trace.global_norms(0, 1)[0])
    loss = trace.extra.get("loss")
    loss = float(loss[0]) if loss is not None else np.nan
    came = _size(trace, "input")
    wanted = _size(trace, "target")
    sizes = np.hypot(
        trace.activation("mean")[0].astype(np.float64),
        trace.activation("std")[0].astype(np.float64),
    )
    # Infinite where the squares of float32 are: from 10^19 on.
    given = max([_size(trace, "output"), *np.nan_to_num(sizes)], default=0.0)
    certain = certain_at_once(trace)
    if certain:
        wanted = 1.0
    if not np.isfinite(came) or not given > AT_ONCE_SIGNAL * max(came, 1.0):
        return None
    usual = max(1.0, wanted * wanted) if np.isfinite(wanted) else 1.0
    high = max(abs(loss) if np.isfinite(loss) else 0.0, norm)
    if not given > AT_ONCE_SIGNAL * (wanted if wanted > 1 else 1.0):
        return None
    if not high > MOST * usual and not certain:
        return None
    layers = _culprits(trace, sizes, came)
    what = f"The signal explodes at once: at step {step} "
    size = number(given) if given < 1e38 else "more than 10^19"
    if layers:
        what += f"{_shown(trace, layers[0])} makes outputs of {size}"
    else:
        what += f"the outputs are {size} in size"
    text = (
        f"{what}. The inputs are {number(came)} in size, the gradient norm is "
        f"{number(norm)} and the loss {number(loss)}."
    )
    if layers and _is_recurrent(trace, layers[0]):
        text += (
            " Its recurrent kernel multiplies the state at every time step, "
            "so the state grows with the length of the sequence."
        )
    evidence = {
        "kind": "at_once",
        "grad_norm": norm,
        "loss": loss,
        "signal": given,
        "threshold": MOST,
        "window": {"first_step": step, "last_step": step},
    }
    return Growth(layers, step, int(trace.steps[-1]), evidence, text)


def _size(trace, part):
    """Return the root mean square of the first batch's data, NaN if unknown."""
    mean = float(trace.data(f"{part}_mean")[0])
    std = float(trace.data(f"{part}_std")[0])
    return np.inf if np.isinf(mean) or np.isinf(std) else np.hypot(mean, std)


def _culprits(trace, sizes, came):
    """Return layers in the order of how many times larger they make it."""
    sizes = np.where(np.isnan(sizes), np.inf, sizes)
    before = np.concatenate([[max(came, 1e-30)], sizes[:-1]])
    with np.errstate(all="ignore"):
        growth = np.nan_to_num(sizes / before, nan=1.0, posinf=np.inf)
    order = np.argsort(-growth, kind="stable")
    found = []
    for at in order[growth[order] > 2]:
        site = str(trace.sites[at])
        found += [
            str(layer)
            for layer in trace.layers
            if str(layer) == site or str(layer).startswith(f"{site}/")
        ]
    return list(dict.fromkeys(found))


def _shown(trace, layer):
    """Return the layer that the user made, not the cell inside of it."""
    name = trace.info(layer).get("name")
    inside = _is_recurrent(trace, layer) and str(name).endswith("_cell")
    return layer.removesuffix(f"/{name}") if inside else layer


def _is_recurrent(trace, layer):
    kind = str(trace.info(layer).get("class") or "")
    return any(word in kind for word in _RECURRENT)
