"""Reads outputs, losses and optimizer off a model, without running it."""

import functools
import warnings
from typing import Any

import keras
import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.facts import loss_name

_L = keras.layers
# Layers that are an activation, and its name.
_AS_LAYER = {
    _L.ReLU: "relu",
    _L.Softmax: "softmax",
    _L.LeakyReLU: "leaky_relu",
    _L.ELU: "elu",
}
# What they pass on keeps its range.
_SHAPE_ONLY = (
    _L.Flatten,
    _L.Reshape,
    _L.Permute,
    _L.Identity,
    _L.Dropout,
    _L.RepeatVector,
    _L.UpSampling1D,
    _L.UpSampling2D,
    _L.UpSampling3D,
    _L.Cropping1D,
    _L.Cropping2D,
    _L.Cropping3D,
)
# What they pass on is no probability any more.
_CHANGING = (
    _L.Dropout,
    _L.AlphaDropout,
    _L.GaussianDropout,
    _L.GaussianNoise,
    *graph.NORMALIZATIONS,
)
_SETTINGS = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "weight_decay",
    "epsilon",
)
# Steps at which a schedule is asked for its rate.
_SCHEDULED = [n * 10**k for k in range(6) for n in (1, 2, 5)]


def outputs_of(model):
    """Return an `Output` for each output of a model.

    Args:
        model: A Keras model.

    Returns:
        List of `Output`, in the order of the model's outputs. Of a subclassed
        model, whose layers say nothing of their order, one `Output` that knows
        the loss alone.
    """
    losses = losses_of(model)
    if not graph.is_graph(model) or not model.built:
        loss = losses[0] if losses else None
        return [Output(layer="", activation=None, **_loss_facts(loss))]
    nodes = {id(node.layer): node for node in graph.nodes(model)}
    ends = end_layers(model)
    losses = losses if losses is not None else [None] * len(ends)
    return [
        describe(nodes.get(id(end)), loss)
        for end, loss in zip(ends, losses, strict=False)
    ]


