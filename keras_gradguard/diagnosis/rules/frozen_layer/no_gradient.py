"""Gradients of exactly zero from the first step on: nothing depends on them.

Each judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.alone import softmaxes
from keras_gradguard.diagnosis.evidence.batch import of_few_samples
from keras_gradguard.diagnosis.evidence.harm import certain_at_once
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.no_slope import never_any
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.diagnosis.remedies.own_start import start_anew
from keras_gradguard.diagnosis.rules.frozen_layer import one_number
from keras_gradguard.diagnosis.rules.frozen_layer.cures import all_by_keras
from keras_gradguard.diagnosis.rules.frozen_layer.cures import for_certain
from keras_gradguard.diagnosis.rules.frozen_layer.cures import for_cut_off
from keras_gradguard.diagnosis.rules.frozen_layer.cures import for_no_slope
from keras_gradguard.diagnosis.rules.frozen_layer.gives_nothing import (
    gives_nothing,
)
from keras_gradguard.diagnosis.rules.frozen_layer.gives_nothing import in_words
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import CLOSED
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import MOVED
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_ALL
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import (
    OF_SMALL_BATCHES,
)
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_SOME
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import WHOLE
from keras_gradguard.diagnosis.rules.frozen_layer.unreached import unreached
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy

WHY = (
    "the loss does not depend on the weights. Something between the weights "
    "and the loss cuts it off: rounding, argmax, a comparison, a cast to "
    "integers, stop_gradient or a factor of zero."
)
_LEFT_OUT = "Or your `train_step` does not give their gradients to `apply`."
CUT_OFF = (
    "Either the branch does not reach the output, or rounding, argmax, a "
    "quantizer or stop_gradient cuts it off."
)


def of_all(trace):
    """Judge whether the loss depends on no weight at all."""
    need = of_plan(trace, OF_PLAN, *OF_ALL)
    if not never_any(trace, need):
        return None
    loss = trace.extra.get("loss")
    if loss is not None and not (np.nan_to_num(loss[:need]) != 0).any():
        # Nothing is left to learn, or no sample counts.
        return None
    if _closed(trace):
        return None
    layers = _trained(trace)
    factors = _zero_tables(trace)
    if _zero_products(trace, layers) or len(factors) > 1:
        return _zeros(trace, factors or layers, need)
    kind, why = "no_dependence", WHY
    fixes = for_no_slope(trace.run, facts_of(trace))
    if certain_at_once(trace):
        kind, fixes = "certain_outputs", for_certain()
        why = (
            f"{trace.run.output.activation} gives 0 and 1 exactly, where the "
            "loss has no slope. So what goes into it is too large."
        )
    text = f"The gradient is exactly zero in every layer at every step: {why}"
    return _finding(trace, kind, [], need, text, fixes)


def of_some(trace):
    """Judge whether layers are cut off from the loss."""
    if some_without_loss(trace.run) or not len(trace.steps):
        return None
    few = of_plan(trace, OF_PLAN, *OF_ALL)
    need = of_plan(trace, OF_PLAN, *OF_SOME)
    if of_few_samples(trace):
        need = max(need, OF_SMALL_BATCHES)
    if not _moved(trace, need):
        # A branch that starts at zero may wake up yet.
        need = OF_SOME[1]
    return _cut_off(trace, few, certain=True) or _cut_off(trace, need)


def _cut_off(trace, count, certain=False):
    """Judge the first `count` records; maybe what cannot wake up alone."""
    if len(trace.steps) < count:
        return None
    factors = _zero_tables(trace)
    if len(factors) > 1 and set(factors) == set(_still(trace, count)):
        return _zeros(trace, factors, count)
    missing = unreached(trace)
    mask = judged_layers(trace) | missing
    if not mask.any() or _closed(trace):
        return None
    first = np.where(missing, 0.0, trace.layer_norms(0, count))[:, mask]
    zero = (first == 0).all(axis=0)
    if not zero.any() or zero.all() or not np.isfinite(first).all():
        return None
    layers = trace.layers[mask]
    if any(str(trace.info(a).get("dtype")) == "float16" for a in layers[zero]):
        return None
    if _zero_products(trace, [str(layer) for layer in layers[zero]]):
        return _zeros(trace, [str(layer) for layer in layers[zero]], count)
    told = zero & (missing if certain else _ran(trace))[mask]
    if not told.any():
        return None
    shut = gives_nothing(trace, {str(layer) for layer in layers[zero]})
    if shut is not None:
        cure = start_anew(trace.run, shut)
        text = in_words(shut)
        return _finding(trace, "gives_nothing", [shut], count, text, [cure])
    culprits = [str(layer) for layer in layers[told]]
    typical = np.median(first, axis=0)
    last = int(np.flatnonzero(told)[-1])
    behind = typical[last + 1 :][~zero[last + 1 :]]
    if len(behind) and behind[0] < WHOLE * typical.max():
        return None
    lone = softmaxes(trace.run)
    if lone:
        cures = one_number.for_softmax(trace.run, lone)
        text = one_number.words_of_softmax(lone)
        return _finding(trace, "one_number", lone, count, text, cures)
    text = (
        f"{names(culprits)}: the gradient is exactly zero, while other layers "
        f"get one. It is so at every step. {CUT_OFF}"
    )
    fixes = for_cut_off(trace.run, culprits)
    if trace.run.own_code.get("step") is True:
        text += f" {_LEFT_OUT}"
        fixes.insert(0, all_by_keras(trace))
    return _finding(trace, "cut_off", culprits, count, text, fixes)


def _ran(trace):
    """Return the bool mask (L,) of layers that ran, or that may have.

    On JAX one that did not run has gradients of zero. What is inside of a
    layer runs with it, where it was not measured by itself.
    """
    measured = trace.activation("mean")[:1]
    seen = ~np.isnan(measured).all(axis=0) if measured.size else []
    sites = set(trace.sites[seen].tolist()) if len(seen) else set()
    known, ran = set(trace.sites.tolist()), np.ones(len(trace.layers), bool)
    for at, layer in enumerate(trace.layers.tolist() if sites else ()):
        parts = layer.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts))]
        ran[at] = layer in sites
        ran[at] |= layer not in known and any(path in sites for path in above)
    return ran


def _moved(trace, records):
    """Whether some layer was changed for good within so many records."""
    steps, ratio = trace.measured("update_ratio")
    early = steps < int(trace.steps[0]) + records
    with np.errstate(invalid="ignore"):
        return bool((ratio[early] > MOVED).any())


def some_without_loss(run):
    """Whether some outputs are there to be looked at alone.

    What leads to them alone gets no gradient, and is meant so.

    Args:
        run: `RunInfo` of the run or the model.
    """
    losses = [output.loss for output in run.outputs]
    return len(losses) > 1 and None in losses


def _closed(trace):
    """Whether units that are dead or saturated explain a gradient of zero.

    Those that no signal reaches do not: with kernels that are not zero, it was
    lost on its way to them.
    """
    came = trace.activation("input_std")[:1]
    norm = trace.measured("weight_norm")[1][:1]
    drawn = set(trace.layers[(norm > 0).all(axis=0)]) if len(norm) else set()
    empty = [
        bool(drawn.intersection(layers_of(trace, [site])))
        for site in (trace.sites if len(came) else ())
    ]
    for name in ("zero_fraction", "saturated_fraction", "inactive_fraction"):
        shares = trace.activation(name)[:1]
        shut = np.nan_to_num(shares) >= CLOSED
        if shares.size and (shut & ~((came == 0) & empty)).any():
            return True
    return False


def _trained(trace):
    owners = np.unique(trace.owners[trace.has_gradient])
    return [str(layer) for layer in trace.layers[owners]]


def _zero_products(trace, layers):
    """Whether each of the layers multiplies kernels that start at zero."""
    steps, norm = trace.measured("weight_norm", by="variable")
    if not len(steps) or not layers:
        return False
    for layer in layers:
        at = np.flatnonzero(trace.layers[trace.owners] == layer)
        shapes = trace.info(layer).get("shapes")
        shapes = shapes if isinstance(shapes, dict) else {}
        tables = [s for s in shapes.values() if len(s) > 1]
        at = at[trace.has_gradient[at]]
        if len(tables) < 2 or not len(at) or (norm[0, at] != 0).any():
            return False
    return True


def _zero_tables(trace):
    """Return the trained layers whose tables of weights all start at zero."""
    steps, norm = trace.measured("weight_norm", by="variable")
    if not len(steps):
        return []
    zeros: dict = {}
    for at, layer, _ in _tables(trace):
        if trace.has_gradient[at]:
            zeros[layer] = zeros.get(layer, True) and norm[0, at] == 0
    return [layer for layer, zero in zeros.items() if zero]


def _still(trace, records):
    """Return the trained layers whose gradient was 0 in so many records."""
    zero = (trace.layer_norms(0, records) == 0).all(axis=0)
    return set(trace.layers[zero].tolist()).intersection(_trained(trace))


def _zeros(trace, layers, records):
    fixes = [for_zero_factors(_first_kernels(trace, layers))]
    text = zero_factors(layers)
    return _finding(trace, "zero_factors", layers, records, text, fixes)


def zero_factors(layers):
    """Say that layers are factors of a product that both start at zero."""
    return (
        f"{names(layers)}: two factors of a product both start at zero. So "
        "neither gets a gradient, and both stay at zero. One of them has to "
        "start at random."
    )


def for_zero_factors(paths=None, layers=()):
    """Return the remedy for factors that both start at zero.

    Args:
        paths: List of str. Variables to draw. Defaults to the tables of
            `layers`.
        layers: List of str. Their layers' paths.
    """
    told, test = paths, "variable.path in first"
    if paths is None:
        told = [f"{layer}/" for layer in layers]
        test = "variable.path.startswith(tuple(first))"
    return Remedy(
        "Start one of the two factors at random",
        "The product is still zero at the start, but its slope is not.",
        f"first = {expression(told)}\n"
        "for variable in model.trainable_variables:\n"
        f"    if {test}:\n"
        "        shape = variable.shape\n"
        "        variable.assign(keras.random.normal(shape, stddev=0.05))",
    )


def _tables(trace):
    """Yield index, layer and path of each variable of two axes or more."""
    paths = zip(trace.variables.tolist(), trace.owners.tolist(), strict=True)
    for at, (path, owner) in enumerate(paths):
        layer = str(trace.layers[owner])
        shapes = trace.info(layer).get("shapes")
        shapes = shapes if isinstance(shapes, dict) else {}
        if len(shapes.get(path.rsplit("/", maxsplit=1)[-1], ())) > 1:
            yield at, layer, path


def _first_kernels(trace, layers):
    """Return the path of the first table of weights of each layer."""
    owned: dict = {}
    for _, layer, path in _tables(trace):
        if layer in layers:
            owned.setdefault(layer, path)
    return list(owned.values())


def _finding(trace, kind, layers, records, text, fixes):
    first, seen = int(trace.steps[0]), int(trace.steps[records - 1])
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            "kind": kind,
            "grad_norm": 0.0,
            "threshold": 0.0,
            "window": {"first_step": first, "last_step": seen},
        },
        message=text,
        remedies=fixes,
    )
