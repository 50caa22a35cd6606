"""Copies of a model, the same or with other layers."""

import random

import keras

from keras_gradguard._validation import shown
from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models.builder import Builder
from keras_gradguard.models.builder import Edits
from keras_gradguard.models.builder import compile_like
from keras_gradguard.models.host_draws import drawing_on_host
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.values import host_copy
from keras_gradguard.models.values import is_finite

OWNER = "Remedy.apply"


def check_model(owner, model):
    """Raise if the layers of a model cannot be exchanged.

    Args:
        owner: Str. Who took it, for the message.
        model: What was passed.

    Raises:
        TypeError: If it is subclassed, or no model.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.Model) or not graph.is_graph(model):
        raise TypeError(
            f"{owner}: `model` must be Sequential or functional. Received: "
            f"model={shown(model)} (of type {type(model).__name__}), whose "
            "layers cannot be exchanged from outside. Paste the remedy's "
            "`code`: `kgg.check(model, x, y)` and a monitor tell it, too."
        )
    if not model.built:
        raise ValueError(
            f"{owner}: `model` must be built. Received: model="
            f"{model.name!r}, of unknown input shape. Start it with "
            "`keras.Input(shape)`."
        )


@drawing_on_host()
def copy(model, keep_weights=True):
    """Return a copy of a model, compiled, with a fresh optimizer.

    Args:
        model: A `Sequential` or functional model, built.
        keep_weights: Whether the copy has the same weights. If not, only
            frozen layers keep theirs; others are drawn anew.
    """
    if keep_weights:
        return rebuild(model)
    return reinitialize(model)


def rebuild(model, configs=None, replaced=None, fresh=(), **compiled):
    """Copy a model with other layers, and compile the copy.

    Args:
        model: The model.
        configs: Dict from `id(layer)` to config entries to change.
        replaced: Dict from `id(layer)` to a new class and its config.
        fresh: Ids of layers whose weights are drawn anew.
        **compiled: What to change in the arguments of `compile`.
    """
    new, pairs = clone(model, configs, replaced)
    copy_weights(pairs, fresh)
    return compile_like(new, model, **compiled)


def clone(model, configs=None, replaced=None):
    """Return a model with other layers, not compiled, and what became what.

    Args:
        model: The model.
        configs: See `rebuild`.
        replaced: See `rebuild`.

    Returns:
        The new model and a list of pairs of an old layer and its new one.
    """
    builder = Builder(Edits(configs or {}, replaced or {}))
    new = builder.model(model)
    return new, list(builder.clones.values())


def copy_weights(pairs, fresh=()):
    """Copy the finite weights of layers that kept their shapes.

    Args:
        pairs: List from `clone`.
        fresh: Ids of layers whose weights are drawn anew.
    """
    for old, new in pairs:
        if graph.is_graph(old) or id(old) in fresh:
            continue
        before = [host_copy(w) for w in getattr(old, "weights", [])]
        after = [tuple(w.shape) for w in getattr(new, "weights", [])]
        fits = [value.shape for value in before] == after
        if before and fits and is_finite(before):
            new.set_weights(before)


@keras_private.without_tensorflow()
def fresh_optimizer(model):
    """Return a new optimizer with the configuration of a model's."""
    optimizer = model.optimizer
    return type(optimizer).from_config(optimizer.get_config())


def find(model, path):
    """Return the node of a layer of a model.

    Args:
        model: A `Sequential` or functional model.
        path: Str. Path of the layer, or its name.

    Raises:
        ValueError: If there is none.
    """
    nodes = graph.nodes(model)
    for name in (path, str(path).rsplit("/", maxsplit=1)[-1]):
        for node in nodes:
            if name in (layer_path(node.layer), node.key, node.layer.name):
                return node
    raise ValueError(
        f"{OWNER}: `layer` must be one of "
        f"{[node.key for node in nodes]}. Received: layer={path!r}. Apply "
        "the remedy to the model that it was found in."
    )


@keras_private.without_tensorflow()
def reinitialize(model, layers=()):
    """Draw all weights anew that are trained; `layers` asked for it."""
    del layers
    configs, fresh = {}, set()
    for layer in forward_layers(model)[1:]:
        if graph.is_graph(layer) or not layer.trainable:
            continue
        fresh.add(id(layer))
        configs[id(layer)] = {
            key: _unseeded(value)
            for key, value in layer.get_config().items()
            if key.endswith("_initializer") and isinstance(value, dict)
        }
    return rebuild(model, configs=configs, fresh=fresh)


def _unseeded(initializer):
    config = dict(initializer.get("config") or {})
    if "seed" in config:
        config["seed"] = random.randrange(2**31)
    return {**initializer, "config": config}


def cannot(what, model, why):
    """Return the error for a change that this model does not allow.

    Args:
        what: Str. The change, in words.
        model: The model.
        why: Str. The reason.
    """
    return ValueError(
        f"{OWNER}: cannot {what} of {model.name!r}: {why}. Paste the "
        "remedy's `code` where you build the model."
    )
