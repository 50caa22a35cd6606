"""Arrays and variables of JAX."""

import jax
import jax.numpy as jnp
import numpy as np


def float64():
    """Context in which new arrays may be float64."""
    enable = getattr(jax, "enable_x64", None)
    if not callable(enable):
        from jax.experimental import enable_x64 as enable
    return enable(True)


def read(variable):
    """Value of a Keras variable as an array."""
    value = getattr(variable, "value", variable)
    return jnp.asarray(value)


copy = read  # arrays are immutable


def native(variable):
    """The variable: JAX has none of its own."""
    return variable


def gradients(function, values):
    """Value of a scalar function of a list of arrays, and its gradients."""
    # Step by step, each operation would be compiled by itself.
    value, grads = jax.jit(jax.value_and_grad(function))(list(values))
    return value, list(grads)


def run_whole(function, *arguments):
    """Run a function as one compiled program."""
    return jax.jit(function)(*arguments)


def take_flat(array, positions):
    """Chosen entries of an array, or all (None), as a vector."""
    flat = jnp.reshape(array, (-1,))
    return flat if positions is None else jnp.take(flat, positions)


def batch_sizes(arrays):
    """Length of the first axis of each array, float32 of shape `(n,)`."""
    return jnp.asarray([array.shape[0] for array in arrays], "float32")


def compiled(function):
    """The function, compiled."""
    return jax.jit(function)


def constant(values, dtype, like):
    """Tensor of Python numbers.

    Args:
        values: List of numbers.
        dtype: Str.
        like: Not used: the compiler puts it where it is needed.
    """
    del like
    return jnp.asarray(values, dtype)


def to_numpy(tensor):
    """Host copy of an array, or of a ring's `snapshot` as one array."""
    if isinstance(tensor, tuple):
        store, cursor = (np.asarray(part) for part in tensor)
        last = np.zeros((1, store.shape[1]), store.dtype)
        last[0, 0] = cursor
        return np.concatenate([store, last])
    return np.asarray(tensor)


def is_end_of_data(error):
    """Whether an exception only says that the data set is exhausted."""
    return isinstance(error, StopIteration)


def detach(tensor):
    """The array, cut off from the gradient."""
    return jax.lax.stop_gradient(tensor)


def level(arguments):
    """The trace that a step runs in: where its arguments live.

    Args:
        arguments: Whatever the step was called with.
    """
    for leaf in jax.tree_util.tree_leaves(arguments):
        if isinstance(leaf, jax.core.Tracer):
            return getattr(leaf, "_trace", None)
    return None


def at_level(tensor, level):
    """Whether an array may be used in a trace, and not only in one inside."""
    if not isinstance(tensor, jax.core.Tracer):
        return True
    return getattr(tensor, "_trace", None) is level
