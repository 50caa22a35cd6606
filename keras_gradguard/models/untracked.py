"""Layers that a model calls and does not know, so that they never train."""

import inspect
import itertools
import types

import keras

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.own_code import own_function

# Containers in containers, and objects in objects, are looked into so deep, and
# so many of what one holds: the rows of a data set are no layers.
_DEEP, _MANY = 3, 64
_FOREIGN = ("builtins", "keras", "numpy", "tensorflow", "torch", "jax")
_CODE = (type, types.ModuleType, types.FunctionType, keras.layers.Layer)


def untracked_layers(model):
    """Return the layers with weights that a model or its layers hide.

    Keras finds layers that are attributes of a layer, or in lists and dicts
    that are. It does not see what is in an object of another class, nor what a
    function took from around it, as that of a `Lambda` does.

    Args:
        model: A Keras model.

    Returns:
        List of dicts with `name` and `class` of a layer, and `path`, the code
        that gets it from `model`, "" where it is in a function.
    """
    known = forward_layers(model)
    ids = {id(layer) for layer in known}
    found: dict = {}
    for layer in known:
        held = []
        if layer is model or own_function(layer) is not None:
            held += _held(layer, "model" if layer is model else "")
        function = own_function(layer)
        if isinstance(function, types.FunctionType):
            near = inspect.getclosurevars(function)
            around = [*near.globals.values(), *near.nonlocals.values()]
            held += [h for value in around for h in _within(value, "", 1)]
        for hidden, path in held:
            if id(hidden) not in ids and _trains(hidden):
                found.setdefault(id(hidden), (hidden, path))
    return [
        {"name": hidden.name, "class": type(hidden).__name__, "path": path}
        for hidden, path in found.values()
    ]


def _trains(layer):
    return isinstance(layer, keras.layers.Layer) and bool(
        layer.trainable_variables
    )


def _held(layer, path):
    """Return layers in the plain objects that a layer has, with their paths."""
    found = []
    for name, value in vars(layer).items():
        plain = not name.startswith("_") and _is_plain(value)
        if plain:
            found += _within(value, path and f"{path}.{name}", 0)
    return found


def _is_plain(value):
    """Whether Keras and its backends know nothing of what a value holds."""
    module = str(type(value).__module__).split(".")[0]
    return (
        hasattr(value, "__dict__")
        and module not in _FOREIGN
        and not isinstance(value, _CODE)
    )


def _within(value, path, deep):
    """Return the layers in a value, with the code that gets to each."""
    if isinstance(value, keras.layers.Layer):
        return [(value, path)]
    if deep >= _DEEP:
        return []
    if isinstance(value, list | tuple):
        parts = [(f"[{at}]", part) for at, part in enumerate(value[:_MANY])]
    elif isinstance(value, dict):
        some = itertools.islice(value.items(), _MANY)
        parts = [(f"[{key!r}]", part) for key, part in some]
    elif _is_plain(value):
        parts = [(f".{name}", part) for name, part in vars(value).items()]
    else:
        return []
    return [
        one
        for step, part in parts
        for one in _within(part, path and f"{path}{step}", deep + 1)
    ]
