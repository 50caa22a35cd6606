"""Tensors and variables of TensorFlow."""

import contextlib

import numpy as np
import tensorflow as tf


def float64():
    """Context in which new arrays may be float64."""
    return contextlib.nullcontext()


def read(variable):
    """Value of a Keras or TensorFlow variable as a tensor."""
    value = getattr(variable, "value", variable)
    if isinstance(value, tf.Variable):
        return value.read_value()
    return tf.convert_to_tensor(value() if callable(value) else value)


def copy(variable):
    """Value of a variable that a later assignment does not change."""
    return tf.identity(read(variable))


def native(variable):
    """The `tf.Variable` of a Keras variable, which a user may pass as well."""
    return getattr(variable, "_value", variable)


def gradients(function, values):
    """Value of a scalar function of a list of tensors, and its gradients."""
    values = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = function(values)
    return value, [
        None if grad is None else tf.convert_to_tensor(grad)
        for grad in tape.gradient(value, values)
    ]


def run_whole(function, *arguments):
    """Run a function: step by step is fast enough here."""
    return function(*arguments)


def take_flat(tensor, positions):
    """Chosen entries of a tensor, or all (None), as a vector."""
    flat = tf.reshape(tensor, (-1,))
    return flat if positions is None else tf.gather(flat, positions)


def batch_sizes(tensors):
    """Length of the first axis of each tensor, float32 of shape `(n,)`."""
    ranks = [len(tensor.shape) for tensor in tensors]
    shapes = tf.concat(tf.shape_n(tensors), axis=0)
    return tf.cast(tf.gather(shapes, np.cumsum(ranks) - ranks), "float32")


def compiled(function):
    """The function, compiled."""
    return tf.function(function)


def constant(values, dtype, like):
    """Tensor of Python numbers.

    Args:
        values: List of numbers.
        dtype: Str.
        like: Not used: the compiler puts it where it is needed.
    """
    del like
    return tf.constant(values, dtype)


def to_numpy(tensor):
    """Host copy of a tensor."""
    return np.asarray(tensor)


def is_end_of_data(error):
    """Whether an exception only says that the data set is exhausted."""
    return isinstance(error, StopIteration | tf.errors.OutOfRangeError)


def detach(tensor):
    """The tensor, cut off from the gradient."""
    return tf.stop_gradient(tensor)


def level(arguments):
    """The graph that a step runs in, None if it runs eagerly."""
    del arguments
    return tf.compat.v1.get_default_graph() if tf.inside_function() else None


def at_level(tensor, level):
    """Whether a tensor may be used in a graph, and not only in one inside."""
    return (
        getattr(tensor, "graph", None) is level if level else _is_eager(tensor)
    )


def _is_eager(tensor):
    return not tf.is_symbolic_tensor(tensor)
