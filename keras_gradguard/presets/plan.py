"""What `convert` would change in a model, layer by layer."""

import dataclasses
from typing import Any

import keras

from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models.kinds import ATTENTION
from keras_gradguard.presets.arguments import activation_for
from keras_gradguard.presets.arguments import get
from keras_gradguard.presets.arguments import kernel_arguments
from keras_gradguard.presets.arguments import scale_for
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.initializers import child_seed
from keras_gradguard.presets.pairings import canonical
from keras_gradguard.presets.pairings import pairing

_L = keras.layers
_GATES = {"sigmoid", "hard_sigmoid"}
_MERGES = ("Add", "Subtract", "Average", "Maximum", "ScaledAdd")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One thing that `convert` changes, or would change.

    Attributes:
        layer: Names of the models around the layer and its own, by `/`.
        what: `"activation"`, `"initializer"`, `"dropout"`,
            `"normalization"` or `"residual"`.
        before: What is there now, in words.
        after: What comes in its place.
    """

    layer: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.what} {self.before} -> {self.after}"


class Plan:
    """Collects, by layer, how its config changes and what follows it.

    Args:
        model: A Sequential or functional model.
        name: Name of the pairing.
        normalization: None, `"batch"` or `"layer"`.
        residual: Whether to add residual connections.
        seed: Integer or None.
    """

    @keras_private.without_tensorflow()
    def __init__(
        self,
        model: Any,
        name: Any,
        normalization: Any,
        residual: Any,
        seed: Any,
    ) -> None:
        self.name = name
        self.row = pairing(canonical(name, "presets.convert", "pairing")[0])
        self.variant = next(
            (v for v in ("uniform", "orthogonal") if name.endswith("_" + v)),
            "normal",
        )
        self.normalization = normalization
        self.residual = residual
        self.seed = seed
        self.changes: list = []
        # By `id(layer)`: updates of its config; its new class and config; the
        # activation to put after it, or None; and, of a layer that ends a
        # block, the id of the one that starts it.
        self.configs: dict = {}
        self.replaced: dict = {}
        self.normalized: dict = {}
        self.block_ends: dict = {}
        self.deep = 0  # Converted layers with nothing between them.
        found = graph.nodes(model)
        self._swapped = {
            id(node)
            for node in found
            if node.activation is not None and self._is_hidden(node)
        }
        for index, node in enumerate(found):
            self._visit(node, index)

    def _is_hidden(self, node: Any) -> Any:
        """Tell whether the activation of a node is the pairing's to set."""
        if _is_frozen(node) or any(map(_is_frozen, node.sources)):
            return False
        ours = node.kind not in (None, *_RECURRENT, *ATTENTION)
        if not (ours or isinstance(node.layer, graph.ACTIVATIONS)):
            return False
        name = getattr(node.activation, "__name__", None)
        gate = name in _GATES and graph.feeds(node, ("Multiply", "multiply"))
        return not gate and not graph.is_output(node)

    def _visit(self, node: Any, index: Any) -> None:
        layer = node.layer
        if _is_frozen(node):
            return
        seed = None if self.seed is None else child_seed(self.seed, index)
        if hasattr(layer, "pairing") and node.kind is None:
            self._set(node, "initializer", layer.pairing, self.name)
            self.configs[id(layer)] = {"pairing": self.name}
        elif node.kind in _RECURRENT:
            self._recurrent(node, seed)
        elif node.kind in ATTENTION:
            return
        elif node.kind is not None:
            self._weights(node, seed)
        elif isinstance(layer, graph.ACTIVATIONS):
            if id(node) in self._swapped:
                self._activation_layer(node)
        elif isinstance(layer, _L.Dropout | _L.AlphaDropout):
            self._dropout(node)

    def _set(self, node: Any, what: Any, before: Any, after: Any) -> None:
        self.changes.append(Change(node.key, what, str(before), str(after)))

    def _weights(self, node: Any, seed: Any) -> None:
        inner, updates = node.inner, {}
        own = id(node) in self._swapped
        follows = graph.following_activation(node)
        merged = graph.feeds(node, _MERGES)
        output = graph.is_output(node) and not own
        if output and not _is_bad(inner):
            return
        if merged and follows is None and _is_zeros(inner):
            return  # A residual branch that starts at nothing, on purpose.
        scale, mode, variant = self._scale(node), self.row.mode, self.variant
        if output:
            scale, mode, variant = 1.0, "fan_avg", "uniform"
        elif scale == 1.0 and self.row.scale != 1.0:
            mode = "fan_in"
        initializers = kernel_arguments(
            node.kind,
            scale,
            mode=mode,
            variant=variant,
            strides=getattr(inner, "strides", 1),
            groups=getattr(inner, "groups", 1) or 1,
            seed=seed,
        )
        if self.row.bias_variance and follows is not None and not output:
            bias = get(self.name, layer=node.kind, seed=seed)
            if graph.source_activation(node) and self.normalization is None:
                initializers["bias_initializer"] = bias["bias_initializer"]
        for argument, initializer in initializers.items():
            self._set(
                node,
                "initializer",
                _describe(getattr(inner, argument, None)),
                _describe(initializer),
            )
            updates[argument] = keras.initializers.serialize(initializer)
        if own:
            after = activation_for(self.row, node.kind)
            self._set(node, "activation", _name(node.activation), _name(after))
            updates["activation"] = _serialize(after)
            self.deep += self.normalization is None and not self.residual
            if self.normalization and not _is_normalized(node):
                self._set(node, "normalization", None, self.normalization)
                self.normalized[id(node.layer)] = updates["activation"]
                updates["activation"] = "linear"
        self.configs[id(node.layer)] = updates
        end = follows if follows is not None else None
        if (
            self.residual
            and end is not None
            and id(end) in self._swapped
            and not graph.feeds(end, _MERGES)
            and _keeps_shape(node.layer, end.layer)
        ):
            self._set(end, "residual", None, "ScaledAdd")
            self.block_ends[id(end.layer)] = id(node.layer)

    def _scale(self, node: Any) -> Any:
        """The variance that the signal coming in asks for."""
        source = graph.source_activation(node)
        if source is not None:
            if id(source) in self._swapped:
                return self.row.scale
            return scale_for(source.activation)[0]
        follows = graph.following_activation(node)
        if node.sources and not isinstance(
            node.sources[0].layer, graph.NORMALIZATIONS
        ):
            return 1.0
        # Data or a normalized signal. A rectifier has no variance of its own
        # that it returns to: the usual He will do. Others start where they
        # are to stay.
        if follows is None or id(follows) not in self._swapped:
            return 1.0
        found = moments(self.row.activation)
        homogeneous = abs(found.sensitivity / found.second_moment - 1) < 1e-6
        return self.row.scale if homogeneous else self.row.point

    def _activation_layer(self, node: Any) -> None:
        after = self.row.activation
        self._set(node, "activation", _name(node.activation), _name(after))
        kind = f"{len(node.layer.output.shape) - 2}D"
        after = activation_for(self.row, kind if kind != "0D" else "Dense")
        if isinstance(after, dict):
            self.replaced[id(node.layer)] = (_L.PReLU, after["config"])
        else:
            self.replaced[id(node.layer)] = (
                _L.Activation,
                {"activation": _serialize(after)},
            )
        if self.normalization and not _is_normalized(node):
            self._set(node, "normalization", None, self.normalization)
            self.normalized[id(node.layer)] = None

    def _dropout(self, node: Any) -> None:
        wanted = (
            _L.AlphaDropout if self.row.activation == "selu" else _L.Dropout
        )
        plain = type(node.layer) in (_L.Dropout, _L.AlphaDropout)
        source = graph.source_activation(node)
        hidden = source is not None and id(source) in self._swapped
        if plain and hidden and type(node.layer) is not wanted:
            before = type(node.layer).__name__
            self._set(node, "dropout", before, wanted.__name__)
            config = node.layer.get_config()
            self.replaced[id(node.layer)] = (
                wanted,
                {k: config[k] for k in ("rate", "noise_shape", "seed")},
            )

    def _recurrent(self, node: Any, seed: Any) -> None:
        """Gates keep their activations; a ReLU recurrence its identity."""
        name = "glorot_tanh"
        rectified = getattr(node.inner.activation, "__name__", "") == "relu"
        if node.kind == "SimpleRNN" and rectified:
            name = "he_relu"
        arguments = get(name, layer=node.kind, seed=seed)
        arguments.pop("activation")
        updates = {}
        for argument, value in arguments.items():
            if argument.endswith("initializer"):
                before = getattr(node.inner, argument)
                self._set(
                    node, "initializer", _describe(before), _describe(value)
                )
                value = keras.initializers.serialize(value)
            updates[argument] = value
        self.configs[id(node.layer)] = updates


