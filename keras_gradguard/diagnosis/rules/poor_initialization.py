"""Finds weights that no training should start from.

Longer than 350 lines, since a rule stands in one file with its thresholds and
its check before the first step.
"""

import dataclasses
import itertools
import math

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.evidence.soon import flat_at
from keras_gradguard.diagnosis.remedies.initialization import for_initialization
from keras_gradguard.diagnosis.remedies.initialization import for_kernels
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

_NARROW = 0.1
_WIDE = 5.0
_STACK = 1e-3
_KINDS = ("Dense", "Conv")
_OTHER = ("Depthwise", "Separable", "Transpose")
# Gain from which on weights of one sign add up to more than came in.
_ADDS_UP = 0.7
_THRESHOLDS = {
    "constant": 0.0,
    "one_sided": _ADDS_UP,
    "one_unit": 1,
    "wide": _WIDE,
    "narrow": _NARROW,
}
_CONSTANT = ("Zeros", "Ones", "Constant")
# Nobody wants these: they are told of a run that is only slow, too, by so many
# steps and this share of the plan.
_SURE = ("one_sided", "one_unit")
_LONG, _OF_PLAN = 100, 0.3
# Nothing gets past a layer of one unit: by so many steps and share of the plan.
_NO_WAY_ROUND = 16, 0.04
# These show in the outputs of the first steps; small weights grow.
_SHOWN = ("constant", "one_sided", "one_unit", "wide")
# Kinds of problems before the first step that keep a net from learning.
_GRAVE = ("constant", "symmetric")
# Nor does one learn behind whose layers less of the signal is left, and whose
# outputs differ by less from row to row.
_DEAD, _SAME = 1e-3, 0.02
# Of what comes in, behind a layer that lets nothing through.
_WHOLE = 0.3


