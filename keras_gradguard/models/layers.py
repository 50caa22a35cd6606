"""Which layers and variables a model has, in forward order."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_gradguard.models import keras_private
from keras_gradguard.models.calls import call_of
from keras_gradguard.models.patches import Patches

_NORMALIZATION = ("Normalization",)
_REGULARIZERS = (
    "kernel_regularizer",
    "bias_regularizer",
    "recurrent_regularizer",
    "depthwise_regularizer",
    "pointwise_regularizer",
    "embeddings_regularizer",
    "activity_regularizer",
)
_CONFIG_KEYS = (
    "input_dim",
    "output_dim",
    "units",
    "filters",
    "rate",
    "axis",
    "negative_slope",
    "alpha",
    "use_bias",
    "momentum",
)


@dataclasses.dataclass(frozen=True, slots=True)
class LayerTable:
    """Layers that own trainable variables, and those variables.

    Attributes:
        layers: Layer objects in forward order, length L.
        layer_paths: Their paths, unique, length L.
        variables: Trainable variables (frozen ones too), length V.
        variable_paths: Their paths, length V.
        owners: Integer array `(V,)`, index of each variable's layer.
        sizes: Integer array `(V,)`, number of elements.
        info: Per layer path what rules want to know: class, activation,
            initializers, trainable.
    """

    layers: list
    layer_paths: list
    variables: list
    variable_paths: list
    owners: Any
    sizes: Any
    info: dict

    @property
    def index(self):
        """Map from `id(variable)` to its position."""
        return {id(v): i for i, v in enumerate(self.variables)}


def forward_layers(model):
    """All layers of a model, nested ones in place, each once.

    Functional and Sequential models give the order of the forward pass, all
    others the order in which their layers were assigned.

    Args:
        model: A Keras model.

    Returns:
        List of layers; the model itself comes first.
    """
    found, seen = [], set()

    def visit(layer):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        found.append(layer)
        for child in keras_private.children(layer):
            visit(child)

    visit(model)
    return found


def is_built(model):
    """Whether a train step builds no more layers.

    What no step calls stays unbuilt for good. Keras builds the optimizer when
    it has run the model once, and by then all else is built.

    Args:
        model: A compiled Keras model.
    """
    layers = forward_layers(model)
    return model.optimizer.built or all(layer.built for layer in layers)


def knows_order(model):
    """Whether a model's layers are listed in the order of the forward pass."""
    return isinstance(model, keras.Sequential) or hasattr(model, "operations")


def call_name(layer):
    """Name of the method by which Keras runs a layer: a quantized one's own.

    Args:
        layer: A Keras layer or operation.
    """
    policy = getattr(layer, "dtype_policy", None)
    quantized = getattr(policy, "quantization_mode", None) is not None
    return "quantized_call" if quantized else "call"


class CallOrder:
    """Notes in which order the layers of a model are called.

    Attributes:
        ranks: Dict from `id(layer)` to its rank, filled by one pass.
    """

    def __init__(self):
        self.ranks = {}
        self._patches = Patches()

    def watch(self, model):
        """Begin to note, for a model that does not tell by itself.

        Args:
            model: A Keras model.
        """
        if not knows_order(model):
            for layer in forward_layers(model)[1:]:
                self._patches.replace(
                    layer, call_name(layer), self._noting(layer)
                )

    def _noting(self, layer):
        def make(original):
            def call(*args, **kwargs):
                self.ranks.setdefault(id(layer), len(self.ranks))
                return original(*args, **kwargs)

            return call

        return make

    def stop(self):
        """Leave the layers as they were. Safe to call twice."""
        self._patches.undo()


def layer_path(layer):
    """Path of a layer, or its name where Keras gives it none."""
    return getattr(layer, "path", None) or layer.name


