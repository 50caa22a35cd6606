"""What stands before and after each layer of a model, nested ones included.

Read off the graph that Keras keeps of a functional model, so that its layers
need no config.
"""

import dataclasses
import math

import keras

from keras_gradguard.models import keras_private
from keras_gradguard.models.kinds import LAYERS

_L = keras.layers
# What leaves the units of its input where they are.
SAME_UNITS = (
    _L.Dropout,
    _L.AlphaDropout,
    _L.SpatialDropout1D,
    _L.SpatialDropout2D,
    _L.SpatialDropout3D,
    _L.GaussianDropout,
    _L.GaussianNoise,
    _L.Identity,
    _L.ZeroPadding1D,
    _L.ZeroPadding2D,
    _L.ZeroPadding3D,
    _L.Cropping1D,
    _L.Cropping2D,
    _L.Cropping3D,
    _L.UpSampling1D,
    _L.UpSampling2D,
    _L.UpSampling3D,
    _L.MaxPooling1D,
    _L.MaxPooling2D,
    _L.MaxPooling3D,
    _L.AveragePooling1D,
    _L.AveragePooling2D,
    _L.AveragePooling3D,
    _L.GlobalAveragePooling1D,
    _L.GlobalAveragePooling2D,
    _L.GlobalAveragePooling3D,
    _L.GlobalMaxPooling1D,
    _L.GlobalMaxPooling2D,
    _L.GlobalMaxPooling3D,
)
# What has no weights and leaves the size of the signal about as it is.
KEPT = (
    *SAME_UNITS,
    _L.Flatten,
    _L.Reshape,
    _L.Permute,
    _L.Masking,
    _L.RepeatVector,
)
NORMALIZATIONS = (
    _L.BatchNormalization,
    _L.LayerNormalization,
    _L.GroupNormalization,
    _L.UnitNormalization,
    _L.RMSNormalization,
)
ACTIVATIONS = (_L.Activation, _L.ReLU, _L.LeakyReLU, _L.ELU, _L.PReLU)
_NOT_ELEMENTWISE = {"softmax", "log_softmax", "glu", "sparsemax"}


@dataclasses.dataclass(slots=True)
class Node:
    """A layer and its neighbours.

    Attributes:
        key: Where it is: names of the models around it and its own, by `/`.
        layer: The layer, or an operation of a functional graph.
        sources: Nodes whose output it takes, over all its calls.
        consumers: Nodes that take its output.
    """

    key: str
    layer: object
    sources: list = dataclasses.field(default_factory=list)
    consumers: list = dataclasses.field(default_factory=list)

    @property
    def inner(self):
        """The layer that a `TimeDistributed` or `Bidirectional` wraps."""
        if isinstance(self.layer, _L.TimeDistributed | _L.Bidirectional):
            inside = self.layer
            while isinstance(inside, _L.TimeDistributed | _L.Bidirectional):
                inside = (
                    inside.layer
                    if isinstance(inside, _L.TimeDistributed)
                    else inside.forward_layer
                )
            return inside
        return self.layer

    @property
    def kind(self):
        """Name of its class if it has weights of a known layout, or None."""
        name = type(self.inner).__name__
        known = getattr(_L, name, None) is type(self.inner)
        return name if known and name in LAYERS else None

    @property
    def activation(self):
        """Its own activation where that is elementwise and not linear."""
        layer = self.inner
        if isinstance(layer, ACTIVATIONS) and not isinstance(
            layer, _L.Activation
        ):
            return layer
        function = getattr(layer, "activation", None)
        name = getattr(function, "__name__", None)
        if function is None or name == "linear" or name in _NOT_ELEMENTWISE:
            return None
        return function


def is_graph(model):
    """Tell whether a model is Sequential or functional, not subclassed.

    Args:
        model: A Keras model or layer.

    Returns:
        True or False.
    """
    return isinstance(model, keras.Sequential | keras.Function)


def first_nodes(model):
    """Return the nodes with no weights before and no normalization behind.

    Args:
        model: A `Sequential` or functional model, built.
    """
    norms = (*NORMALIZATIONS, _L.Normalization)
    return [
        node
        for node in nodes(model)
        if not _has_weights_before(node)
        and not any(isinstance(a.layer, norms) for a in node.consumers)
    ]


def _has_weights_before(node):
    stack, seen = list(node.sources), set()
    while stack:
        before = stack.pop()
        if id(before) in seen:
            continue
        seen.add(id(before))
        if getattr(before.layer, "weights", None):
            return True
        stack.extend(before.sources)
    return False


