"""TensorFlow: the replicas of a `tf.distribute` strategy."""

import tensorflow as tf


def replicas():
    # Number of replicas in sync where the code runs.
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica():
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0
    position = tf.get_static_value(context.replica_id_in_sync_group)
    return None if position is None else int(position)


def on_each_replica(function):
    if tf.distribute.in_cross_replica_context() and replicas() > 1:
        strategy = tf.distribute.get_strategy()
        strategy.extended.call_for_each_replica(function)
    else:
        function()


def reduce_over_replicas(tensors):
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return list(tensors)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))
