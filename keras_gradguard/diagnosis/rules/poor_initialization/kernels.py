"""Kernels that start constant, of one sign, too small or too large."""

import itertools
import math

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.rules.poor_initialization.gates import shut_gates
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    ADDS_UP,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import FADES
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import MORE
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    NARROW,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import STACK
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import TABLE
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import WHOLE
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import WIDE

_KINDS = ("Dense", "Conv")
_OTHER = ("Depthwise", "Separable", "Transpose")
_LOOP = "recurrent_kernel"
_CONSTANT = ("Zeros", "Ones", "Constant")


def wrong_kernels(trace):
    """Return pairs of what is wrong with kernels and those concerned.

    Args:
        trace: `Trace`. Its first step is looked at.

    Returns:
        List of pairs: kind, and dicts of what is known of a kernel each.
    """
    kernels = _kernels(trace)
    found = [_of_size(kernels, _recurrent(trace))]
    if not found[0][1]:
        found = [("gates", shut_gates(trace))]
    if not found[0][1]:
        found = [("wide_table", _tables(trace))]
    if not found[0][1]:
        found = [("fading", _fading(trace, kernels))]
    ends = {output.layer for output in trace.run.outputs} - {""}
    narrow = [
        one
        for one, behind in itertools.pairwise(kernels)
        if one["units"] == 1
        and behind["inputs"] == 1
        and (one["inputs"] > 1 or one["cell"])
        and one["activation"] not in (None, "linear")
        # An output of one unit hides nothing from the branch behind it.
        and ends.isdisjoint((one["layer"], trace.run.of_user(one["layer"])[0]))
    ]
    if narrow:
        found.append(("one_unit", narrow))
    return [(kind, guilty) for kind, guilty in found if guilty]


def _of_size(kernels, recurrent):
    """Return what is wrong with the size of kernels, and which."""
    cells = [k for k in kernels if k["cell"]]
    kernels = [k for k in kernels if not k["cell"]]
    hidden = [k for k in kernels[:-1] if k["trained"]]
    # A recurrent kernel that is drawn tells units apart.
    alike = {k["layer"] for k in recurrent if k["constant"]}
    constant = [k for k in cells if k["constant"] and k["layer"] in alike]
    constant += [k for k in hidden if k["constant"]]
    if constant:
        return "constant", constant
    # Weights of one sign add up, of however many inputs.
    sided = [
        k
        for k in [*cells, *recurrent, *kernels]
        if k["trained"] and k["one_sided"] and k["inputs"] > 1
    ]
    if any(k["gain"] > ADDS_UP for k in sided):
        # A layer that recurs has two such kernels.
        return "one_sided", list({k["layer"]: k for k in sided}.values())
    # What recurs has two kernels, and is as wide as the wider of them.
    sized = sorted([*cells, *recurrent], key=lambda k: k["gain"])
    sized = [*kernels, *{k["layer"]: k for k in sized}.values()]
    wide = [k for k in sized if k["gain"] > WIDE and k["trained"]]
    if wide:
        return "wide", wide
    hidden = [k for k in hidden if not k["beside"]]
    share = [k["gain"] / k["expected"] for k in hidden]
    narrow = [k for k, part in zip(hidden, share, strict=True) if part < NARROW]
    if narrow:
        return "narrow", narrow
    small = [k for k, part in zip(hidden, share, strict=True) if part < 0.5]
    if np.prod([k["gain"] / k["expected"] for k in small]) < STACK:
        return "narrow", small
    return "", []


def _tables(trace):
    """Return tables of vectors that are too large for what reads them.

    A normalization behind one brings them to unit size.
    """
    norm = trace.measured("weight_norm", by="variable")[1][0]
    infos = [trace.info(layer) for layer in trace.layers]
    found = []
    for i, owner in enumerate(trace.owners.tolist()):
        info, behind = infos[owner], [*infos, {}][owner + 1]
        if info.get("class") != "Embedding" or behind.get("normalization"):
            continue
        if not trace.has_gradient[i] or not trace.sizes[i] > 0:
            continue
        rms = float(norm[i]) / np.sqrt(trace.sizes[i])
        if TABLE < rms < math.inf and not trace.run.rescaling:
            layer = str(trace.layers[owner])
            found.append({"layer": layer, "rms": rms, "gain": rms})
    return found


def _fading(trace, kernels):
    """Return kernels behind whose ReLUs next to nothing is left, or none.

    ReLU lets half of the mean square through. Weights as Glorot draws them do
    not make up for it, so that over many layers the signal fades (He et al.,
    2015): by kernels as they are, and as measured in front of the last layer.
    """
    hidden = [
        k
        for k in kernels[:-1]
        if k["trained"] and not k["cell"] and k["activation"] == "relu"
    ]
    share = [min(1.0, k["gain"] / np.sqrt(2)) for k in hidden]
    if not hidden or math.prod(share) > FADES["left"]:
        return []
    contrast = Learning.of(trace).contrast
    at = np.flatnonzero(trace.sites == hidden[-1]["layer"])
    if not len(contrast) or not contrast[0] < FADES["contrast"] or not len(at):
        return []
    mean, std = (
        np.nan_to_num(trace.activation(name)[0, at[0]].astype(np.float64))
        for name in ("mean", "std")
    )
    came = float(trace.data("input_std")[0])
    if not np.hypot(mean, std) < FADES["left"] * came:
        return []
    return [k for k, left in zip(hidden, share, strict=True) if left < 0.9]


