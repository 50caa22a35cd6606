"""Counting the entries of a tensor by size, on TensorFlow."""

import tensorflow as tf


def bits(tensor):
    return tf.bitcast(tensor, tf.int32)


def bin_counts(bins, count, xla=False):
    if xla:
        wanted = tf.reshape(tf.range(count), (count,) + (1,) * bins.shape.rank)
        hits = tf.cast(bins[None] == wanted, "int32")
        return tf.reduce_sum(hits, axis=list(range(1, hits.shape.rank)))
    # Unlike `bincount`, it has a deterministic kernel on GPUs.
    bins = tf.reshape(bins, (-1,))
    bins = tf.where(bins < count, bins, -1)  # which is left out
    return tf.math.unsorted_segment_sum(tf.ones_like(bins), bins, count)
