"""Judges what one forward and one backward pass show at the start."""

import keras
import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.remedies import of_layers
from keras_gradguard.diagnosis.remedies import of_steps
from keras_gradguard.findings.finding import Finding
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.outputs import activation_name

# Layers of this make are compared over depth; others live on other scales.
_INCOMPARABLE = ("Normalization", "Embedding", "PReLU", "Scale")
# Healthy deep tanh nets start as low as 1.5e-3 and end at 140.
_VANISHED, _EXPLODED = 1e-4, 1e4
_FEWEST_LAYERS = 3
# What a few rows can tell of units.
_FEWEST_ROWS = 16
_MOSTLY_DEAD, _FEWEST_UNITS = 0.9, 16
_RELU = ("relu", "relu6")
# Where the slope is below a thousandth, and nearly everywhere.
_FLAT = {
    "tanh": (-0.9995, 0.9995),
    "sigmoid": (0.001, 0.999),
    "hard_sigmoid": (0.0, 1.0),
    "softsign": (-0.97, 0.97),
}
_SATURATED = 0.95
_TOO_LARGE = 1e6


def make(rule, severity, layers, evidence, message, cures):
    """Return a finding of the check: at step 0, no epoch."""
    return Finding(
        rule=rule,
        severity=severity,
        layers=[str(layer) for layer in layers],
        first_step=0,
        last_step=0,
        epoch=None,
        evidence=evidence,
        message=message,
        remedies=cures,
    )


def judge_finite(signals, about):
    """Return a finding if a layer gives NaN or infinity from finite inputs.

    Args:
        signals: Dict from `probe.forward`.
        about: `configuration.About` the model.
    """
    for signal in signals.values():
        values = signal.output
        if values.dtype.kind != "f":
            continue
        bad = ~np.isfinite(values)
        if bad.any() or float(np.abs(values).max(initial=0)) > 1e30:
            what = "NaN or infinity" if bad.any() else "numbers above 1e30"
            return [
                make(
                    "exploding_gradient",
                    "critical",
                    [signal.path],
                    {
                        "kind": "output",
                        "nonfinite_fraction": float(bad.mean()),
                        "threshold": 1e30,
                    },
                    f"{signal.path}: gives {what} for the first batch already,"
                    " before any training; all gradients are lost.",
                    of_steps.for_exploding(about, [signal.path]),
                )
            ]
    return []


def judge_dead(signals, about):
    """Return a finding if ReLU layers give zeros for all rows.

    A unit that is silent on a batch may wake; a layer without one active
    unit passes nothing on, neither signal nor gradient.

    Args:
        signals: Dict from `probe.forward`.
        about: `configuration.About` the model.
    """
    dead, mostly, shares = [], [], {}
    for signal in signals.values():
        values = signal.output
        if activation_name(signal.layer) not in _RELU or values.ndim < 2:
            continue
        if len(values) < _FEWEST_ROWS:
            continue
        axis = _channel_axis(signal.layer, values.ndim)
        other = tuple(at for at in range(values.ndim) if at != axis)
        silent = (values <= 0).all(axis=other)
        share = float(silent.mean())
        if share == 1.0:
            dead.append(signal.path)
        elif share >= _MOSTLY_DEAD and len(silent) >= _FEWEST_UNITS:
            mostly.append(signal.path)
        else:
            continue
        shares[signal.path] = share
    layers = dead or mostly
    if not layers:
        return []
    rows = len(next(iter(signals.values())).output)
    first = layers[0]
    if dead:
        text = (
            f"{names(dead)}: all ReLU units gave 0 for all of {rows} samples "
            "before any training. No signal passes, and no gradient comes "
            "back through them."
        )
    else:
        text = (
            f"{names(mostly)}: {number(100 * shares[first])} % of the ReLU "
            f"units gave 0 for all of {rows} samples before any training. "
            "They get no gradient."
        )
    evidence = {
        "kind": "dead_at_start",
        "dead_fraction": shares,
        "samples": rows,
        "threshold": 1.0 if dead else _MOSTLY_DEAD,
    }
    severity = "critical" if dead else "warning"
    return [
        make(
            "dead_relu",
            severity,
            layers,
            evidence,
            text,
            of_layers.for_dead(about, layers),
        )
    ]


def _channel_axis(layer, ndim):
    first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if first else ndim - 1


