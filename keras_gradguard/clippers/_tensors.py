"""What the clippers need to know of a backend: sparse rows, barriers.

Everything else in this folder is plain `keras.ops`.
"""

import keras
from keras import ops

from keras_gradguard import _backend


def is_sparse(gradient):
    """Whether `gradient` is a `tf.IndexedSlices`: some rows of a matrix."""
    return keras.backend.backend() == "tensorflow" and hasattr(
        gradient, "dense_shape"
    )


def values_of(gradient):
    """The numbers in `gradient`: its rows if it is sparse."""
    return gradient.values if is_sparse(gradient) else gradient


def with_values(gradient, values):
    """`gradient` with other numbers, as sparse as it was."""
    if not is_sparse(gradient):
        return values
    import tensorflow as tf

    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)


def merge_rows(gradient):
    """Sum the rows of a sparse gradient that belong to the same index.

    The shape stays as it is, so that XLA can compile it: rows that became
    free hold zeros and a valid index.

    Args:
        gradient: Tensor, or `tf.IndexedSlices` with repeated indices.

    Returns:
        A gradient of the same kind, each of whose indices has one row that
        is not zero at most.
    """
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    order = tf.argsort(gradient.indices)
    indices = tf.gather(gradient.indices, order)
    is_new = tf.cast(indices[1:] != indices[:-1], "int32")
    segment = tf.concat([tf.zeros_like(indices[:1], "int32"), is_new], 0)
    segment = tf.cumsum(segment)
    count = tf.shape(indices)[0]
    rows = tf.math.unsorted_segment_sum(
        tf.gather(gradient.values, order), segment, count
    )
    last = tf.math.unsorted_segment_max(indices, segment, count)
    # The largest of no index is the lowest integer: it becomes 0.
    return tf.IndexedSlices(
        rows, tf.maximum(last, 0), dense_shape=gradient.dense_shape
    )


def to_dense(gradient):
    """`gradient` as one tensor."""
    return ops.convert_to_tensor(gradient)


def current_value(variable):
    """The value that `variable` has now, also if it is assigned to later."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras would give the `tf.Variable` itself.
        return tf.convert_to_tensor(variable.value)
    return ops.convert_to_tensor(variable)


def barriered(tensors):
    """Copies of `tensors` that XLA does not fuse with their other readers.

    A statistic that reads the gradients would otherwise change how XLA fuses
    the update, and with it the last bits of the weights. The originals stay
    as they are, for the update.

    Args:
        tensors: List of tensors, none of them sparse.

    Returns:
        List of tensors with the same values.
    """
    return list(_backend.current().barrier(tensors, is_compiled_by_xla()))


def is_compiled_by_xla():
    """Whether TensorFlow traces a function with `jit_compile=True`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return not tf.executing_eagerly() and (
        control_flow_util.GraphOrParentsInXlaContext(
            tf.compat.v1.get_default_graph()
        )
    )