def layer_table(model, order=None):
    """Make the table of a built model.

    Args:
        model: A Keras model.
        order: Optional dict from `id(layer)` to its rank in the forward
            pass, as seen while the step was traced. Layers without a rank
            keep their place behind their predecessor.

    Returns:
        A `LayerTable`.
    """
    layers = forward_layers(model)
    if order:
        layers = _sorted_by_call(layers, order)
    table_layers: list = []
    variables, owners = [], []
    claimed: set = set()
    for layer in layers:
        own = [
            v
            for v in keras_private.own_variables(layer)
            if id(v) not in claimed
        ]
        if own:
            claimed.update(id(v) for v in own)
            owners.extend([len(table_layers)] * len(own))
            variables.extend(own)
            table_layers.append(layer)
    paths = unique([layer_path(layer) for layer in table_layers])
    wrappers = wrappers_of(layers)
    return LayerTable(
        layers=table_layers,
        layer_paths=paths,
        variables=variables,
        variable_paths=unique([v.path for v in variables]),
        owners=np.asarray(owners, dtype="int64"),
        sizes=np.asarray([int(np.prod(v.shape)) for v in variables], "int64"),
        info={
            path: layer_info(layer, wrappers.get(id(layer)))
            for path, layer in zip(paths, table_layers, strict=True)
        },
    )


def _sorted_by_call(layers, order):
    ranks, last = [], -1
    for layer in layers:
        last = order.get(id(layer), last)
        ranks.append(last)
    positions = sorted(range(len(layers)), key=lambda i: (ranks[i], i))
    return [layers[i] for i in positions]


def unique(names):
    """Return the names, repeated ones with a number behind them.

    Args:
        names: List of str.
    """
    counts: dict = {}
    result = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        number = counts[name]
        result.append(name if number == 1 else f"{name}#{number}")
    return result


# Layers of Keras that hold others, which users do not see.
_HOLDERS = (
    keras.layers.RNN,
    keras.layers.Wrapper,
    keras.layers.Bidirectional,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)


def wrappers_of(layers):
    """Return which layer of the user's holds a cell or a wrapped layer.

    Args:
        layers: List from `forward_layers`.

    Returns:
        Dict from the `id` of an inner layer to the outermost recurrent layer,
        attention or wrapper around it.
    """
    around: dict = {}
    for layer in layers:
        if isinstance(layer, _HOLDERS):
            outermost = around.get(id(layer), layer)
            for inner in forward_layers(layer)[1:]:
                around.setdefault(id(inner), outermost)
    return around


def layer_info(layer, wrapper=None):
    """Facts about a layer, as plain JSON types.

    Args:
        layer: A Keras layer.
        wrapper: The layer of the user's that it is a part of, or None.

    Returns:
        Dict with `class`, `name`, `activation`, `recurrent_activation`,
        `kernel_initializer`, `trainable`, `normalization`, `shapes`, `dtype`,
        the regularizers by what they weigh, `call` (see `call_of`), and the
        same of the wrapper as `within`, with its `path`.
    """
    info = {
        "class": type(layer).__name__,
        "name": layer.name,
        "trainable": bool(layer.trainable),
        "normalization": any(
            word in type(layer).__name__ for word in _NORMALIZATION
        ),
        "activation": activation_name(getattr(layer, "activation", None)),
        "shapes": {
            v.name: [int(d) for d in v.shape]
            for v in keras_private.own_variables(layer)
        },
    }
    recurrent = getattr(layer, "recurrent_activation", None)
    if recurrent is not None:
        info["recurrent_activation"] = activation_name(recurrent)
    for key in ("kernel_initializer", "recurrent_initializer"):
        initializer = getattr(layer, key, None)
        if initializer is not None:
            info[key] = _described(initializer)
    for key in _REGULARIZERS:
        regularizer = getattr(layer, key, None)
        if regularizer is not None:
            info[key] = _described(regularizer)
    dtypes = {str(v.dtype) for v in keras_private.own_variables(layer)}
    if len(dtypes) == 1:
        info["dtype"] = dtypes.pop()
    for key in _CONFIG_KEYS:
        value = getattr(layer, key, None)
        if isinstance(value, bool | int | float | str):
            info[key] = value
    if wrapper is not None:
        info["within"] = {**layer_info(wrapper), "path": layer_path(wrapper)}
    elif (call := call_of(layer)) is not None:
        info["call"] = call
    return info


def activation_name(activation):
    """Return the name of an activation, a function or a layer, or None."""
    if activation is None:
        return None
    return getattr(activation, "__name__", type(activation).__name__)


def _described(initializer):
    name = getattr(initializer, "__name__", type(initializer).__name__)
    described = {"class": name}
    try:
        config = initializer.get_config()
    except (AttributeError, NotImplementedError, ValueError):
        return described
    for key, value in config.items():
        if isinstance(value, np.floating | np.integer | np.ndarray):
            value = value.item() if value.size == 1 else None
        if isinstance(value, bool | int | float | str):
            described[key] = value
    return described
