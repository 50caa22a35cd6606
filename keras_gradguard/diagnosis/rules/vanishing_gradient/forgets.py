"""Recurrent layers that forget, by their weights or by what their rows tell.

A gradient through time is measured on demand only. Without it a bound of what
a time step leaves of it shows the same. So does the last state of a long
sequence, where simple learners that see all of it get far more out of it.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.recurrent import BOUNDED
from keras_gradguard.diagnosis.evidence.recurrent import PLAIN
from keras_gradguard.diagnosis.evidence.recurrent import last_states
from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.evidence.reference import behind
from keras_gradguard.diagnosis.evidence.reference import in_words
from keras_gradguard.diagnosis.evidence.reference import of_reference
from keras_gradguard.diagnosis.evidence.through_time import owners_of
from keras_gradguard.diagnosis.evidence.way import way_gone
from keras_gradguard.diagnosis.remedies.recurrent import for_forgetting
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import LONG
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import SLOPES
from keras_gradguard.findings.build import in_a_run

# What keeps the number of time steps.
_KEEPS = ("Input", "Embedding", "Dropout", "Masking", "Normalization", "Dense")


def forgets(trace):
    """Judge last states of long sequences that hold too little of them.

    Args:
        trace: The `Trace`.

    Returns:
        A `Finding` or None.
    """
    learning, far = Learning.of(trace), behind(trace)
    shape = trace.run.data.input_shape
    if not far.any() or not shape or not (shape[0] or 0) >= LONG["steps"]:
        return None
    guilty = _guilty(trace.run)
    if not guilty:
        return None
    stop = int(learning.steps[np.flatnonzero(far)[0]])
    steps, _, went = way_gone(trace)
    went = went[steps <= stop][-1:]
    if not len(went) or not went[0] > LONG["went"]:
        return None  # the steps are too small for anything
    length = int(shape[0])
    return _told(
        trace,
        guilty,
        length,
        stop,
        {
            "kind": "forgets",
            "threshold": LONG["steps"],
            **of_reference(trace),
        },
        f"{names(guilty)}: the state after {length} time steps has "
        "forgotten what came long before. The network knows far less than "
        f"its data tell. {in_words(trace)}, out of all time steps at once. "
        "The gradient vanishes on its way back through time. "
        "`GradientMonitor(through_time=True)` measures it.",
    )


def fades(trace, limit):
    """Judge states of which, as they start, next to nothing is kept.

    A time step multiplies the gradient by the recurrent kernel and a slope. The
    largest singular value of a random kernel of n units is twice the deviation
    of its weights times the root of n, and of an orthogonal one half of that.

    Args:
        trace: The `Trace`.
        limit: Float. Of the gradient at the end, what has to arrive at the
            first time step.

    Returns:
        A `Finding` or None.

    References:
        - [Pascanu et al., 2013](https://arxiv.org/abs/1211.5063), 2.2.
        - [Geman, 1980](https://doi.org/10.1214/aop/1176994775)
    """
    learning, harmed = Learning.of(trace), harmed_at(trace)
    shape = trace.run.data.input_shape
    if harmed is None or not shape or len(shape) > 2 or not shape[0]:
        return None
    length = int(shape[0])
    kept = {
        path: left
        for path in _guilty(trace.run)
        if (left := _kept(trace, path)) < 1 and left ** (length - 1) < limit
    }
    if not kept:
        return None
    steps, _, went = way_gone(trace)
    for at in np.flatnonzero((learning.steps >= harmed) & ~learning.good):
        stop = int(learning.steps[at])
        gone = went[steps <= stop][-1:]
        if len(gone) and gone[0] > LONG["went"]:
            return _faded(trace, kept, length, stop, limit)
    return None


def _faded(trace, kept, length, stop, limit):
    left = max(kept.values())
    share = left ** (length - 1)
    return _told(
        trace,
        list(kept),
        length,
        stop,
        {"kind": "fades", "left": left, "ratio": share, "threshold": limit},
        f"The gradient of {names(list(kept))} vanishes through time. By "
        "the weights as they start and the slope of the activation, a "
        f"time step leaves about {number(100 * left)} % of it. So "
        f"{number(share)} arrives at the first of {length} time steps. "
        "What came long before cannot be learnt, and nothing was.",
    )


def _told(trace, paths, length, stop, evidence, message):
    """Return a finding on recurrent layers that was seen by step `stop`."""
    first = int(trace.steps[0])
    layers = [owner for path in paths for owner in owners_of(trace, path)]
    return in_a_run(
        trace,
        rule="vanishing_gradient",
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=not_learnt_until(trace, stop),
        evidence={
            **evidence,
            "time_steps": length,
            "window": {"first_step": first, "last_step": stop},
        },
        message=message,
        remedies=for_forgetting(trace.run, layers, length),
    )


def _kept(trace, path):
    """Return what a time step leaves of a gradient at first, 1 if unknown."""
    norm = trace.measured("weight_norm", by="variable")[1]
    owners = owners_of(trace, path)
    for i, variable in enumerate(trace.variables.tolist()):
        layer = str(trace.layers[trace.owners[i]])
        last = variable.rsplit("/", maxsplit=1)[-1]
        if layer not in owners or last != "recurrent_kernel" or not len(norm):
            continue
        slope = SLOPES.get(trace.info(layer).get("activation"), math.inf)
        units = math.sqrt(trace.sizes[i])
        size = float(norm[0, i])
        if units > 0 and size > 0:
            return slope * 2 * size / math.sqrt(units)
    return 1.0


def _guilty(run):
    """Return plain layers, whose last state alone is read, or []."""
    last = last_states(run)
    found = []
    for path, info in recurrent_layers(run, list(run.layers)).items():
        bounded = info.get("activation") in BOUNDED
        if info["class"] not in PLAIN or not bounded:
            return []
        found.append(path)
    for path, info in run.layers.items():
        if path in found or any(path.startswith(f"{at}/") for at in found):
            break
        if not any(word in str(info.get("class")) for word in _KEEPS):
            return []
    return found if set(found) & set(last) else []
