"""Tensors and variables of TensorFlow."""

import numpy as np
import tensorflow as tf


def read(variable):
    value = getattr(variable, "value", variable)
    if isinstance(value, tf.Variable):
        return value.read_value()
    return tf.convert_to_tensor(value() if callable(value) else value)


def copy(variable):
    return tf.identity(read(variable))


def gradients_of(function):
    def run(values, *rest):
        values = [tf.convert_to_tensor(value) for value in values]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            value, more = function(values, *rest)
        grads = [
            None if grad is None else tf.convert_to_tensor(grad)
            for grad in tape.gradient(value, values)
        ]
        return value, grads, more

    return run


def take_flat(tensor, positions):
    flat = tf.reshape(tensor, (-1,))
    return flat if positions is None else tf.gather(flat, positions)


def batch_sizes(tensors):
    if len({tensor.dtype for tensor in tensors}) > 1:  # Not for `shape_n`.
        sizes = [tf.shape(tensor)[0] for tensor in tensors]
        return tf.cast(tf.stack(sizes), "float32")
    ranks = [len(tensor.shape) for tensor in tensors]
    shapes = tf.concat(tf.shape_n(tensors), axis=0)
    return tf.cast(tf.gather(shapes, np.cumsum(ranks) - ranks), "float32")


def compiled(function):
    # The function, compiled.
    return tf.function(function)


def constant(values, dtype, like):
    del like
    return tf.constant(values, dtype)


def to_numpy(tensor):
    # Host copy of a tensor.
    return np.asarray(tensor)


def on_host(tensors):
    if any(_is_elsewhere(tensor) for tensor in tensors):
        return None
    return [np.asarray(tensor) for tensor in tensors]


def _is_elsewhere(tensor):
    return "CPU" not in getattr(tensor, "device", "")


def at_hand(structure):
    # A step that is compiled has none.
    del structure


def compiles_steps():
    return True


def is_end_of_data(error):
    return isinstance(error, StopIteration | tf.errors.OutOfRangeError)


def detach(tensor):
    return tf.stop_gradient(tensor)


def level(arguments):
    # The graph that a step runs in, None if it runs eagerly.
    del arguments
    return tf.compat.v1.get_default_graph() if tf.inside_function() else None


def at_level(tensor, level):
    return (
        getattr(tensor, "graph", None) is level if level else _is_eager(tensor)
    )


def _is_eager(tensor):
    return not tf.is_symbolic_tensor(tensor)
