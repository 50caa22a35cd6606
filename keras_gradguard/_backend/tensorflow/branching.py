"""TensorFlow: updates that happen or not."""

import tensorflow as tf
from keras import ops

from keras_gradguard._backend.choosing import choose_after
from keras_gradguard._backend.tensorflow.norms import is_compiled_by_xla
from keras_gradguard._backend.tensorflow.strategy import mirrors
from keras_gradguard._backend.tensorflow.values import read


def known_now(condition):
    # The bool `condition`, or `None` where the host cannot know it yet.
    return bool(condition) if tf.executing_eagerly() else None


def chooses_after(exact):
    # Whether `branch` runs both sides and then chooses.
    return exact and is_compiled_by_xla()


def branch(condition, then, otherwise, variables, exact=False):
    if chooses_after(exact):
        choose_after(condition, then, otherwise, variables, read=read)
        return
    context = tf.distribute.get_replica_context()
    if (
        context is None
        or not mirrors()
        or tf.__internal__.distribute.strategy_supports_no_merge_call()
    ):
        ops.cond(condition, then, otherwise)
        return

    # A branch that reduces over replicas must be chosen outside of them.
    # `then` holds the gradients of one replica: each has its own.
    def choose(strategy, condition, then):
        first = strategy.experimental_local_results(condition)[0]
        ops.cond(
            first,
            lambda: strategy.extended.call_for_each_replica(
                lambda function: function(), args=(then,)
            ),
            otherwise,
        )

    context.merge_call(choose, args=(condition, then))


def assert_in_graph(condition, message):
    if is_compiled_by_xla():
        return False
    tf.debugging.Assert(condition, [message])
    return True
