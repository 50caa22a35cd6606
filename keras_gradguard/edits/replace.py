"""Other layers in the place of those of the same name."""

from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.rebuild import cannot
from keras_gradguard.models.rebuild import find
from keras_gradguard.models.rebuild import rebuild

_OWNER = "replace_layers"


def replace_layers(model: Any, *layers: Any) -> Any:
    """Return the same model with other layers in the place of some.

    A layer takes the place of the one that has its name, models inside of
    `model` included. Its weights are new; those of all others are kept, as far
    as they are finite and of the same shape. `model` is not touched. Put
    `keras.layers.Identity(name=...)` in the place of a layer to leave it out.

    Args:
        model: A `Sequential` or functional model.
        *layers: Keras layers that were not called yet.

    Returns:
        The new model, compiled as `model` is, with a fresh optimizer.

    Raises:
        TypeError: If `model` is subclassed or none, or an entry is no layer.
        ValueError: If no layer has such a name, or the new one does not fit
            where the old one was.

    Example:
    >>> import keras
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dense(4, "sigmoid", name="hidden"),
    ...         keras.layers.Dense(1, name="out"),
    ...     ]
    ... )
    >>> wider = keras.layers.Dense(8, "relu", name="hidden")
    >>> [layer.units for layer in kgg.replace_layers(model, wider).layers]
    [8, 1]
    """
    if not isinstance(model, keras.Model) or not graph.is_graph(model):
        raise TypeError(
            f"{_OWNER}: `model` must be Sequential or functional. Received: "
            f"model={shown(model)} (of type {type(model).__name__}). Change "
            "the layer where the model makes it."
        )
    nodes = graph.nodes(model)
    replaced: dict[int, Any] = {}
    for layer in layers:
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                f"{_OWNER}: `layers` must be Keras layers. Received: "
                f"{shown(layer)} (of type {type(layer).__name__}). Pass "
                "layers one by one: replace_layers(model, first, second)."
            )
        old = [s.layer for s in nodes if s.layer.name == layer.name]
        if not old:
            known = [node.layer.name for node in nodes]
            raise ValueError(
                f"{_OWNER}: each layer must have the name of one of the "
                f"model's: {known}. Received: name={layer.name!r}. Pass "
                "`name=` to the new layer."
            )
        replaced[id(old[0])] = (type(layer), _config(layer))
    return rebuild(model, replaced=replaced, fresh=set(replaced))


@keras_private.without_tensorflow()
def _config(layer):
    return layer.get_config()


def change_layers(model, layers):
    """Give layers other arguments; their weights are drawn anew.

    Args:
        model: The model.
        layers: Dict from a layer's path to a dict of entries of its config.
    """
    configs, fresh = {}, set()
    for path, arguments in layers.items():
        node = find(model, path)
        configs[id(node.layer)] = dict(arguments)
        fresh.add(id(node.layer))
    return rebuild(model, configs=configs, fresh=fresh)


def remove_layers(model, layers):
    """Put an identity in the place of layers.

    Args:
        model: The model.
        layers: List of str, their paths.
    """
    gone = [find(model, path).layer for path in layers]
    replaced: Any = {id(layer): (keras.layers.Identity, {}) for layer in gone}
    names = ", ".join(layer_path(layer) for layer in gone)
    why = f"the model does not fit together without {names}"
    try:
        new = rebuild(model, replaced=replaced)
    except (TypeError, ValueError) as error:
        raise cannot("leave layers out", model, why) from error
    if new.output_shape != model.output_shape:
        # Targets and loss are made for what the model gives.
        raise cannot("leave layers out", model, why)
    return new
