"""TensorFlow: gradients of a few rows, `tf.IndexedSlices`."""

import tensorflow as tf


def is_sparse(gradient):
    return isinstance(gradient, tf.IndexedSlices)


def densify(gradient, xla=False):
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    if xla:  # XLA has no `unique`
        return tf.convert_to_tensor(gradient)
    rows, position = tf.unique(gradient.indices)
    return tf.math.unsorted_segment_sum(
        gradient.values, position, tf.size(rows)
    )


def to_dense(gradient):
    return tf.convert_to_tensor(gradient)


def values_of(gradient):
    # The numbers in a gradient: its rows if it is sparse.
    return gradient.values if is_sparse(gradient) else gradient


def with_values(gradient, values):
    if not is_sparse(gradient):
        return values
    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)


def take_rows(weight, gradient):
    if not is_sparse(gradient):
        return weight
    return tf.gather(weight, gradient.indices)


def merge_rows(gradient):
    if not is_sparse(gradient):
        return gradient
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
