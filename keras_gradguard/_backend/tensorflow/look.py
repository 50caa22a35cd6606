"""TensorFlow: one look at a batch, and the weights that it sees."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from keras_gradguard._backend import randomness
from keras_gradguard._backend.eager import native
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._backend.tensorflow.values import read

# Ops that count as stateful, and do nothing when they run again.
_HARMLESS = (
    "Assert",
    "Case",
    "CudnnRNN",
    "If",
    "LookupTableFind",
    "ReadVariableOp",
    "ResourceGather",
    "Stateless",
    "StatefulPartitionedCall",
    "VarHandleOp",
    "While",
)


class Look:
    # One function of a batch, until it fails.

    def __init__(self, function, held, send, on_failure, xla):
        # One function, since TensorFlow may trace the step twice.
        self._function: Any = tf.function(
            function, jit_compile=xla or None, autograph=False
        )
        self._held = held
        self._send = send
        self._on_failure = on_failure
        # What a batch was like, and the function of it.
        self._latest: Any = (None, None)

    @property
    def works(self):
        return self._function is not None

    def traced(self, data, beside=False):
        """The function of such a batch, or None.

        Args:
            data: The batch, or its specification.
            beside: Whether it is to run outside of the step.
        """
        if self._function is None:
            return None
        try:
            values = self._held.now() if beside else self._held.read()
            with randomness.kept():
                traced = self._function.get_concrete_function(data, values)
            check_graph(traced.graph)
            return traced
        except Exception as error:
            self._fail(error)
            return None

    def __call__(self, data):
        self._send(self._function(data, self._held.read()))

    def beside(self, data, structure):
        """Look at a batch outside of the step.

        Args:
            data: The batch.
            structure: What the step knows of it: its size may be unknown.
        """
        known, traced = self._latest
        if known is None or known != structure:
            traced = self.traced(structure, beside=True)
            self._latest = structure, traced
        if traced is None:
            return
        try:
            self._send(traced(data, self._held.now()))
        except Exception as error:
            self._fail(error)

    def _fail(self, error):
        self._function = None
        self._on_failure(error)


class Held:
    """What a model's variables held before a step.

    A look at the variables themselves would have the whole step wait for it.
    It does not wait for its batch, where it needs none: its counter counts
    batches that never came.

    Args:
        model: A Keras model, built.
    """

    def __init__(self, model):
        self._variables = list(model.variables)
        self._empty = [
            tf.zeros((0,), native(variable).dtype)
            for variable in self._variables
        ]
        with tf.init_scope():
            self._values = [
                tf.Variable(none, trainable=False, shape=tf.TensorShape(None))
                for none in self._empty
            ]

    def fill(self):
        """Hold them, without a copy, until `clear`."""
        for value, variable in zip(self._values, self._variables, strict=True):
            value.assign(read(variable))

    def clear(self):
        """Let them go."""
        for value, none in zip(self._values, self._empty, strict=True):
            value.assign(none)

    def read(self):
        """List of tensors: what is held, inside of a graph."""
        return [
            tf.ensure_shape(value.read_value(), variable.shape)
            for value, variable in zip(
                self._values, self._variables, strict=True
            )
        ]

    def now(self):
        """List of tensors: what the variables hold, outside of a graph."""
        return [tf.convert_to_tensor(read(v)) for v in self._variables]

    def scope(self, values):
        """Scope in which the variables have values.

        Args:
            values: List of what `read` returned.
        """
        pairs = list(zip(self._variables, values, strict=True))
        return keras.StatelessScope(pairs, collect_losses=True)


def draw_of_its_own():
    if tf.executing_eagerly():
        return None
    for kind in _stateful_kinds(tf.compat.v1.get_default_graph()):
        # Generators and Keras keep theirs in variables.
        if any(attribute.name == "seed2" for attribute in kind.attr):
            return kind.name
    return None


def check_runs_again(function, data):
    with randomness.kept():
        traced = tf.function(function, autograph=False)
        graph = traced.get_concrete_function(data).graph
    check_graph(graph)


def check_graph(graph):
    """Raise where a graph does something besides computing."""
    for kind in _stateful_kinds(graph):
        raise CannotRunAgainError(f"calls {kind.name} of TensorFlow")


def _stateful_kinds(graph):
    """List of the kinds of operations that do something besides computing."""
    definition = graph.as_graph_def()
    names = {node.op for node in definition.node}
    for function in definition.library.function:
        names |= {node.op for node in function.node_def}
    kinds = [op_def_registry.get(name) for name in sorted(names)]
    return [
        kind
        for kind in kinds
        if kind is not None
        and kind.is_stateful
        and not kind.name.startswith(_HARMLESS)
    ]
