"""Finds weights that no training should start from."""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.remedies import of_layers
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.finding import Finding

_NARROW = 0.1
_WIDE = 5.0
_STACK = 1e-3
_KINDS = ("Dense", "Conv")
_OTHER = ("Depthwise", "Separable", "Transpose")
_CONSTANT = ("Zeros", "Ones", "Constant")


class PoorInitialization(Rule):
    """Finds weights that start constant, far too small or far too large.

    Judged are the kernels of dense and convolutional layers at the first step,
    by their gain: root mean square times the root of the inputs of a unit. It
    is about 1 where the signal keeps its size. Poor are

    * a hidden kernel that is constant: all its units stay the same;
    * a gain below a tenth of Glorot's, or several that multiply to less than a
      thousandth of it over the hidden layers;
    * a gain above 5.

    Many such nets learn all the same, above all shallow ones. Told is only
    what has not learnt after 30 records, or whose gradient ran away.

    References:
        - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
        - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    id = "poor_initialization"

    def check(self, trace):
        """See `Rule.check`."""
        learning = Learning.of(trace)
        steps = trace.update_steps
        if not len(learning) or not len(steps) or not len(trace.steps):
            return []
        # Weights of a run that goes on were not initialised for it.
        if steps[0] > trace.steps[0] or trace.steps[0] > 0:
            return []
        seen = harmed_at(trace)
        if seen is None:
            return []
        kernels = _kernels(trace)
        kind, guilty = _judge(kernels)
        if kind is None:
            return []
        return [_finding(trace, kind, guilty, seen)]


def _kernels(trace):
    """Return dicts of what is known of each kernel, in forward order."""
    norm = trace.measured("weight_norm", by="variable")[1][0]
    sizes = trace.sizes
    found = []
    own = _own_kernels(trace)
    for at, layer in enumerate(trace.layers):
        info = trace.info(layer)
        kind = str(info.get("class") or "")
        if not any(word in kind for word in _KINDS):
            continue
        if any(word in kind for word in _OTHER):
            continue
        shapes = info.get("shapes")
        shape = shapes.get("kernel") if isinstance(shapes, dict) else None
        if not shape or len(shape) < 2 or len(own.get(at, ())) != 1:
            continue
        (i,) = own[at]
        if not (sizes[i] > 0 and np.isfinite(norm[i])):
            continue
        fan_in = float(math.prod(shape[:-1]))
        # Glorot counts the units that a unit feeds, too.
        fan_out = float(shape[-1]) * fan_in / float(shape[-2])
        rms = float(norm[i]) / np.sqrt(sizes[i])
        start = info.get("kernel_initializer")
        start = start.get("class") if isinstance(start, dict) else None
        found.append(
            {
                "layer": str(layer),
                "rms": rms,
                "gain": rms * np.sqrt(fan_in),
                "expected": np.sqrt(2 * fan_in / (fan_in + fan_out)),
                "constant": rms == 0 or (start in _CONSTANT and shape[-1] > 1),
                "trained": bool(trace.has_gradient[i]),
            }
        )
    return found


def _own_kernels(trace):
    """Return the variables called `kernel` of each layer, by its index."""
    own = {}
    for i, (owner, path) in enumerate(
        zip(trace.owners.tolist(), trace.variables.tolist(), strict=True)
    ):
        if path.rsplit("/", maxsplit=1)[-1] == "kernel":
            own.setdefault(owner, []).append(i)
    return own


def _judge(kernels):
    """Return the kind of what is wrong and the kernels, or (None, [])."""
    hidden = [k for k in kernels[:-1] if k["trained"]]
    constant = [k for k in hidden if k["constant"]]
    if constant:
        return "constant", constant
    wide = [k for k in kernels if k["gain"] > _WIDE and k["trained"]]
    if wide:
        return "wide", wide
    share = [k["gain"] / k["expected"] for k in hidden]
    narrow = [
        k for k, part in zip(hidden, share, strict=True) if part < _NARROW
    ]
    if narrow:
        return "narrow", narrow
    small = [k for k, part in zip(hidden, share, strict=True) if part < 0.5]
    if np.prod([k["gain"] / k["expected"] for k in small]) < _STACK:
        return "narrow", small
    return None, []


def _finding(trace, kind, guilty, seen):
    layers = [k["layer"] for k in guilty]
    first = int(trace.steps[0])
    gain = guilty[0]["gain"]
    if kind == "constant":
        what = (
            "all weights of the kernel start equal, so all units compute the "
            "same and stay the same"
        )
    elif kind == "wide":
        what = (
            f"the weights of {layers[0]} start so large (standard deviation "
            f"{number(guilty[0]['rms'])}) that its outputs are "
            f"{number(gain)} times as large as its inputs"
        )
    else:
        what = (
            f"the weights of {layers[0]} start so small (standard deviation "
            f"{number(guilty[0]['rms'])}) that {number(gain)} of the signal "
            "is left behind it"
        )
    return Finding(
        rule=PoorInitialization.id,
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=max(first, seen),
        epoch=trace.epoch_of(first),
        evidence={
            "kind": kind,
            "gain": {k["layer"]: float(k["gain"]) for k in guilty},
            "threshold": {"constant": 0.0, "wide": _WIDE, "narrow": _NARROW}[
                kind
            ],
            "window": {"first_step": first, "last_step": seen},
        },
        message=f"{names(layers)}: {what}. The run has not learnt since.",
        remedies=of_layers.for_initialization(trace, layers),
    )