def judge_saturated(signals, about):
    """Return a finding if bounded units sit in their flat ends.

    Only hidden layers count, and only where nearly all outputs do: a half
    may well train.

    Args:
        signals: Dict from `probe.forward`.
        about: `configuration.About` the model.
    """
    found = {}
    for signal in signals.values():
        flat = _FLAT.get(activation_name(signal.layer))
        values = signal.output
        if flat is None or signal.last or len(values) < _FEWEST_ROWS:
            continue
        if isinstance(signal.layer, keras.layers.RNN):
            continue
        ends = float(((values <= flat[0]) | (values >= flat[1])).mean())
        if ends >= _SATURATED:
            found[signal.path] = ends
    if not found:
        return []
    layers = list(found)
    return [
        make(
            "saturated_activation",
            "warning",
            layers,
            {
                "kind": "saturated_at_start",
                "saturated_fraction": found,
                "threshold": _SATURATED,
            },
            f"{names(layers)}: {number(100 * found[layers[0]])} % of the "
            "outputs are at the flat ends of the activation before any "
            "training, where its slope is below a thousandth: hardly a "
            "gradient passes.",
            of_layers.for_saturated(about, layers),
        )
    ]


def gradient_profile(model, signals, grads):
    """Return paths and gradient norms of the layers that may be compared.

    Args:
        model: A Keras model.
        signals: Dict from `probe.forward`.
        grads: List of arrays or None, one for each trainable variable.

    Returns:
        List of paths and float64 array of norms, in the order of the calls.
    """
    # Queries and keys get next to nothing while attention is uniform.
    attention = {
        id(inner)
        for layer in forward_layers(model)
        if "Attention" in type(layer).__name__
        for inner in forward_layers(layer)
    }
    of = {
        id(v): g for v, g in zip(model.trainable_variables, grads, strict=True)
    }
    paths, norms = [], []
    for signal in signals.values():
        kind = type(signal.layer).__name__
        if id(signal.layer) in attention:
            continue
        if any(word in kind for word in _INCOMPARABLE):
            continue
        own = getattr(signal.layer, "trainable_variables", [])
        own = [of[id(v)] for v in own if of.get(id(v)) is not None]
        if not any(grad.ndim > 1 for grad in own):
            continue
        paths.append(signal.path)
        norms.append(
            np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in own))
        )
    return paths, np.asarray(norms, np.float64)


def judge_gradients(paths, norms, about):
    """Return a finding if gradients vanish or explode over depth.

    Args:
        paths: List of str. Layers in forward order.
        norms: Float array. Norm of the gradient of each.
        about: `configuration.About` the model.
    """
    if not len(norms):
        return []
    evidence = {
        "kind": "at_start",
        "grad_norm": {
            path: float(f"{norm:.4g}")
            for path, norm in zip(paths, norms, strict=True)
            if np.isfinite(norm)
        },
    }
    profile = f"Gradient norms from input to output: {profile_text(norms)}."
    if not np.isfinite(norms).all():
        bad = [
            p for p, n in zip(paths, norms, strict=True) if not np.isfinite(n)
        ]
        return [
            make(
                "nonfinite_gradient",
                "critical",
                bad,
                evidence | {"kind": "gradient_at_start"},
                f"The first gradient is not finite in {names(bad)}, before "
                f"any training. {profile}",
                of_steps.for_nonfinite(about, bad, "growth"),
            )
        ]
    if len(norms) < _FEWEST_LAYERS or not norms.any():
        return []
    later = np.maximum.accumulate(norms[::-1])[::-1][1:]
    # What reaches a layer before it has come around this one.
    reach = np.maximum.accumulate(norms)[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(later > 0, reach / later, 1.0)
    worst = int(np.argmin(ratio))
    if ratio[worst] < _VANISHED:
        low = [paths[at] for at in np.flatnonzero(ratio < _VANISHED * 10)]
        low.sort(key=lambda path: norms[paths.index(path)])
        return [
            make(
                "vanishing_gradient",
                "critical",
                low,
                evidence
                | {"ratio": float(ratio[worst]), "threshold": _VANISHED},
                "The gradient vanishes on its way back through the layers "
                f"before any training: its norm in {paths[worst]} is "
                f"{number(norms[worst])}, against {number(later[worst])} "
                f"behind it. {profile}",
                of_layers.for_vanishing(about, low),
            )
        ]
    largest = int(np.argmax(norms))
    growth = norms[largest] / max(norms[-1], 1e-30)
    if growth > _EXPLODED and norms[largest] > 1.0:
        return [
            make(
                "exploding_gradient",
                "critical",
                [paths[largest]],
                evidence | {"ratio": float(growth), "threshold": _EXPLODED},
                "The gradient grows on its way back through the layers before "
                f"any training: its norm in {paths[largest]} is "
                f"{number(norms[largest])}, against {number(norms[-1])} in "
                f"{paths[-1]}. {profile}",
                of_steps.for_exploding(about, [paths[largest]]),
            )
        ]
    return []
