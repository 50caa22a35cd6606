"""Gives dead units another chance: ReDo (Sokar et al. 2023).

A dead unit gets fresh incoming weights from its layer's own initializer and
outgoing weights of zero, so that the model computes what it did before; the
optimizer's moments of these weights start anew. Source: "The Dormant Neuron
Phenomenon in Deep Reinforcement Learning", arXiv:2302.12902, algorithm 1.
"""

from typing import Any

import keras
import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models import layers as layers_lib
from keras_gradguard.models import optimizers

_L = keras.layers
_KERNELS = (_L.Dense, _L.Conv1D, _L.Conv2D, _L.Conv3D)


class NotDefined(Exception):
    """Why dead units of a layer are left alone."""


class Reviver:
    """Revives dead units of one model.

    Args:
        model: A Keras model.
        seed: Integer, or None for one from Keras's global seed.
    """

    def __init__(self, model, seed):
        self._model = model
        state = keras.random.SeedGenerator(seed).state
        self._seed = int(keras.ops.convert_to_numpy(state)[0])
        self._nodes: Any = graph.nodes(model) if graph.is_graph(model) else None

    def revive(self, dead_units, epoch):
        """Revive the dead units of each layer, where that is well defined.

        Args:
            dead_units: Dict from layer path to an int array of indices.
            epoch: Integer, part of the seed.

        Returns:
            Dict from layer path to the number of revived units, or to a str:
            why they were left alone. Layers without dead units are left out.
        """
        result: dict[str, int | str] = {}
        for at, (path, units) in enumerate(dead_units.items()):
            if not len(units):
                continue
            try:
                self._revive_layer(path, units, (self._seed, epoch, at))
                result[path] = len(units)
            except NotDefined as reason:
                result[path] = str(reason)
        return result

    def _revive_layer(self, path, units, seeds):
        if self._nodes is None:
            raise NotDefined(
                "the model is subclassed, so it is not known which layers "
                "take its output"
            )
        node = self._node(path)
        source, norms = _source(node)
        changes = _fresh(source.layer, units, seeds)
        for norm in norms:
            changes.extend(_normalization(norm.layer, units))
        width = int(source.layer.kernel.shape[-1])
        for consumer in _consumers(node):
            changes.append(_without(consumer, units, width))
        for variable, _ in changes:
            if not variable.trainable and variable is source.layer.kernel:
                raise NotDefined("its weights are frozen")
        for variable, (where, values) in changes:
            self._assign(variable, where, values)

    def _node(self, path):
        for node in self._nodes:
            if layers_lib.layer_path(node.layer) == path:
                return node
        raise NotDefined("it is not a layer of the graph")

    def _assign(self, variable, where, values):
        changed = np.array(keras.ops.convert_to_numpy(variable.value))
        changed[where] = values
        variable.assign(changed)
        for optimizer in optimizers.leaves(self._model.optimizer):
            _reset_moments(optimizer, variable, where, values)


def _source(node):
    """The layer whose weights make the units, and norms in between."""
    norms = []
    while not isinstance(node.layer, _KERNELS):
        if isinstance(node.layer, _L.BatchNormalization):
            norms.append(node)
        elif not isinstance(
            node.layer, (*graph.ACTIVATIONS, *graph.SAME_UNITS)
        ):
            raise NotDefined(
                f"its input comes from a {type(node.layer).__name__}, not "
                "from one Dense or Conv layer"
            )
        if len(node.sources) != 1:
            raise NotDefined("its input comes from several layers")
        (node,) = node.sources
        if len(node.consumers) != 1:
            raise NotDefined(f"{node.layer.name} has other uses, too")
    if getattr(node.layer, "data_format", None) == "channels_first":
        raise NotDefined("it is in the format channels_first")
    return node, norms


def _consumers(node):
    """Pairs of a layer that takes the units, and its Flatten or None."""
    found, stack = [], [(after, None) for after in node.consumers]
    if not stack:
        raise NotDefined("its units are the outputs of the model")
    while stack:
        after, flat = stack.pop()
        layer = after.layer
        if isinstance(layer, _KERNELS):
            found.append((layer, flat))
            continue
        if isinstance(layer, _L.Flatten):
            flat = after
        elif not isinstance(layer, (*graph.SAME_UNITS, _L.BatchNormalization)):
            raise NotDefined(
                f"its output goes into a {type(layer).__name__}, from which "
                "it cannot be taken out"
            )
        if not after.consumers:
            raise NotDefined("its units are the outputs of the model")
        stack.extend((more, flat) for more in after.consumers)
    return found


def _fresh(layer, units, seeds):
    """New incoming weights of some units."""
    if getattr(layer, "groups", 1) != 1:
        raise NotDefined("its convolution is grouped")
    initializer = layer.kernel_initializer
    config = initializer.get_config()
    if "seed" in config:
        seed = np.random.SeedSequence(seeds).generate_state(1)[0]
        # Keras 3.10 keeps it as an int32 on torch.
        config["seed"] = int(seed) >> 1
        initializer = type(initializer).from_config(config)
    kernel = layer.kernel
    drawn = keras.ops.convert_to_numpy(
        initializer(tuple(kernel.shape), dtype="float32")
    )
    changes: list = [(kernel, ((..., units), drawn[..., units]))]
    if layer.bias is not None:
        bias = layer.bias_initializer(tuple(layer.bias.shape), dtype="float32")
        bias = keras.ops.convert_to_numpy(bias)
        changes.append((layer.bias, ((units,), bias[units])))
    return changes


def _normalization(layer, units):
    """Statistics and parameters of some channels, as at the start."""
    changes = []
    for name, value in (
        ("gamma", 1.0),
        ("beta", 0.0),
        ("moving_mean", 0.0),
        ("moving_variance", 1.0),
    ):
        variable = getattr(layer, name, None)
        if variable is not None:
            changes.append((variable, ((units,), value)))
    return changes


def _without(consumer, units, width):
    """Outgoing weights of zero."""
    layer, flat = consumer
    rows = int(layer.kernel.shape[-2])
    if flat is not None:
        units = np.flatnonzero(np.isin(np.arange(rows) % width, units))
    elif rows != width:
        raise NotDefined(f"the inputs of {layer.name} are not its units")
    return layer.kernel, ((..., units, slice(None)), 0.0)


def _reset_moments(optimizer, variable, where, values):
    """Let the optimizer's state of some weights start anew."""
    updated = keras_private.updated_variables(optimizer)
    ours = {id(v): at for at, v in enumerate(updated)}
    at = ours.get(id(variable))
    if at is None:
        return
    averages = keras_private.averages(optimizer)
    accumulators = keras_private.accumulators(optimizer)
    for slots in vars(optimizer).values():
        if not isinstance(slots, list) or len(slots) != len(ours):
            continue
        slot = slots[at]
        if slot is variable or not hasattr(slot, "assign"):
            continue
        if tuple(slot.shape) != tuple(variable.shape):
            continue
        state = np.array(keras.ops.convert_to_numpy(slot.value))
        if slots is averages:
            state[where] = values
        elif slots is accumulators:
            state[where] = optimizer.initial_accumulator_value
        else:
            state[where] = 0.0
        slot.assign(state)