class PoorInitialization(Rule):
    """Finds weights that start constant, far too small or far too large.

    The kernels of dense and convolutional layers are judged at the first step,
    by their gain: root mean square times the root of the inputs of a unit. It
    is about 1 where the signal keeps its size. These are poor:

    * a hidden kernel that is constant: all its units stay the same;
    * a gain below a tenth of Glorot's, or several that multiply to less than a
      thousandth of it over the hidden layers. Branches in layers of your own
      that the signal passes by are not judged so;
    * kernels whose weights all start with one sign, at a gain above 0.7;
    * a gain above 5;
    * a hidden layer of one unit with an activation, a recurrent one as well,
      which is reported too.

    Many such nets learn all the same, above all shallow ones. A run is
    reported only if it has not learnt after 30 records, or its gradient ran
    away. One with weights of one sign also if it has not learnt a good part by
    a third of the plan, one with a layer of one unit by a twenty-fifth. The
    first 17 records, fewer of a short plan, are enough where the outputs are
    the same for every input all along, or a layer is flat.

    References:
        - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
        - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    id = "poor_initialization"
    effects = (
        "dead_relu",
        "saturated_activation",
        "exploding_gradient",
        "vanishing_gradient",
        "nonfinite_gradient",
        "frozen_layer",
        "oscillating_loss",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        learning = Learning.of(trace)
        steps = trace.update_steps
        if not len(learning) or not len(steps) or not len(trace.steps):
            return []
        # Weights of a run that goes on were not initialised for it.
        if steps[0] > trace.steps[0] or trace.steps[0] > 0:
            return []
        judged = _judge(_kernels(trace))
        if not judged:
            return []
        (kind, guilty), *more = judged
        harmed = harmed_at(trace)
        seen = [harmed, _plain_at(trace, kind)]
        if kind in _SURE:
            seen.append(_behind_at(trace, learning, kind))
        seen = [step for step in seen if step is not None]
        if not seen:
            return []
        # Who is only behind, or begins badly, may learn all the same.
        severity = "warning" if harmed is None else "critical"
        found = _finding(trace, kind, guilty, min(seen), more)
        return [dataclasses.replace(found, severity=severity)]

    def check_start(self, start):
        """Find weights that no training should start from.

        Without a run only what cannot learn is a finding. Of the rest it is
        noted what is unusual: plain autoencoders and decoders of images begin
        with a twentieth of the signal, and learn.
        """
        grave = [p for p in start.weights if p.kind in _GRAVE]
        if not grave and _dies(start):
            grave = [p for p in start.weights if p.left < 1]
        problems = grave or start.weights
        if not problems:
            return []
        if not grave:
            start.notes += _notes(problems)
            return []
        first = problems[0]
        layers = list(dict.fromkeys(p.layer for p in problems))
        layers += [key for key in first.layers[1:] if key not in layers]
        return [
            self.at_start(
                "critical",
                layers,
                {
                    "kind": first.kind,
                    "measured_std": first.measured_std,
                    "expected_std": first.expected_std,
                    "problems": [
                        {"layer": p.layer, "kind": p.kind} for p in problems
                    ],
                },
                first.message + _rest(problems),
                for_initialization(
                    start.run,
                    layers,
                    first.preset,
                    all(p.kind == "constant" for p in problems),
                ),
            )
        ]


def _plain_at(trace, kind):
    """Return the step by which the start shows that nothing passes, or None."""
    if kind not in _SHOWN:
        return None
    found = [alike_at(trace)]
    if kind in ("one_sided", "wide"):
        found.append(flat_at(trace))
    return min((step for step in found if step is not None), default=None)


def _notes(problems):
    """Return what is unusual about weights, one sentence for each kind."""
    kinds: dict = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return [
        f"{alike[0].message}{_rest(alike)} Many such models learn all the "
        "same. `GradientMonitor` says so if this one does not."
        for alike in kinds.values()
    ]


def _rest(problems):
    more = len(problems) - 1
    have = "has" if more == 1 else "have"
    what = "one unit" if problems[0].kind == "one_unit" else "such weights"
    return f" {count(more, 'more layer')} {have} {what}." if more else ""


def _behind_at(trace, learning, kind):
    """Return the step by which a run should have learnt and had not, or None.

    Where it learns later, the finding is resolved.
    """
    plan, data = planned_steps(trace), trace.run.data
    # A code of one number is what some autoencoders are made for.
    wide = data.input_shape and data.input_shape != [1]
    if plan is None or (wide and data.input_shape == data.target_shape):
        return None
    run = learning.steps - int(trace.steps[0])
    wait = max(_LONG, _OF_PLAN * plan)
    if kind == "one_unit":
        wait = max(_NO_WAY_ROUND[0], _NO_WAY_ROUND[1] * plan)
    behind = (run >= wait) & ~learning.good
    seen = np.flatnonzero(behind)
    return int(learning.steps[seen[0]]) if len(seen) else None


def _dies(start):
    """Whether next to nothing of the inputs is left in the outputs."""
    left = math.prod(p.left for p in start.weights)
    last = [layer.output for layer in start.layers if layer.last]
    spread = [float(np.ptp(values, axis=0).max()) for values in last]
    return left < _DEAD and all(size < _SAME for size in spread)


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
                "one_sided": _one_sided(info.get("kernel_initializer")),
                "cell": cell,
                "units": int(info["units"] if cell else shape[-1]),
                "inputs": int(shape[-2]),
                "activation": info.get("activation"),
                "trained": bool(trace.has_gradient[i]),
                "beside": _passes_beside(trace, str(layer)),
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
    return bool(behind > _WHOLE * np.nan_to_num(came[-2:]).max())


def _own_kernels(trace):
    """Return the variables called `kernel` of each layer, by its index."""
    own: dict = {}
    for i, (owner, path) in enumerate(
        zip(trace.owners.tolist(), trace.variables.tolist(), strict=True)
    ):
        if path.rsplit("/", maxsplit=1)[-1] == "kernel":
            own.setdefault(owner, []).append(i)
    return own


def _judge(kernels):
    """Return pairs of what is wrong and the kernels concerned."""
    found = [_of_size(kernels)]
    narrow = [
        one
        for one, behind in itertools.pairwise(kernels)
        if one["units"] == 1
        and behind["inputs"] == 1
        and (one["inputs"] > 1 or one["cell"])
        and one["activation"] not in (None, "linear")
    ]
    if narrow:
        found.append(("one_unit", narrow))
    return [(kind, guilty) for kind, guilty in found if guilty]


def _of_size(kernels):
    """Return what is wrong with the size of kernels, and which."""
    kernels = [k for k in kernels if not k["cell"]]
    hidden = [k for k in kernels[:-1] if k["trained"]]
    constant = [k for k in hidden if k["constant"]]
    if constant:
        return "constant", constant
    # Weights of one sign add up, of however many inputs.
    sided = [
        k
        for k in kernels
        if k["trained"] and k["one_sided"] and k["inputs"] > 1
    ]
    if any(k["gain"] > _ADDS_UP for k in sided):
        return "one_sided", sided
    wide = [k for k in kernels if k["gain"] > _WIDE and k["trained"]]
    if wide:
        return "wide", wide
    hidden = [k for k in hidden if not k["beside"]]
    share = [k["gain"] / k["expected"] for k in hidden]
    narrow = [
        k for k, part in zip(hidden, share, strict=True) if part < _NARROW
    ]
    if narrow:
        return "narrow", narrow
    small = [k for k, part in zip(hidden, share, strict=True) if part < 0.5]
    if np.prod([k["gain"] / k["expected"] for k in small]) < _STACK:
        return "narrow", small
    return "", []


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


def _finding(trace, kind, guilty, seen, more):
    layers = [k["layer"] for k in guilty]
    first = int(trace.steps[0])
    text = f"{names(layers)}: {_what(kind, guilty)}."
    remedies = for_kernels(trace.run, kind, layers)
    for other, others in more:
        concerned = [k["layer"] for k in others]
        text += f" Besides, {names(concerned)}: {_what(other, others)}."
        # What nothing else makes up for comes first.
        cures = for_kernels(trace.run, other, concerned)
        # With more that is wrong, one change alone is not enough.
        remedies = [*cures[::-1], *remedies]
        layers += [layer for layer in concerned if layer not in layers]
    return in_a_run(
        trace,
        rule=PoorInitialization.id,
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=max(first, not_learnt_until(trace, seen)),
        evidence={
            "kind": kind,
            "gain": {k["layer"]: float(k["gain"]) for k in guilty},
            "threshold": _THRESHOLDS[kind],
            "window": {"first_step": first, "last_step": seen},
        },
        message=f"{text} The run has not learnt since.",
        remedies=remedies,
    )


def _what(kind, guilty):
    """Return in words what is wrong with kernels."""
    layer, gain = guilty[0]["layer"], guilty[0]["gain"]
    if kind == "constant":
        return "all weights start equal, so all units stay the same"
    if kind == "one_sided":
        return (
            "all weights start with one sign. So they add up instead of "
            "cancelling, every unit gives nearly the same, and units saturate"
        )
    if kind == "one_unit":
        return "a hidden layer of one unit squeezes everything into one number"
    if kind == "wide":
        return (
            f"the weights start too large. Those of {layer} have a standard "
            f"deviation of {number(guilty[0]['rms'])}, so its outputs are "
            f"{number(gain)} times as large as its inputs"
        )
    return (
        f"the weights start too small. Those of {layer} have a standard "
        f"deviation of {number(guilty[0]['rms'])}, so {number(100 * gain)} % "
        "of the signal gets through"
    )