def values_of_a_row(model):
    """Return how many values the layers of a model compute of each row.

    Args:
        model: A `Sequential` or functional model, built.

    Returns:
        Int, steps of recurrent layers included; None where the shapes of the
        data decide it.
    """
    total = 0
    for node in nodes(model):
        try:
            shapes = [t.shape for t in keras.tree.flatten(node.layer.output)]
            if isinstance(node.layer, _L.RNN | _L.Bidirectional):
                # Each step gives as much, of which the last may be left.
                steps = node.layer.input.shape[1]
                shapes = [(None, steps, *s[-1:]) for s in shapes[:1]]
        except (AttributeError, ValueError):  # It is called several times.
            return None
        for shape in shapes:
            if None in shape[1:]:
                return None
            total += math.prod(shape[1:])
    return total


def sublayers(layer):
    """List all layers inside a layer or model, however they are held.

    Args:
        layer: A Keras layer or model.

    Returns:
        List of layers, each once, `layer` itself left out.
    """
    found, stack = {}, list(vars(layer).values())
    while stack:
        value = stack.pop(0)
        if isinstance(value, _L.Layer):
            if id(value) not in found and value is not layer:
                found[id(value)] = value
                stack.extend(vars(value).values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
    return list(found.values())


def nodes(model):
    """List the layers of a model, nested models opened, in forward order.

    Args:
        model: A Sequential or functional model.

    Returns:
        List of `Node`. A shared layer has one node.
    """
    found: dict = {}
    _open(model, "", [], found)
    return list(found.values())


def _open(model, prefix, before, found):
    """Add the nodes of a model; return those that its output comes from."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            before = _place(layer, prefix, before, found)
        return before
    inputs, sources_of, ends_with = keras_private.calls_of(model)
    ends: dict = {}
    for operation in model.operations:
        if any(operation is given for given in inputs):
            # One source an input where they can be told apart.
            several = len(before) == len(inputs)
            ends[id(operation)] = (
                [before[_index(inputs, operation)]] if several else list(before)
            )
            continue
        sources = []
        for source in sources_of.get(id(operation), []):
            sources.extend(ends.get(id(source), []))
        ends[id(operation)] = _place(operation, prefix, sources, found)
    outputs = []
    for operation in ends_with:
        outputs.extend(ends[id(operation)])
    return outputs


def _index(operations, wanted):
    return next(i for i, one in enumerate(operations) if one is wanted)


def _place(layer, prefix, sources, found):
    if is_graph(layer):
        return _open(layer, f"{prefix}{layer.name}/", sources, found)
    if isinstance(layer, _L.InputLayer):
        return sources
    node = found.setdefault(id(layer), Node(prefix + layer.name, layer))
    for source in sources:
        if source not in node.sources:
            node.sources.append(source)
            source.consumers.append(node)
    return [node]


def source_activation(node):
    """Return the node of the activation whose output a layer takes.

    Args:
        node: A `Node`.

    Returns:
        The `Node`, or None where the layer takes data, a normalized or linear
        signal, or a mixture.
    """
    if len(node.sources) != 1:
        return None
    before = node.sources[0]
    if before.activation is not None:
        return before
    if isinstance(before.layer, KEPT):
        return source_activation(before)
    return None


def following_activation(node):
    """Return the node of the activation that a layer's output goes into.

    Args:
        node: A `Node`.

    Returns:
        The node itself where its activation is its own, or None.
    """
    if node.activation is not None:
        return node
    if len(node.consumers) != 1:
        return None
    after = node.consumers[0]
    if isinstance(after.layer, ACTIVATIONS):
        return after if after.activation is not None else None
    if isinstance(after.layer, (*KEPT, *NORMALIZATIONS)):
        return following_activation(after)
    return None


def is_output(node):
    """Tell whether no layer with weights of its own comes after a layer.

    Args:
        node: A `Node`.

    Returns:
        True for the last layers of a model, and for what follows them.
    """
    seen, stack = set(), list(node.consumers)
    while stack:
        after = stack.pop()
        if id(after) in seen:
            continue
        seen.add(id(after))
        if after.kind is not None or (
            getattr(after.layer, "weights", None)
            and not isinstance(after.layer, (*NORMALIZATIONS, *ACTIVATIONS))
        ):
            return False
        stack.extend(after.consumers)
    return True


def feeds(node, names):
    """Tell whether a layer's output goes into an operation of some name.

    Args:
        node: A `Node`.
        names: Class names.

    Returns:
        True or False; dropout, reshaping and normalization in between do not
        count.
    """
    for after in node.consumers:
        if type(after.layer).__name__ in names:
            return True
        passes = (*KEPT, *NORMALIZATIONS, *ACTIVATIONS)
        if isinstance(after.layer, passes) and feeds(after, names):
            return True
    return False
