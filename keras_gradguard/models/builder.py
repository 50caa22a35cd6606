"""Builds a model anew, with the changes of a plan."""

import dataclasses
import inspect
from typing import Any

import keras
import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models.residual import ScaledAdd


@dataclasses.dataclass(slots=True)
class Edits:
    """What to change in a model. The keys are the ids of its layers.

    Attributes:
        configs: Dict to a dict of values of the layer's configuration.
        replaced: Dict to a pair of a layer class and its configuration.
        normalized: Dict to the activation that moves behind the new
            normalization, None where the layer's own stays.
        block_ends: Dict to the id of the layer where the new residual
            connection begins.
        normalization: `"batch"`, `"layer"` or None.
    """

    configs: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    replaced: dict[int, tuple] = dataclasses.field(default_factory=dict)
    normalized: dict[int, Any] = dataclasses.field(default_factory=dict)
    block_ends: dict[int, int] = dataclasses.field(default_factory=dict)
    normalization: str | None = None


class Builder:
    """Clones models by a plan; one clone of a layer, however often used.

    Args:
        plan: `Edits`.
    """

    def __init__(self, plan):
        self.plan = plan
        self.clones = {}
        self.shortcuts = {}  # id(layer) -> its input, while it is called
        self.inserted = {}

    def layer(self, layer):
        if id(layer) not in self.clones:
            self.clones[id(layer)] = (layer, self._clone(layer))
        return self.clones[id(layer)][1]

    @keras_private.without_tensorflow()
    def _clone(self, layer):
        if graph.is_graph(layer):
            return self.model(layer)
        plan = self.plan
        changed = id(layer) in {*plan.replaced, *plan.configs}
        if isinstance(layer, keras.layers.Lambda) and not changed:
            # Keras writes its function down, and refuses to read it. It holds
            # nothing that trains, so both models may call it.
            return layer
        config = layer.get_config()
        if id(layer) in plan.replaced:
            kind, own = plan.replaced[id(layer)]
            common = {
                key: config[key]
                for key in ("name", "trainable", "dtype")
                # Some of Keras's own layers take no `trainable`.
                if key in config
            }
            return kind.from_config({**common, **own})
        updates = plan.configs.get(id(layer), {})
        _update(config, updates)
        try:
            return type(layer).from_config(config)
        except TypeError:
            # A class of the user's own whose config does not make it again.
            made = _with_own_arguments(layer, config)
            if made is not None:
                return made
            if updates or getattr(layer, "weights", True):
                raise
            return layer

    @keras_private.without_tensorflow()
    def model(self, model):
        edits = {*self.plan.normalized, *self.plan.block_ends}
        inserts = bool(edits)
        if isinstance(model, keras.Sequential):
            if inserts and self.plan.block_ends:
                return self._as_functional(model)
            return self._sequential(model)
        compiled = model.compiled
        try:
            # Keras would compile it from a config, which a loss of the user's
            # own has none for.
            model.compiled = False
            new = keras.models.clone_model(
                model,
                clone_function=self.layer,
                call_function=self.call
                if inserts or self.plan.replaced
                else None,
            )
        finally:
            model.compiled = compiled
        return compile_like(new, model)

    def _sequential(self, model):
        layers = []
        for layer in model.layers:
            layers.extend(self.after(layer, self.layer(layer)))
        if model.built and model.inputs:
            first = model.inputs[0]
            layers.insert(
                0,
                keras.Input(
                    batch_shape=first.shape,
                    dtype=first.dtype,
                    name=first.name,
                ),
            )
        new = keras.Sequential(
            layers, name=model.name, trainable=model.trainable
        )
        return compile_like(new, model)

    def after(self, old, new):
        """The clone with what the plan puts around it, without shortcuts."""
        if id(old) not in self.plan.normalized:
            return [new]
        activation = self.plan.normalized[id(old)]
        norm = self._insert(old, "normalization")
        if activation is None:
            return [norm, new]
        return [new, norm, self._insert(old, "activation", activation)]

    def _insert(self, old, what, activation=None):
        key = id(old), what
        if key not in self.inserted:
            name = f"{old.name}_{what}"
            if what == "residual":
                made = ScaledAdd(name=name, dtype=old.dtype_policy)
            elif what == "activation":
                made = keras.activations.get(activation)
                if not isinstance(made, keras.layers.Layer):
                    made = keras.layers.Activation(made, name=name)
            else:
                first = getattr(old, "data_format", "") == "channels_first"
                kind = {
                    "batch": keras.layers.BatchNormalization,
                    "layer": keras.layers.LayerNormalization,
                }[self.plan.normalization]
                made = kind(axis=1 if first else -1, name=name)
            self.inserted[key] = made
        return self.inserted[key]

    def call(self, new, *args, **kwargs):
        """Call a clone in a functional graph, with what belongs around it."""
        old = next((o for o, n in self.clones.values() if n is new), None)
        if old is None or not isinstance(old, keras.layers.Layer):
            return new(*args, **kwargs)
        if id(old) in self.plan.replaced:
            kwargs = _that_it_takes(new, kwargs)
        self.shortcuts[id(old)] = args[0] if args else None
        steps = self.after(old, new)
        result = args
        for step in steps:
            own = kwargs if step is new else {}
            result = (step(*result, **own),)
        (result,) = result
        start = self.plan.block_ends.get(id(old))
        if start is not None:
            shortcut = self.shortcuts[start]
            result = self._insert(old, "residual")([shortcut, result])
        return result

    def _as_functional(self, model):
        first = model.inputs[0]
        x = keras.Input(
            batch_shape=first.shape, dtype=first.dtype, name=first.name
        )
        end = x
        for layer in model.layers:
            end = self.call(self.layer(layer), end)
        new = keras.Model(x, end, name=model.name)
        new.trainable = model.trainable
        return compile_like(new, model)

    def copy_weights(self, frozen=False):
        """Copy what was not re-initialized.

        Args:
            frozen: Bool. Whether to copy those of frozen layers alone.
        """
        plan = self.plan
        for old, new in self.clones.values():
            if graph.is_graph(old) or id(old) in plan.configs:
                continue
            # An operation of `keras.ops` has none, and is no layer.
            values = getattr(old, "weights", [])
            if not values or (frozen and old.trainable):
                continue
            if id(old) not in plan.replaced:
                new.set_weights(
                    [
                        np.asarray(keras.ops.convert_to_numpy(value))
                        for value in values
                    ]
                )


