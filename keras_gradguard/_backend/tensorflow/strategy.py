"""TensorFlow: the replicas of a `tf.distribute` strategy."""

import tensorflow as tf

# TensorFlow tells collective operations apart by numbers, which each strategy
# counts from 100. It remembers the shapes of those of strategies before.
_FIRST_KEY, _KEYS_EACH, _LAST_KEY = 1 << 28, 1 << 22, (1 << 31) - 1
_apart: list = []


def replicas():
    # Number of replicas in sync where the code runs.
    return tf.distribute.get_strategy().num_replicas_in_sync


def mirrors():
    # Whether variables made here are mirrored, be it on one device alone.
    strategy = tf.distribute.get_strategy()
    mirrored = tf.distribute.MirroredStrategy
    return replicas() > 1 or isinstance(strategy, mirrored)


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


def keep_collectives_apart(model=None):
    strategy = getattr(model, "distribute_strategy", None)
    strategy = strategy or tf.distribute.get_strategy()
    # Public is nothing of this; without it all is as it was.
    keys = getattr(strategy.extended, "_collective_keys", None)
    table = getattr(keys, "_instance_key_table", None)
    one_process = isinstance(strategy, tf.distribute.MirroredStrategy)
    if not table or not one_process or any(t is table for t in _apart):
        return
    first = _FIRST_KEY
    for other in _apart:
        latest = max(max(group.values()) for group in other.values())
        first = max(first, (latest // _KEYS_EACH + 1) * _KEYS_EACH)
    if first + _KEYS_EACH > _LAST_KEY:
        return
    _apart.append(table)
    for group in table.values():
        group.update(dict.fromkeys(group, first))
