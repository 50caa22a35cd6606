"""TensorFlow: a ring of records in `tf.Variable`s."""

from typing import Any

import tensorflow as tf

from keras_gradguard._backend import ring_layout
from keras_gradguard._backend.tensorflow.strategy import mirrors
from keras_gradguard._backend.tensorflow.variables import make_beside


class Ring:
    def __init__(self, rows, columns, optimizer, name):
        del optimizer
        self.rows = rows
        self._columns = columns
        self._store = _Store(rows, columns, name)
        self._amended: Any = None
        self._first: Any = None

    def write(self, iterations, flag, values):
        self._store.append(iterations, flag, values)

    def amend(self, first, values, where, step):
        if self._amended is None:
            self._first = first
            self._amended = _Store(self.rows, values.shape[0], "amended")
        self._amended.append(step, tf.cast(where, "float32"), values)

    def snapshot(self, state=None):
        # Copy of the store with what was amended.
        del state
        store = self._store.value.numpy()
        if self._amended is None:
            return store
        amended = self._amended.value.numpy()
        start = ring_layout.HEAD + self._first
        stop = start + amended.shape[1] - ring_layout.HEAD
        return ring_layout.amend(store, amended, start, stop)

    @property
    def variables(self):
        return []


class _Store:
    """A `tf.Variable` in the layout of `ring_layout`."""

    def __init__(self, rows, columns, name):
        self._rows = rows
        self._mirrored = mirrors()
        shape = rows + 1, ring_layout.HEAD + columns
        self.value = make_beside(lambda: tf.zeros(shape), name)

    def append(self, step, flag, values):
        cursor = self.value[self._rows, 0]
        step = tf.cast(step, "int32")
        head = [step // ring_layout.BASE, step % ring_layout.BASE, flag]
        head = tf.stack([tf.cast(h, "float32") for h in head])
        record = tf.concat([head, values], axis=0)
        after = (cursor + 1) % ring_layout.wrap(self._rows)
        last = tf.concat([[after], tf.zeros((record.shape[0] - 1,))], axis=0)
        rows = tf.stack([tf.cast(cursor, "int32") % self._rows, self._rows])
        rows, values = rows[:, None], tf.stack([record, last])
        if self._mirrored:
            store = self.value.read_value()
            self.value.assign(tf.tensor_scatter_nd_update(store, rows, values))
        else:
            self.value.scatter_nd_update(rows, values)
