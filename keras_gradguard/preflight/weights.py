"""Judges data, weights and the first step of a model."""

import dataclasses

import keras
import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import of_layers
from keras_gradguard.diagnosis.remedies import of_steps
from keras_gradguard.diagnosis.rules import unscaled_data
from keras_gradguard.models import graph
from keras_gradguard.preflight import samples
from keras_gradguard.preflight import signals as passes
from keras_gradguard.presets.inspection.inspect import inspect_initialization

_L = keras.layers
_NORMALIZE = (*graph.NORMALIZATIONS, _L.Normalization)
# A first step that replaces this share of the weights, in the median layer.
_REPLACED = 1.0
# A step of this share of the weights needs ten million to change them.
_LOST = 1e-7
_ADAPTIVE = ("Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Lion", "Adafactor")


def judge_data(data, about):
    """Return a finding if inputs or targets hold NaN or infinity.

    It goes by `nonfinite_gradient`: that is what the first such batch gives.

    Args:
        data: `samples.Samples`.
        about: `configuration.About` the model.
    """
    counts = {}
    for name, structure in (("x", data.all_x), ("y", data.all_y)):
        bad = rows = 0
        for leaf in keras.tree.flatten(structure):
            if leaf is None or leaf.dtype.kind not in "fc" or not leaf.size:
                continue
            wrong = ~np.isfinite(leaf)
            bad += int(wrong.sum())
            if wrong.any():
                rows += int(wrong.reshape(len(leaf), -1).any(axis=1).sum())
        if bad:
            counts[name] = {"values": bad, "rows": rows}
    if not counts:
        return []
    where = {"x": "inputs", "y": "targets"}
    told = " and ".join(
        f"{c['values']:,} values in {c['rows']:,} rows of the {where[name]}"
        for name, c in counts.items()
    )
    return [
        passes.make(
            "nonfinite_gradient",
            "critical",
            [],
            {"kind": "data", "nonfinite": counts},
            f"{told} are NaN or infinite. One of them makes the loss and all "
            "weights NaN.",
            of_steps.for_nonfinite(about, [], "data"),
        )
    ]


def judge_inputs(model, signals, data):
    """Return a finding if what the first layers take is far from unit scale.

    What a normalization, a rescaling or an embedding takes is not judged, nor
    layers that a normalization follows, nor frozen ones.

    Args:
        model: A Keras model.
        signals: Dict from `probe.forward`.
        data: `samples.Samples`.
    """
    first = _first_layers(model, signals)
    judged = [
        signal
        for signal in first
        if signal.layer.trainable
        and not isinstance(signal.layer, (*_NORMALIZE, _L.Embedding))
        and all(a.dtype.kind == "f" for a in signal.inputs)
    ]
    if not judged or len(judged) < len(first):
        return []
    arrays = [array for signal in judged for array in signal.inputs]
    facts = samples.input_facts(arrays)
    mean, std = _per_feature(data.all_x, arrays)
    found = unscaled_data.judge_inputs(
        facts, [signal.path for signal in judged], mean, std
    )
    if len(keras.tree.flatten(data.x)) > 1:
        found = [_without_actions(finding) for finding in found]
    return found


def _without_actions(finding):
    """Several inputs: nothing says which of them to change."""
    told = [
        dataclasses.replace(r, action=None, apply=None)
        for r in finding.remedies
    ]
    return dataclasses.replace(finding, remedies=told)


def _first_layers(model, signals):
    if not graph.is_graph(model):
        weighted = [s for s in signals.values() if s.inputs]
        return weighted[:1]
    first = []
    for site in graph.sites(model):
        signal = signals.get(id(site.layer))
        if signal is None or not signal.inputs:
            continue
        if _has_weights_before(site):
            continue
        if any(isinstance(a.layer, _NORMALIZE) for a in site.consumers):
            continue
        first.append(signal)
    return first


def _has_weights_before(site):
    stack, seen = list(site.sources), set()
    while stack:
        before = stack.pop()
        if id(before) in seen:
            continue
        seen.add(id(before))
        if getattr(before.layer, "weights", None):
            return True
        stack.extend(before.sources)
    return False


def _per_feature(x, arrays):
    """Return lists of mean and std a feature, where the model sees `x`."""
    leaves = keras.tree.flatten(x)
    if len(leaves) != 1 or len(arrays) < 1 or not samples.numbers(leaves[0]):
        return None, None
    x = leaves[0]
    if x.ndim not in (2, 3) or x.shape[1:] != arrays[0].shape[1:]:
        return None, None
    if x.shape[-1] > 1000:
        return None, None
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    std = flat.std(axis=0)
    std[std == 0] = 1.0
    return flat.mean(axis=0).tolist(), std.tolist()


def judge_initialization(model, about):
    """Return one finding for all weights that no training should start from.

    Args:
        model: A built Keras model.
        about: `configuration.About` the model.
    """
    problems = inspect_initialization(model)
    if not problems:
        return []
    first = problems[0]
    layers = list(dict.fromkeys(p.layer for p in problems))
    layers += [key for key in first.layers[1:] if key not in layers]
    more = len(problems) - 1
    rest = f" {more} more layers have such weights." if more else ""
    grave = ("constant", "symmetric", "vanishing_stack", "exploding_stack")
    return [
        passes.make(
            "poor_initialization",
            "critical" if first.kind in grave else "warning",
            layers,
            {
                "kind": first.kind,
                "measured_std": first.measured_std,
                "expected_std": first.expected_std,
                "problems": [
                    {"layer": p.layer, "kind": p.kind} for p in problems
                ],
            },
            first.message + rest,
            of_layers.for_initialization(about, layers, first.preset),
        )
    ]


def judge_first_step(model, grads, optimizer, about):
    """Return a finding if the first step replaces the weights, or none.

    Args:
        model: A Keras model.
        grads: List of arrays or None, one for each trainable variable.
        optimizer: `OptimizerFacts`, or None.
        about: `configuration.About` the model.
    """
    if optimizer is None or not optimizer.learning_rate:
        return []
    rate = optimizer.learning_rate
    ratios = []
    for variable, grad in zip(model.trainable_variables, grads, strict=True):
        values = np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
        norm = np.linalg.norm(values)
        if grad is None or values.ndim < 2 or norm == 0 or not grad.any():
            continue
        if optimizer.name in _ADAPTIVE:
            step = rate * np.sqrt(np.count_nonzero(grad))
        elif optimizer.plain:
            step = rate * np.linalg.norm(grad.astype(np.float64))
        else:
            return []
        ratios.append(step / norm)
    if not ratios:
        return []
    middle, largest = float(np.median(ratios)), float(max(ratios))
    if middle >= _REPLACED:
        factor, text = middle / 1e-2, "replaces the weights"
    elif largest < _LOST:
        factor, text = largest / 1e-3, "does not change the weights"
    else:
        return []
    return [
        passes.make(
            "update_ratio",
            "critical" if middle >= 10 else "warning",
            [],
            {
                "kind": "first_step",
                "update_ratio": middle if middle >= _REPLACED else largest,
                "threshold": _REPLACED if middle >= _REPLACED else _LOST,
                "learning_rate": rate,
            },
            f"With a learning rate of {number(rate)} the first step of "
            f"{optimizer.name} {text}: it is "
            f"{number(middle if middle >= _REPLACED else largest)} times as "
            "large as they are. About 1e-3 is usual.",
            of_steps.for_update_ratio(about, factor),
        )
    ]
