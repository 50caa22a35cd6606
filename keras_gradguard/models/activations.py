"""Where activations can be read: which layers have one, and of what kind."""

import dataclasses
import functools

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.models import layers as layers_lib

_ACTIVATION_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)
# An activation is flat where its slope is below this share of the largest.
FLAT = 0.01
# Bounds (low, high) of the outputs where it is not.
_BOUNDS = {
    "tanh": (-np.sqrt(1 - FLAT), np.sqrt(1 - FLAT)),
    "sigmoid": (0.5 - np.sqrt(0.25 - FLAT / 4), 0.5 + np.sqrt(0.25 - FLAT / 4)),
    "hard_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (np.sqrt(FLAT) - 1, 1 - np.sqrt(FLAT)),
}
_NEVER_ZERO = ("linear", "softmax", "log_softmax", "sparsemax", "glu")
# Of these it is known; to ask one, JAX compiles it.
_ZERO_BELOW = ("relu", "relu6")
_NOWHERE_ZERO = (
    "elu",
    "exponential",
    "gelu",
    "leaky_relu",
    "mish",
    "selu",
    "silu",
    "softplus",
)
# Negative and positive inputs at which a half-line of zeros shows. Farther
# out, float32 makes zeros of GELU.
_PROBES = np.array([-4.0, -3.5, 3.5, 4.0], "float32")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A layer whose activation is measured.

    Attributes:
        layer: The layer that applies the activation.
        path: Its path, or its name where Keras gives it none; unique.
        activation: Name of the activation, None if it has none of its own.
        bounds: Outputs `(low, high)` beyond which the activation is flat, or
            None if it does not saturate.
        can_die: Whether the activation is zero on a half-line.
        unit_axis: Axis of the units among the axes of an output.
        whole: Whether the output shows all that the activation gave: the last
            state of an RNN does not.
        positive: Whether no output is negative, so that a sum of some is zero
            only if all are.
    """

    layer: object
    path: str
    activation: str | None
    bounds: tuple | None
    can_die: bool
    unit_axis: int = -1
    whole: bool = True
    positive: bool = False


def sites_of(model):
    """Return the sites of a model in the order of its layers.

    Layers inside of RNNs and `TimeDistributed` run in a loop of their own,
    whose values cannot be read outside; layers that are rematerialised give
    nothing either. They are left out; the RNN itself is a site, and so is the
    `TimeDistributed`, which gives what the layer in it does at all times.

    Args:
        model: A Keras model.

    Returns:
        List of `Site`.
    """
    hidden = _hidden(model)
    found = []
    for layer in layers_lib.forward_layers(model)[1:]:
        site = None if id(layer) in hidden else _site_of(layer)
        if site is not None:
            found.append(site)
    paths = layers_lib.unique([site.path for site in found])
    return [
        dataclasses.replace(site, path=path)
        for site, path in zip(found, paths, strict=True)
    ]


def left_out(model):
    """Return why activations that can die are no sites.

    Args:
        model: A Keras model.

    Returns:
        Dict from layer path to str. The cell of an RNN is not among them, nor
        the layer in a `TimeDistributed`: what holds them is a site.
    """
    hidden = _hidden(model)
    reasons = {}
    for layer in layers_lib.forward_layers(model)[1:]:
        reason = hidden.get(id(layer))
        site = _site_of(layer) if reason else None
        if site is not None and site.can_die:
            reasons[site.path] = reason
    return reasons


def _hidden(model):
    """Why the outputs of layers cannot be read, by `id`; "" for cells."""
    found = {}
    for layer in layers_lib.forward_layers(model):
        if keras_private.is_rematerialized(layer):
            found[id(layer)] = "it is rematerialised"
        if isinstance(layer, keras.layers.RNN):
            reason = ""
        elif isinstance(layer, keras.layers.TimeDistributed):
            reason = "it runs inside of a TimeDistributed"
        else:
            continue
        for child in layers_lib.forward_layers(layer)[1:]:
            found[id(child)] = reason
        if reason and _function_of(layer.layer) is not None:
            found[id(layer.layer)] = ""
    return found


def _site_of(layer):
    path = layers_lib.layer_path(layer)
    if isinstance(layer, keras.layers.RNN):
        cell = layer.cell
        plain = isinstance(cell, keras.layers.SimpleRNNCell)
        function = cell.activation if plain else None
        return Site(
            layer,
            path,
            layers_lib.activation_name(function),
            _bounds(function),
            function is not None and can_die(function),
            whole=bool(layer.return_sequences),
            positive=_is_positive(function),
        )
    distributed = isinstance(layer, keras.layers.TimeDistributed)
    function = _function_of(layer.layer if distributed else layer)
    if function is None and not distributed:
        return None
    return Site(
        layer,
        path,
        None if function is None else layers_lib.activation_name(function),
        _bounds(function),
        function is not None and can_die(function),
        unit_axis=_unit_axis(layer),
        positive=_is_positive(function),
    )


def _function_of(layer):
    """Return what a layer bends its outputs by, itself perhaps, or None."""
    function = own_activation(layer)
    if function is None and isinstance(layer, _ACTIVATION_LAYERS):
        return layer
    return function


def own_activation(layer):
    """Return the function that a layer applies to its outputs, or None.

    Args:
        layer: A Keras layer.
    """
    function = layer.__dict__.get("activation")
    if callable(function) and not isinstance(function, keras.Layer):
        return function
    return None


def can_die(function):
    """Whether an activation is zero on a half-line, as ReLU is.

    Args:
        function: Callable on tensors, possibly a layer.
    """
    if isinstance(function, keras.layers.PReLU | keras.layers.Softmax):
        return False
    if isinstance(function, keras.layers.ReLU):
        return not function.negative_slope
    if isinstance(function, keras.Layer):
        return False
    return _is_zero_on_a_side(function)


@functools.lru_cache(maxsize=256)
def _is_zero_on_a_side(function):
    name = layers_lib.activation_name(function)
    if name in _NEVER_ZERO or name in _BOUNDS:
        return False
    for names in (_ZERO_BELOW, _NOWHERE_ZERO):
        if name in names and function is getattr(keras.activations, name):
            return names is _ZERO_BELOW
    return _shows_zeros(function)


def _shows_zeros(function):
    try:
        backend = _backend.current()
        with backend.own_cpu():
            values = backend.to_numpy(
                function(keras.ops.convert_to_tensor(_PROBES))
            )
    except Exception:  # a user's function may need another shape
        return False
    values = np.asarray(values)
    if values.shape != _PROBES.shape:
        return False
    low, high = values[:2], values[2:]
    return bool((low == 0).all() != (high == 0).all())


def _is_positive(function):
    """Whether an activation is known never to give anything negative."""
    if isinstance(function, keras.layers.ReLU):
        return not function.negative_slope and function.threshold >= 0
    return function in (keras.activations.relu, keras.activations.relu6)


def _bounds(function):
    return _BOUNDS.get(layers_lib.activation_name(function))


def _unit_axis(layer):
    if isinstance(layer, keras.layers.TimeDistributed):
        inner = _unit_axis(layer.layer)
        return inner if inner < 0 else inner + 1
    if getattr(layer, "data_format", None) == "channels_first":
        return 1
    return -1
