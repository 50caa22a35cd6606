"""TensorFlow: vectors that leave the compiled step in a `tf.Variable`."""

import tensorflow as tf

from keras_gradguard._backend.outbox import SideOutbox
from keras_gradguard._backend.tensorflow.variables import make_beside


class Outbox(SideOutbox):
    """Carries a vector out of the compiled step, in a `tf.Variable`.

    Args:
        name: Name of the variable.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.
    """

    def __init__(self, name, adds_up):
        self._name = name
        self._adds_up = adds_up
        self._value = None

    def post(self, result, vector):
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            reduction = tf.distribute.ReduceOp.MEAN
            if self._adds_up:
                reduction = tf.distribute.ReduceOp.SUM
            vector = context.all_reduce(reduction, vector)
        shape = (vector.shape[0] + 1,)
        if self._value is None or self._value.shape != shape:
            self._value = make_beside(lambda: tf.zeros(shape), self._name)
        # The last entry counts the steps.
        vector = tf.concat([vector, [1.0]], axis=0)
        if self._adds_up:
            self._value.assign_add(vector)
        else:
            self._value.assign(vector)
        return result

    def take_later(self):
        return self.take()

    def take(self):
        if self._value is None:
            return None
        value = self._value.numpy()
        if not value[-1]:
            return None
        self._value.assign(tf.zeros_like(self._value))
        return value[:-1]
