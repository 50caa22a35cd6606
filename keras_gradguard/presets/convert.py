"""The same architecture with another pairing."""

import warnings

import keras
import numpy as np

from keras_gradguard._validation import check_bool
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.layers.residual import ScaledAdd
from keras_gradguard.presets import graph
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.plan import Plan

_MOST_UNSTABLE = 10


def convert(
    model,
    pairing,
    *,
    normalization=None,
    residual=False,
    copy_weights=False,
    dry_run=False,
    seed=None,
):
    """Build the same architecture with another pairing and new weights.

    Hidden activations become the pairing's, and each kernel is initialized
    for what comes into it: the pairing's gain after an activation, gain 1
    after data, a normalization or a linear layer. Output layers keep their
    activation (and their initializer, unless it is a fixed-width one), gates
    of recurrent layers and of squeeze-and-excite blocks keep theirs, and so
    do attention, embeddings and normalization. Recurrent kernels are drawn
    gate by gate. Under SELU `Dropout` becomes `AlphaDropout`. Names, shared
    layers, several inputs and outputs stay, and `model` is not touched.

    What scale alone cannot do for a deep plain stack of GELU, SiLU, Mish or
    hard SiLU, `"gelu_deep"` and the like, `normalization` or `residual` do.

    Args:
        model: A `Sequential` or functional model; models inside it are
            converted as well.
        pairing: Name from `kgg.presets.names()`.
        normalization: None, `"batch"` or `"layer"`: put one before each
            hidden activation that has none. Defaults to None.
        residual: Whether to add a residual connection, its branch scaled by
            zero at the start, around each layer that keeps the shape. A
            `Sequential` comes back as a functional model. Defaults to False.
        copy_weights: Whether layers that are not re-initialized take the
            weights they have in `model`; they start anew otherwise. Defaults
            to False.
        dry_run: Whether to return the list of changes instead. Defaults to
            False.
        seed: Integer that makes the new kernels repeatable, or None.

    Returns:
        The new model, compiled as `model` is; with `dry_run`, a list of
        `Change`.

    Raises:
        TypeError: If `model` is no Keras model, or subclassed.
        ValueError: If a name is unknown.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((8,)),
    ...         keras.layers.Dense(16, "relu", name="hidden"),
    ...         keras.layers.Dense(3, "softmax", name="head"),
    ...     ]
    ... )
    >>> for change in presets.convert(model, "lecun_selu", dry_run=True):
    ...     print(change)
    hidden: initializer GlorotUniform(1) -> LecunNormal(1)
    hidden: activation relu -> selu
    >>> presets.convert(model, "lecun_selu").layers[0].activation.__name__
    'selu'
    """
    _check_model(model)
    check_choice(
        "presets.convert",
        "normalization",
        normalization,
        (None, "batch", "layer"),
    )
    check_bool("presets.convert", "residual", residual)
    check_bool("presets.convert", "copy_weights", copy_weights)
    check_bool("presets.convert", "dry_run", dry_run)
    if seed is not None:
        seed = check_int("presets.convert", "seed", seed)
    if residual and isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            "presets.convert: `model` must be built for `residual`. "
            f"Received: model={model.name!r}, of unknown input shape. Start "
            "it with `keras.Input(shape)`."
        )
    plan = Plan(model, pairing, normalization, residual, seed)
    if dry_run:
        return plan.changes
    found = moments(plan.row.activation)
    unstable = plan.row.scale * found.sensitivity > 1.01
    if plan.deep > _MOST_UNSTABLE and unstable and not plan.row.bias_variance:
        warnings.warn(
            f"presets.convert: {plan.deep} plain layers of {plan.row.name!r} "
            "will lose their signal: its unit variance is unstable. Pass "
            'residual=True or normalization="batch", or take the "_deep" '
            "pairing where there is one.",
            GradGuardWarning,
            stacklevel=2,
        )
    builder = Builder(plan)
    new = builder.model(model)
    if copy_weights:
        builder.copy_weights()
    return new


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(
            "presets.convert: `model` must be a Keras model. Received: "
            f"model={model!r} (of type {type(model).__name__}). Pass what "
            "`keras.Sequential` or `keras.Model(inputs, outputs)` returns."
        )
    if not graph.is_graph(model):
        raise TypeError(
            "presets.convert: `model` must be Sequential or functional. "
            f"Received: a subclassed model (of type {type(model).__name__}), "
            "whose layers say nothing of their order. Give its layers "
            '**kgg.presets.get("he_relu") where it makes them, or use '
            "`kgg.presets.lsuv(model, x)`, which needs no order."
        )


class Builder:
    """Clones models by a plan; one clone of a layer, however often used."""

    def __init__(self, plan):
        self.plan = plan
        self.clones = {}
        self.shortcuts = {}  # id(layer) -> its input, while it is called
        self.inserted = {}

    def layer(self, layer):
        if id(layer) not in self.clones:
            self.clones[id(layer)] = (layer, self._clone(layer))
        return self.clones[id(layer)][1]

    def _clone(self, layer):
        if graph.is_graph(layer):
            return self.model(layer)
        plan = self.plan
        config = layer.get_config()
        if id(layer) in plan.replaced:
            kind, own = plan.replaced[id(layer)]
            common = {k: config[k] for k in ("name", "trainable", "dtype")}
            return kind.from_config({**common, **own})
        updates = plan.configs.get(id(layer), {})
        _update(config, updates)
        return type(layer).from_config(config)

    def model(self, model):
        edits = {*self.plan.normalized, *self.plan.block_ends}
        inserts = bool(edits)
        if isinstance(model, keras.Sequential):
            if inserts and self.plan.block_ends:
                return self._as_functional(model)
            return self._sequential(model)
        return keras.models.clone_model(
            model,
            clone_function=self.layer,
            call_function=self.call if inserts else None,
        )

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
        return _compile_like(new, model)

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
        return _compile_like(new, model)

    def copy_weights(self):
        """Copy what was not re-initialized."""
        plan = self.plan
        for old, new in self.clones.values():
            if graph.is_graph(old) or id(old) in plan.configs:
                continue
            values = getattr(old, "weights", [])
            if values and id(old) not in plan.replaced:
                new.set_weights(
                    [
                        np.asarray(keras.ops.convert_to_numpy(value))
                        for value in values
                    ]
                )


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


def _compile_like(new, old):
    if old.compiled:
        new.compile_from_config(old.get_compile_config())
    return new
