"""Carries out the changes that remedies name, on copies of a model."""

import random
import types

import keras
import numpy as np

from keras_gradguard.diagnosis.judgements import loss_name
from keras_gradguard.diagnosis.preflight.configuration import loss_weights_of
from keras_gradguard.optimizers.auto_clip import AutoClip
from keras_gradguard.presets import graph
from keras_gradguard.presets.convert import Builder
from keras_gradguard.presets.convert import convert
from keras_gradguard.recording import optimizers
from keras_gradguard.recording.layers import forward_layers
from keras_gradguard.recording.layers import layer_path

_L = keras.layers
_OWNER = "Remedy.apply"


def apply(model, action, arguments):
    """Return a new model with a change made.

    The new model is compiled as the old one, with a fresh optimizer. Layers
    that the change leaves alone keep their weights. The old one is untouched.

    Args:
        model: A `Sequential` or functional model, built.
        action: Str. Name of the change.
        arguments: Dict of its arguments.

    Returns:
        The new model.

    Raises:
        TypeError: If `model` is subclassed, or no model.
        ValueError: If the change cannot be made in this model.
    """
    check_model(_OWNER, model)
    if action not in ACTIONS:
        raise ValueError(
            f"{_OWNER}: `action` must be one of {sorted(ACTIONS)}. Received: "
            f"action={action!r}. Update keras-gradguard."
        )
    return ACTIONS[action](model, **arguments)


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
            f"model={model!r} (of type {type(model).__name__}), whose layers "
            "cannot be exchanged from outside. Paste the remedy's `code`."
        )
    if not model.built:
        raise ValueError(
            f"{owner}: `model` must be built. Received: model="
            f"{model.name!r}, of unknown input shape. Start it with "
            "`keras.Input(shape)`."
        )


def copy(model, keep_weights=True):
    """Return a copy of a model, compiled, with a fresh optimizer.

    Args:
        model: A `Sequential` or functional model, built.
        keep_weights: Whether the copy has the same weights. If not, only
            frozen layers keep theirs; others are drawn anew.
    """
    if keep_weights:
        return _rebuild(model)
    return _reinitialize(model)


def _rebuild(model, configs=None, replaced=None, fresh=(), **compiled):
    """Copy a model with other layers, and compile the copy.

    Args:
        model: The model.
        configs: Dict from `id(layer)` to config entries to change.
        replaced: Dict from `id(layer)` to a new class and its config.
        fresh: Ids of layers whose weights are drawn anew.
        **compiled: What to change in the arguments of `compile`.
    """
    new, pairs = _clone(model, configs or {}, replaced or {})
    _copy_weights(pairs, fresh)
    return compile_like(new, model, **compiled)


def _clone(model, configs, replaced):
    plan = types.SimpleNamespace(
        configs=configs,
        replaced=replaced,
        normalized={},
        block_ends={},
        normalization=None,
    )
    builder = Builder(plan)
    new = builder.model(model)
    return new, list(builder.clones.values())


def _copy_weights(pairs, fresh=()):
    for old, new in pairs:
        if graph.is_graph(old) or id(old) in fresh:
            continue
        before = [_value(w) for w in getattr(old, "weights", [])]
        after = [tuple(w.shape) for w in getattr(new, "weights", [])]
        fits = [value.shape for value in before] == after
        finite = all(
            value.dtype.kind != "f" or np.isfinite(value).all()
            for value in before
        )
        if before and fits and finite:
            new.set_weights(before)