def _kernels(trace):
    """Return dicts of what is known of each kernel, in forward order."""
    norm = trace.measured("weight_norm", by="variable")[1][0]
    sizes = trace.sizes
    found = []
    own = _own_kernels(trace)
    for at, layer in enumerate(trace.layers):
        info = trace.info(layer)
        kind = str(info.get("class") or "")
        # Those of a cell count for their units alone.
        cell = kind.endswith("Cell") and isinstance(info.get("units"), int)
        if not cell and not any(word in kind for word in _KINDS):
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
        drawn = info.get("kernel_initializer")
        by = drawn.get("class") if isinstance(drawn, dict) else None
        found.append(
            {
                "layer": str(layer),
                "rms": rms,
                "gain": rms * np.sqrt(fan_in),
                "expected": np.sqrt(2 * fan_in / (fan_in + fan_out)),
                "constant": rms == 0 or (by in _CONSTANT and shape[-1] > 1),
                "one_sided": _one_sided(info.get("kernel_initializer"))
                or _adds_up(trace, str(layer), info, rms * np.sqrt(fan_in)),
                "cell": cell,
                "loops": cell,
                "units": int(info["units"] if cell else shape[-1]),
                "inputs": int(shape[-2]),
                "activation": info.get("activation"),
                "trained": bool(trace.has_gradient[i]),
                "beside": _passes_beside(trace, str(layer)),
            }
        )
    return found


def _recurrent(trace):
    """Return dicts of what is known of the kernels of what recurs."""
    norm = trace.measured("weight_norm", by="variable")[1][0]
    found = []
    for i, path in enumerate(trace.variables.tolist()):
        layer = str(trace.layers[trace.owners[i]])
        info = trace.info(layer)
        shapes = info.get("shapes")
        shape = shapes.get(_LOOP) if isinstance(shapes, dict) else None
        if path.rsplit("/", maxsplit=1)[-1] != _LOOP or not shape:
            continue
        if not (trace.sizes[i] > 0 and np.isfinite(norm[i])):
            continue
        rms = float(norm[i]) / np.sqrt(trace.sizes[i])
        drawn = info.get("recurrent_initializer")
        by = drawn.get("class") if isinstance(drawn, dict) else None
        found.append(
            {
                "layer": layer,
                "rms": rms,
                "gain": rms * np.sqrt(float(shape[0])),
                "constant": by in _CONSTANT and shape[0] > 1,
                "one_sided": _one_sided(info.get("recurrent_initializer")),
                "inputs": int(shape[0]),
                "trained": bool(trace.has_gradient[i]),
                "loops": True,
            }
        )
    return found


def _passes_beside(trace, layer):
    """Whether layers behind one in the user's own code get a whole signal.

    It is in a branch then, as those of residual blocks are, which often start
    small on purpose.
    """
    if not trace.run.is_held(layer):
        return False
    std = trace.activation("std")[:1]
    at = np.flatnonzero(trace.sites == layer)
    if not len(std) or not len(at):
        return False
    sizes = np.nan_to_num(std[0].astype(np.float64))
    came = np.append(sizes[: at[0]], float(trace.data("input_std")[0]))
    behind = sizes[at[0] + 1 :].max(initial=0.0)
    return bool(behind > WHOLE * np.nan_to_num(came[-2:]).max())


def _own_kernels(trace):
    """Return the variables called `kernel` of each layer, by its index."""
    own: dict = {}
    for i, (owner, path) in enumerate(
        zip(trace.owners.tolist(), trace.variables.tolist(), strict=True)
    ):
        if path.rsplit("/", maxsplit=1)[-1] == "kernel":
            own.setdefault(owner, []).append(i)
    return own


def _adds_up(trace, layer, info, gain):
    """Whether weights of an initializer of one's own add up, as measured.

    Behind ReLU, weights of both signs leave half of the units at 0, and no
    more of a signal than their gain. Those above 0 add up all that comes in.
    """
    drawn = info.get("kernel_initializer")
    name = drawn.get("class") if isinstance(drawn, dict) else None
    known = ("Glorot", "He", "Lecun", "Random", "Variance", "Truncated", "Orth")
    offset = info.get("bias_initializer")
    plain = not isinstance(offset, dict) or offset.get("class") == "Zeros"
    at = np.flatnonzero(trace.sites == layer)
    if name is None or str(name).startswith(known) or not plain:
        return False
    if info.get("activation") != "relu" or not len(at) or not at[0]:
        return False
    mean, std, none = (
        np.nan_to_num(trace.activation(part)[:1].astype(np.float64))
        for part in ("mean", "std", "zero_fraction")
    )
    if not len(mean):
        return False
    sizes = np.hypot(mean[0], std[0])
    here, before = int(at[0]), int(at[0]) - 1
    more = sizes[here] > MORE["signal"] * gain * sizes[before]
    return bool(more and none[0, here] < MORE["zero"])


def _one_sided(initializer):
    """Whether an initializer draws all weights, or nearly all, of one sign."""
    known = initializer if isinstance(initializer, dict) else {}
    low, high = known.get("minval"), known.get("maxval")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return low >= 0 < high or high <= 0 > low
    mean, std = known.get("mean"), known.get("stddev")
    if isinstance(mean, int | float) and isinstance(std, int | float):
        return abs(mean) > 2 * std
    return False