def _that_it_takes(layer, kwargs):
    """Return what the call of another layer may be given as well.

    Keras writes down `mask=None` for a softmax, which other layers do not know.
    """
    taken = inspect.signature(layer.call).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken):
        return kwargs
    known = {p.name for p in taken} | {"training"}
    return {
        name: value
        for name, value in kwargs.items()
        if name in known or value is not None
    }


def _with_own_arguments(layer, config):
    """Make a layer whose `__init__` takes no more than arguments of its own.

    As in many examples: `name`, `trainable` and `dtype`, which Keras writes
    into the config, are set afterwards. None where that does not help.
    """
    taken = inspect.signature(type(layer).__init__).parameters
    own = {key: value for key, value in config.items() if key in taken}
    if len(own) == len(config):
        return None
    try:
        made = type(layer)(**own)
    except (TypeError, ValueError):
        return None
    made.name, made.trainable = layer.name, layer.trainable
    if made.dtype_policy != layer.dtype_policy:
        made.dtype_policy = layer.dtype_policy
    return made


def _update(config, updates):
    """Set values in a config, inside a wrapper's where there is one."""
    if not updates:
        return
    inner = [config[k] for k in ("layer", "backward_layer") if k in config]
    if not inner:
        config.update(updates)
    for entry in inner:
        if isinstance(entry, dict):
            _update(entry["config"], updates)


@keras_private.without_tensorflow()
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