def _value(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def compile_like(new, old, **changes):
    """Compile a model as another one, with a fresh optimizer.

    Args:
        new: The model to compile.
        old: The model to take the arguments from.
        **changes: Arguments of `compile` to change.

    Returns:
        `new`.
    """
    if not old.compiled:
        return new
    try:
        config = keras.saving.deserialize_keras_object(old.get_compile_config())
    except Exception:  # A loss of the user's own that nobody registered.
        optimizer = old.optimizer
        config = {
            "optimizer": type(optimizer).from_config(optimizer.get_config()),
            "loss": old.loss,
        }
    new.compile(**{**config, **changes})
    return new


def fresh_optimizer(model):
    """Return a new optimizer with the configuration of a model's."""
    optimizer = model.optimizer
    return type(optimizer).from_config(optimizer.get_config())


def find(model, path):
    """Return the site of a layer of a model.

    Args:
        model: A `Sequential` or functional model.
        path: Str. Path of the layer, or its name.

    Raises:
        ValueError: If there is none.
    """
    sites = graph.sites(model)
    for name in (path, str(path).rsplit("/", maxsplit=1)[-1]):
        for site in sites:
            if name in (layer_path(site.layer), site.key, site.layer.name):
                return site
    raise ValueError(
        f"{_OWNER}: `layer` must be one of "
        f"{[site.key for site in sites]}. Received: layer={path!r}. Apply "
        "the remedy to the model that it was found in."
    )


# Output and loss


def _change_output(
    model, layer, units=None, activation=None, loss=None, from_logits=None
):
    configs, replaced, fresh = {}, {}, set()
    if units is not None or activation is not None:
        site = find(model, layer)
        if site.inner is not site.layer:
            raise _cannot("change the output", model, "it wraps a layer")
        configs[id(site.layer)] = own = {}
        if units is not None:
            config = site.layer.get_config()
            name = "units" if "units" in config else "filters"
            if name not in config:
                raise _cannot("change the units", model, "it has none")
            own[name] = units
            fresh.add(id(site.layer))
        if activation is not None:
            behind = _following(site)
            if not behind:
                own["activation"] = activation
            for at, after in enumerate(behind):
                last = activation if at == len(behind) - 1 else "linear"
                replaced[id(after.layer)] = (
                    _L.Activation,
                    {"activation": last},
                )
    compiled = {}
    if loss is not None:
        compiled["loss"] = _with_loss(model, layer, loss, from_logits)
    return _rebuild(model, configs, replaced, fresh, **compiled)


def _following(site):
    """Activations as layers of their own behind a layer."""
    found, stack = [], list(site.consumers)
    while stack:
        after = stack.pop(0)
        if isinstance(after.layer, (*graph.ACTIVATIONS, _L.Softmax)):
            found.append(after)
        stack.extend(after.consumers)
    return found


def _with_loss(model, layer, loss, from_logits):
    if from_logits is not None:
        kind = "".join(word.title() for word in loss.split("_"))
        loss = getattr(keras.losses, kind)(from_logits=from_logits)
    if len(model.outputs) == 1:
        return loss
    if not isinstance(model.loss, dict):
        raise _cannot(
            "change the loss", model, "its losses are not given by name"
        )
    name = str(layer).rsplit("/", maxsplit=1)[-1]
    if name not in model.loss:
        raise _cannot("change the loss", model, f"no loss is named {name!r}")
    return {**model.loss, name: loss}


def _scale_targets(model, mean, std):
    if len(model.outputs) != 1:
        raise _cannot("scale the targets", model, "it has several outputs")
    new, pairs = _clone(model, {}, {})
    _copy_weights(pairs)
    rescale = _L.Rescaling(scale=std, offset=mean, name="to_target_scale")
    if isinstance(new, keras.Sequential):
        new.add(rescale)
    else:
        new = keras.Model(new.inputs, rescale(new.output), name=model.name)
    # In the units of the targets the loss, and with it all gradients, would
    # still be as large as before.
    power = 1 if loss_name(_plain(model.loss)) == "mean_absolute_error" else 2
    weights = loss_weights_of(model)
    if isinstance(weights, dict):
        raise _cannot("scale the targets", model, "its loss has a name")
    before = np.ravel([1.0 if weights is None else weights])[0]
    weights = [float(before) / float(std) ** power]
    return compile_like(new, model, loss_weights=weights)


def _plain(loss):
    if loss is None or isinstance(loss, str):
        return loss
    return getattr(loss, "__name__", type(loss).__name__)


# In front


def _in_front(model, layer):
    if len(model.inputs) != 1:
        raise _cannot("change the inputs", model, "it has several inputs")
    first = model.inputs[0]
    if "float" not in str(first.dtype):
        raise _cannot("change the inputs", model, "they are no float numbers")
    new, pairs = _clone(model, {}, {})
    _copy_weights(pairs)
    start = keras.Input(batch_shape=first.shape, dtype=first.dtype)
    if isinstance(new, keras.Sequential):
        new = keras.Sequential([start, layer, *new.layers], name=model.name)
    else:
        new = keras.Model(start, new(layer(start)), name=model.name)
    return compile_like(new, model)


def _normalize_inputs(model, mean=None, std=None):
    name = "normalize_inputs"
    if mean is None or std is None:
        layer = _L.BatchNormalization(name=name, center=False, scale=False)
    else:
        variance = np.square(np.asarray(std, "float64"))
        scalar = variance.ndim == 0
        layer = _L.Normalization(
            axis=None if scalar else -1,
            mean=float(mean) if scalar else np.asarray(mean, "float32"),
            variance=float(variance) if scalar else variance.astype("float32"),
            name=name,
        )
    return _in_front(model, layer)


def _rescale_inputs(model, scale):
    return _in_front(model, _L.Rescaling(scale, name="rescale_inputs"))


# Optimizer


def _leaf_rate(model):
    leaves = optimizers.leaves(model.optimizer) if model.compiled else []
    if len(leaves) != 1:
        raise _cannot(
            "change the optimizer", model, "it has not exactly one of them"
        )
    rate = leaves[0].get_config().get("learning_rate")
    return leaves[0], rate if isinstance(rate, int | float) else None


def _set_rate(model, rate):
    """Return a fresh optimizer with another learning rate or schedule."""
    leaf, _ = _leaf_rate(model)

    def change(config, kind):
        if kind is type(leaf):
            return {**config, "learning_rate": rate}
        return config

    return _mapped(model.optimizer, change)


def _mapped(optimizer, change):
    config = optimizer.get_config()
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        made = _mapped(inner, change)
        config["inner_optimizer"] = keras.saving.serialize_keras_object(made)
    elif isinstance(rate := config.get("learning_rate"), dict):
        config["learning_rate"] = keras.saving.deserialize_keras_object(rate)
    return type(optimizer).from_config(change(config, type(optimizer)))


def _set_learning_rate(model, value=None, factor=None):
    _, rate = _leaf_rate(model)
    if value is None:
        if rate is None:
            raise _cannot(
                "scale the learning rate", model, "a schedule sets it"
            )
        value = rate * factor
    return _rebuild(model, optimizer=_set_rate(model, float(value)))


def _schedule(model, steps=2000):
    _, rate = _leaf_rate(model)
    if rate is None:
        raise _cannot("add a schedule", model, "it has one")
    falling = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    return _rebuild(model, optimizer=_set_rate(model, falling))


def _set_optimizer(model, name, learning_rate):
    _leaf_rate(model)
    optimizer = getattr(keras.optimizers, name)(learning_rate)
    return _rebuild(model, optimizer=optimizer)


def _clip(model, clipper="norm", **arguments):
    _leaf_rate(model)
    if optimizers.adaptive_clippers(model.optimizer):
        raise _cannot("clip the gradient", model, "it is clipped already")
    wrapped = AutoClip(fresh_optimizer(model), clipper, **arguments)
    return _rebuild(model, optimizer=wrapped)


# Hidden layers


def _convert(model, pairing, normalization=None, residual=False):
    _refuse_frozen(model)
    new = convert(
        model,
        pairing,
        normalization=normalization,
        residual=residual,
        copy_weights=True,
        # Drawn from Python's generator, so that `set_random_seed` holds.
        seed=random.randrange(2**31),
    )
    return compile_like(new, model)


def _refuse_frozen(model):
    frozen = [
        layer.name
        for layer in forward_layers(model)[1:]
        if not layer.trainable and hasattr(layer, "kernel")
    ]
    if frozen:
        raise _cannot(
            "draw weights anew", model, f"{frozen[0]!r} is frozen on purpose"
        )


def _remove_layers(model, layers):
    gone = []
    for path in layers:
        layer = find(model, path).layer
        try:
            keeps = tuple(layer.input.shape) == tuple(layer.output.shape)
        except (AttributeError, ValueError):
            keeps = False
        if keeps:
            gone.append(layer)
    if not gone:
        raise _cannot("leave layers out", model, "each changes the shape")
    replaced = {id(layer): (_L.Identity, {}) for layer in gone}
    return _rebuild(model, replaced=replaced)


def _change_recurrent(model, layer, kind):
    site = find(model, layer)
    old = site.layer
    if not isinstance(old, _L.SimpleRNN) or old.return_state:
        raise _cannot(
            "change the recurrent layer", model, f"{old.name!r} is no plain one"
        )
    config = old.get_config()
    taken = (
        "units",
        "return_sequences",
        "go_backwards",
        "stateful",
        "unroll",
        "dropout",
        "recurrent_dropout",
    )
    own = {key: config[key] for key in taken}
    own["recurrent_initializer"] = "orthogonal"
    replaced = {id(old): (getattr(_L, kind), own)}
    return _rebuild(model, replaced=replaced, fresh={id(old)})


def _reinitialize(model, layers=()):
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
    return _rebuild(model, configs=configs, fresh=fresh)


def _unseeded(initializer):
    config = dict(initializer.get("config") or {})
    if "seed" in config:
        config["seed"] = random.randrange(2**31)
    return {**initializer, "config": config}


def _cannot(what, model, why):
    return ValueError(
        f"{_OWNER}: cannot {what} of {model.name!r}: {why}. Paste the "
        "remedy's `code` where you build the model."
    )


ACTIONS = {
    "change_output": _change_output,
    "scale_targets": _scale_targets,
    "normalize_inputs": _normalize_inputs,
    "rescale_inputs": _rescale_inputs,
    "set_learning_rate": _set_learning_rate,
    "schedule": _schedule,
    "set_optimizer": _set_optimizer,
    "clip": _clip,
    "convert": _convert,
    "remove_layers": _remove_layers,
    "change_recurrent": _change_recurrent,
    "reinitialize": _reinitialize,
}
