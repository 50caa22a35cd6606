"""TensorFlow: variables of ours, made while the step is traced."""

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable


def make_beside(value, name):
    # A function that makes a variable in its first trace is traced twice: so
    # this is none of its variables, but one that it finds. In a strategy's
    # scope the strategy makes it, or replicas would not agree on it.
    kind = tf.Variable if tf.distribute.has_strategy() else ResourceVariable
    with tf.init_scope():
        return kind(
            value(),
            trainable=False,
            name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
