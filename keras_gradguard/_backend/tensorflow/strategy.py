"""TensorFlow: the replicas of a `tf.distribute` strategy."""

import tensorflow as tf


def replicas():
    """Number of replicas in sync where the code runs."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica():
    """Position of the replica that the code runs on; 0 outside of all.

    None where one trace serves all of them.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0
    position = tf.get_static_value(context.replica_id_in_sync_group)
    return None if position is None else int(position)


def on_each_replica(function):
    """Run a function on every replica, also where all of them have met.

    Args:
        function: Callable without arguments, whose result is dropped.
    """
    if tf.distribute.in_cross_replica_context() and replicas() > 1:
        strategy = tf.distribute.get_strategy()
        strategy.extended.call_for_each_replica(function)
    else:
        function()


def reduce_over_replicas(tensors):
    """Sum of each tensor over the replicas.

    Args:
        tensors: List of tensors or `tf.IndexedSlices`.

    Returns:
        List of the same kinds, equal on every replica; `tensors` itself if
        there is one replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return list(tensors)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))
