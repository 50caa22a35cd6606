"""TensorFlow: what the host tells a compiled step, in a `tf.Variable`."""

import tensorflow as tf

from keras_gradguard._backend.tensorflow.strategy import replicas


class Flag:
    def __init__(self, name, raised):
        with tf.init_scope():
            self._value = tf.Variable(raised, trainable=False, name=name)

    def set(self, value):
        self._value.assign(value)

    def when_raised(self, function):
        if replicas() > 1:
            function()  # what chooses there must be outside of the replicas
            return

        def then():
            function()
            return 0

        tf.cond(self._value.read_value(), then, lambda: 0)
