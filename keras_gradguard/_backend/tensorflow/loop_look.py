"""TensorFlow: a pass forward beside a compiled step of the user's own.

The step's graph stays as it is: to read a layer in it changes what TensorFlow
fuses, and the last bits of the weights. What the step calls the model on is
found among the arguments of its `tf.function`, and the pass runs on these,
with the weights from before the step.
"""

import inspect
from typing import Any

import numpy as np
import tensorflow as tf

from keras_gradguard._backend import once_more
from keras_gradguard._backend import randomness
from keras_gradguard._backend.errors import MakesItsBatchError
from keras_gradguard._backend.tensorflow.look import Held
from keras_gradguard._backend.tensorflow.look import check_graph


class LoopLook:
    def __init__(self, model, tap):
        self._model = model
        self._tap = tap
        self._held = Held(model)
        self._structures: dict = {}
        self._outputs: Any = None
        self._training: Any = None
        self._values: Any = None
        self._given: Any = None
        self._functions: dict = {}
        self._xla = False
        self.is_looking = False

    # While the step is traced

    @property
    def keeps(self):
        return "x" in self._structures

    def before(self):
        return None  # The host reads them, in front of the call.

    def keep(self, inputs, training, outputs, state, xla):
        del state
        self._structures.clear()
        self._xla, self._training = xla, training
        self._outputs = outputs
        self._structures["x"] = self._found("x", inputs)

    def keep_targets(self, given):
        if not self.keeps or given.get("y_pred") is not self._outputs:
            return
        names = "y", "sample_weight"
        self._structures.update(
            {name: self._found(name, given.get(name)) for name in names}
        )

    def _found(self, name, structure):
        """Structure with the place of each tensor among the arguments."""

        def found(leaf):
            if not tf.is_tensor(leaf) or not tf.is_symbolic_tensor(leaf):
                return leaf
            graph = leaf.graph
            at = [i for i, one in enumerate(graph.inputs) if one is leaf]
            if not at or graph.outer_graph.building_function:
                raise MakesItsBatchError(name)
            return _Argument(name, at[0], leaf.dtype, leaf.shape)

        return tf.nest.map_structure(found, structure)

    # Around a call of it

    def hold(self, function, arguments):
        with tf.init_scope():
            self._values = self._held.now()
            self._given = [
                # The next batch may be written into the same array.
                np.array(leaf) if isinstance(leaf, np.ndarray) else leaf
                for leaf in _tensors_of(function, *arguments)
            ]

    def look_inside(self, level, step, due):
        """It runs outside."""

    def arrived(self):
        return []

    def drop(self):
        self._values = self._given = None

    def look(self):
        values, given = self._values, self._given
        batch = tf.nest.map_structure(
            lambda leaf: (
                leaf.among(given) if isinstance(leaf, _Argument) else leaf
            ),
            dict(self._structures),
        )
        key = self._xla, self._training
        if key not in self._functions:
            self._functions[key] = tf.function(
                self._measure, jit_compile=self._xla or None, autograph=False
            )
        self.is_looking = True
        try:
            with randomness.kept():
                traced = self._functions[key].get_concrete_function(
                    batch, values
                )
            check_graph(traced.graph)
            return self._functions[key](batch, values)
        finally:
            self.is_looking = False

    def _measure(self, batch, values):
        def forward():
            with self._held.scope(values):
                once_more.forward(self._model, batch, self._training)

        return self._tap.packed(self._tap.gather(forward, (batch,)))


class _Argument:
    """The place of a tensor among the arguments of a compiled step."""

    def __init__(self, name, at, dtype, shape):
        self._name = name
        self._at = at
        self._dtype, self._shape = dtype, shape

    def among(self, given):
        # What the function only finds is behind its arguments.
        if given is None or self._at >= len(given):
            raise MakesItsBatchError(self._name)
        tensor = tf.convert_to_tensor(given[self._at])
        fits = self._shape.is_compatible_with(tensor.shape)
        if tensor.dtype != self._dtype or not fits:
            raise MakesItsBatchError(self._name)
        return tensor


def _tensors_of(function, args, kwargs):
    """List of the arguments that are placeholders in the function's graph."""
    if kwargs:
        signature = inspect.signature(function.python_function)
        args = list(signature.bind(*args, **kwargs).arguments.values())
    leaves = tf.nest.flatten(args, expand_composites=True)
    kinds = tf.Tensor, np.ndarray, np.generic
    return [leaf for leaf in leaves if isinstance(leaf, kinds)]
