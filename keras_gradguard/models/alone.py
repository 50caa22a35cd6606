"""Layers that compare numbers with one another and get one number only."""

import math

import keras

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path

_L = keras.layers


def of_one_number(model):
    """Return the normalizations and softmaxes of a model over one number each.

    A number less its own mean is 0, and as a share of itself it is 1. Either
    way nothing of it is left.

    Args:
        model: A Keras model.

    Returns:
        Dict from the path of a layer to a dict with `class`, `name` and `of`:
        `"normalization"` or `"softmax"`. A softmax of an output is not among
        them, and no layer whose input is not known.
    """
    outputs = getattr(model, "outputs", None)
    # In a model of the user's own the name may stand for anything.
    outputs = outputs if isinstance(outputs, list | tuple) else ()
    outputs = {id(tensor) for tensor in outputs}
    found = {}
    for layer in forward_layers(model):
        try:
            given, gives = layer.input, layer.output
        except (AttributeError, ValueError):
            continue  # it is not part of a graph, or of several
        shapes = getattr(given, "shape", None), getattr(gives, "shape", None)
        if None in shapes:
            continue
        of, count = _compares(layer, *shapes)
        if count == 1 and not (of == "softmax" and id(gives) in outputs):
            found[layer_path(layer)] = {
                "class": type(layer).__name__,
                "name": layer.name,
                "of": of,
            }
    return found


def _compares(layer, shape, after):
    """Return what a layer does with how many numbers, None if not known."""
    if isinstance(layer, _L.LayerNormalization):
        return "normalization", _along(shape, layer.axis)
    if isinstance(layer, _L.GroupNormalization):
        channels = shape[layer.axis]
        if channels is None or None in shape[1:]:
            return "normalization", None
        groups = channels if layer.groups == -1 else layer.groups
        return "normalization", math.prod(shape[1:]) // groups
    if isinstance(layer, _L.Softmax):
        return "softmax", _along(shape, layer.axis)
    if getattr(layer, "activation", None) is keras.activations.softmax:
        return "softmax", _along(after, -1)
    return "", None


def _along(shape, axes):
    axes = axes if isinstance(axes, list | tuple) else [axes]
    try:
        lengths = [shape[axis] for axis in axes]
    except (IndexError, TypeError):
        return None
    return None if None in lengths else math.prod(lengths)