def _is_frozen(node: Any) -> bool:
    """Tell whether a layer keeps its weights for a reason."""
    # An operation of `keras.ops` has none, and is no layer.
    weights = getattr(node.layer, "weights", None)
    return bool(weights) and not node.layer.trainable


def _is_bad(layer: Any) -> Any:
    """Tell whether an output layer's initializer is worth replacing."""
    initializer = getattr(layer, "kernel_initializer", None)
    good = (
        keras.initializers.VarianceScaling,
        keras.initializers.Orthogonal,
        keras.initializers.Zeros,
    )
    return initializer is not None and not isinstance(initializer, good)


def _is_zeros(layer: Any) -> Any:
    return isinstance(
        getattr(layer, "kernel_initializer", None), keras.initializers.Zeros
    )


def _is_normalized(node: Any) -> Any:
    """Tell whether a normalization stands before or after already."""
    near = node.sources if node.kind is None else node.consumers
    return any(isinstance(s.layer, graph.NORMALIZATIONS) for s in near)


def _keeps_shape(start: Any, end: Any) -> Any:
    try:
        before, after = start.input, end.output
    except (AttributeError, ValueError):
        return False
    if isinstance(before, list | tuple):
        return False
    return tuple(before.shape) == tuple(after.shape)


def _serialize(activation: Any) -> Any:
    if isinstance(activation, dict):
        return activation
    return keras.activations.serialize(keras.activations.get(activation))


def _name(activation: Any) -> Any:
    if isinstance(activation, dict):
        return activation["class_name"]
    if isinstance(activation, str):
        return activation
    return getattr(activation, "__name__", type(activation).__name__)


def _describe(initializer: Any) -> Any:
    name = getattr(initializer, "__name__", type(initializer).__name__)
    scale = getattr(initializer, "scale", None)
    return name if scale is None else f"{name}({scale:g})"