def end_layers(model):
    """Return the layers or operations that give the outputs of a model."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
        return end_layers(last) if graph.is_graph(last) else [last]
    operations = {operation.name: operation for operation in model.operations}
    ends = []
    for name in model.output_names:
        end = operations.get(name)
        inner = end_layers(end) if graph.is_graph(end) else [end]
        ends.append(inner[0] if len(inner) == 1 else None)
    return ends


def describe(node, loss):
    """Return what is known of one output.

    Args:
        node: `graph.Node` of the last layer, or None.
        loss: Its loss as the user gave it, or None.

    Returns:
        `Output`.
    """
    activation, units, name, kind, end = None, None, "", "", ""
    behind, behind_kind = "", ""
    known, scale, offset = True, 1.0, 0.0
    while node is not None:
        layer = node.layer
        if isinstance(layer, _L.Rescaling) and np.ndim(layer.scale) == 0:
            offset = offset + scale * float(np.mean(layer.offset))
            scale *= float(layer.scale)
        inner = node.inner
        if activation is None and not behind and isinstance(layer, _CHANGING):
            behind, behind_kind = layer_path(layer), type(layer).__name__
        own = activation_name(inner)
        if activation is None and known and own is not None:
            passes = own == "linear" and not hasattr(inner, "kernel")
            if not passes:
                activation, units = own, _width(layer)
                end = layer_path(layer)
        if getattr(inner, "weights", None) and _is_head(inner):
            name, kind = layer_path(layer), type(inner).__name__
            if activation is None and known:
                activation, units = own, _width(layer)
            break
        if own is None:
            known = False
        node = node.sources[0] if len(node.sources) == 1 else None
    return Output(
        layer=name,
        kind=kind or "Dense",
        units=units,
        activation=activation,
        activation_layer="" if end == name else end,
        scale=scale,
        offset=offset,
        behind=behind,
        behind_kind=behind_kind,
        **_loss_facts(loss),
    )


def _is_head(layer):
    return hasattr(layer, "kernel") or not isinstance(
        layer, (*graph.NORMALIZATIONS, *graph.ACTIVATIONS)
    )


def activation_name(layer):
    """Return the name of a layer's activation as Keras calls it.

    `"linear"` where it has none; `"softmax_over_samples"` for a softmax over
    the axis of the samples, `"softmax_over_positions"` for one over an axis
    between that and the last; None where it is not one of Keras's, or the
    layer does something else to its inputs.

    Args:
        layer: A layer.
    """
    for kind, name in _AS_LAYER.items():
        if type(layer) is kind:
            axis = getattr(layer, "axis", -1)
            if kind is _L.Softmax and axis in (0, (0,), [0]):
                return "softmax_over_samples"
            if kind is _L.Softmax and axis not in (-1, (-1,), [-1]):
                return _softmax_over(layer, axis)
            return name
    if isinstance(layer, _SHAPE_ONLY):
        return "linear"
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear" if _is_linear(layer) else None
    called = getattr(function, "__name__", None)
    try:
        return called if keras.activations.get(called) is function else None
    except (ValueError, TypeError):
        return None


def _softmax_over(layer, axis):
    """Return the name of a softmax over an axis that is not called the last."""
    try:
        rank = len(layer.output.shape)
        axis = int(axis) % rank
    except (AttributeError, ValueError, TypeError, ZeroDivisionError):
        return None
    if axis == rank - 1:
        return "softmax"
    return "softmax_over_positions" if axis > 0 else "softmax_over_samples"


def _is_linear(layer):
    name = type(layer).__name__
    return getattr(_L, name, None) is type(layer) and hasattr(layer, "kernel")


def _width(layer):
    try:
        width = layer.output.shape[-1]
    except (AttributeError, ValueError, TypeError, IndexError):
        width = getattr(layer, "units", None)
    return None if width is None else int(width)


def losses_of(model):
    """Return the loss of each output as the user gave it.

    Args:
        model: A Keras model.

    Returns:
        List with one entry (str, object, callable or None) an output, or None
        if the model is not compiled or its losses cannot be told apart.
    """
    loss = getattr(model, "loss", None) if model.compiled else None
    if loss is None:
        return None
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(loss, dict):
        if names and set(loss) <= set(names):
            return [loss.get(name) for name in names]
        return list(loss.values())
    if isinstance(loss, list | tuple):
        return list(loss)
    return [loss] * max(1, len(names))


def loss_weights_of(model):
    """Return the `loss_weights` that a model was compiled with, or None."""
    return keras_private.loss_weights(model) if model.compiled else None


def _loss_facts(loss):
    """Return `loss` and `from_logits` of an `Output`."""
    if loss is None:
        return {"loss": None, "from_logits": False}
    if isinstance(loss, str):
        return {"loss": loss, "from_logits": False}
    keywords = {}
    if isinstance(loss, functools.partial):
        loss, keywords = loss.func, loss.keywords
    kind = type(loss).__name__
    if isinstance(loss, keras.losses.Loss):
        ours = getattr(keras.losses, kind, None) is type(loss)
        # Attributes of a loss's own, and arguments that Keras keeps as such.
        given = {**vars(loss), **keras_private.loss_arguments(loss)}
        axis = given.get("axis", -1)
        return {
            "loss": loss_name(kind) if ours and axis == -1 else None,
            "from_logits": bool(given.get("from_logits", False)),
            "summed": getattr(loss, "reduction", None) == "sum",
            **_shape_of(given, ours),
        }
    name = getattr(loss, "__name__", None)
    ours = getattr(keras.losses, str(name), None) is loss
    return {
        "loss": name if ours and keywords.get("axis", -1) == -1 else None,
        "from_logits": bool(keywords.get("from_logits", False)),
        **_shape_of(keywords, ours),
    }


def _shape_of(given, ours):
    """Return `smoothing` and `gamma` of an `Output`, where they are given."""
    named = {"smoothing": "label_smoothing", "gamma": "gamma"}
    values = {new: given.get(old) for new, old in named.items()}
    return {
        new: float(value)
        for new, value in values.items()
        if ours and isinstance(value, int | float)
    }


@keras_private.without_tensorflow()
def optimizer_of(model):
    """Return the `OptimizerFacts` of a model, None if there is no one."""
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else facts_of(optimizer)


def facts_of(optimizer):
    """Return the `OptimizerFacts` of an optimizer, None if there is no one."""
    leaves = optimizers.leaves(optimizer)
    if len(leaves) != 1:
        return None
    leaf = leaves[0]
    try:
        with warnings.catch_warnings():
            # Keras's variables on torch lack what NumPy 2 asks of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            config = leaf.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return None
    rate = config.get("learning_rate")
    clips = ("clipnorm", "clipvalue", "global_clipnorm")
    settings: dict[str, Any] = {
        key: float(config[key])
        for key in _SETTINGS
        if isinstance(config.get(key), int | float) and config[key]
    }
    return OptimizerFacts(
        name=type(leaf).__name__,
        learning_rate=float(rate) if isinstance(rate, int | float) else None,
        momentum=float(config.get("momentum") or 0.0),
        clipped=any(config.get(key) for key in clips)
        or bool(optimizers.adaptive_clippers(optimizer)),
        schedule=_rates(leaf),
        **settings,
    )


def _rates(optimizer):
    """Return [step, rate] pairs of a schedule from now on, or None."""
    schedule = keras_private.rate(optimizer)
    if not isinstance(
        schedule, keras.optimizers.schedules.LearningRateSchedule
    ):
        return None
    try:
        start = int(keras.ops.convert_to_numpy(optimizer.iterations))
        ends = getattr(schedule, "boundaries", ())
        # It holds to the boundary, and jumps behind it.
        behind = {int(end) + 1 for end in ends if end >= start}
        steps = sorted({start, *(start + n for n in _SCHEDULED)} | behind)
        rates = [keras.ops.convert_to_numpy(schedule(step)) for step in steps]
        return [
            [step, float(rate)] for step, rate in zip(steps, rates, strict=True)
        ]
    except Exception:
        # A schedule of the user's own may want other steps.
        return None
