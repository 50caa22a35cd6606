"""TensorFlow: fused norms, barriers and a ring of `tf.Variable`s."""

import numpy as np
import tensorflow as tf

from keras_gradguard._backend import grouping
from keras_gradguard._backend import ring_layout

# Up to this size a float64 copy is cheaper than a second pass for the scale.
_FLOAT64_LIMIT = 1 << 20
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def read(variable):
    """Value of a Keras or TensorFlow variable as a tensor."""
    value = getattr(variable, "value", variable)
    if isinstance(value, tf.Variable):
        return value.read_value()
    return tf.convert_to_tensor(value() if callable(value) else value)


def copy(variable):
    """Value of a variable that a later assignment does not change."""
    return tf.identity(read(variable))


def native(variable):
    """The `tf.Variable` of a Keras variable, which a user may pass as well."""
    return getattr(variable, "_value", variable)


def is_sparse(gradient):
    """Whether a gradient holds rows that may repeat."""
    return isinstance(gradient, tf.IndexedSlices)


def densify(gradient, xla=False):
    """Gradient with repeated rows of an `IndexedSlices` summed."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    if xla:  # XLA has no `unique`
        return tf.convert_to_tensor(gradient)
    rows, position = tf.unique(gradient.indices)
    return tf.math.unsorted_segment_sum(
        gradient.values, position, tf.size(rows)
    )


def barrier(tensors, xla=False):
    """Copies of tensors that XLA does not fuse with the originals."""
    if not xla or not tensors:
        return list(tensors)
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    return gen_xla_ops.xla_optimization_barrier(input=list(tensors))


def l2_norms(tensors, xla=False):
    """L2 norm of each tensor, safe from overflow and underflow.

    Args:
        tensors: List of n dense float tensors.
        xla: Whether the code is compiled by XLA.

    Returns:
        Float32 tensor of shape `(n,)`.
    """
    if not tensors:
        return tf.zeros((0,), "float32")
    if not xla:
        return _norms_graph(tensors)
    tensors = [tf.cast(t, "float32") for t in tensors]
    # The rows of an embedding's gradient can be of an unknown number.
    small, large = grouping.split(
        [t.shape.num_elements() or _FLOAT64_LIMIT for t in tensors]
    )
    parts, order = [], []
    for group in small:
        parts.append(_norms_of_rows(_as_rows([tensors[i] for i in group])))
        order.extend(group)
    if large:
        parts.append(_norms_of_large([tensors[i] for i in large]))
        order.extend(large)
    return tf.gather(tf.concat(parts, axis=0), np.argsort(order))


def _as_rows(tensors):
    """Tensors of shape `(size,)`, padded with zeros, as rows of one."""
    width = max(t.shape.num_elements() for t in tensors)
    return tf.stack(
        [
            tf.pad(tf.reshape(t, (-1,)), [[0, width - t.shape.num_elements()]])
            for t in tensors
        ]
    )


def _norms_of_rows(rows):
    largest = tf.reduce_max(tf.abs(rows), axis=1)
    usable = tf.math.is_finite(largest) & (largest > 0)
    scale = tf.where(usable, largest, tf.ones_like(largest))
    scaled = rows / scale[:, None]
    return tf.sqrt(tf.reduce_sum(scaled * scaled, axis=1)) * scale


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = tf.stack([tf.reduce_sum(t * t) for t in tensors])
    safe = tf.reduce_all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return tf.cond(
        safe,
        lambda: tf.sqrt(sums),
        lambda: tf.concat(
            [_norms_of_rows(tf.reshape(t, (1, -1))) for t in tensors], axis=0
        ),
    )


def _norms_graph(tensors):
    """One kernel and a cast for each tensor; the rest for all at once."""
    halves, large, order, later = [], [], [], []
    for i, tensor in enumerate(tensors):
        size = tensor.shape.num_elements()
        if size is None or size <= _FLOAT64_LIMIT:
            halves.append(tf.nn.l2_loss(tf.cast(tensor, "float64")))
            order.append(i)
        else:
            row = tf.reshape(tf.cast(tensor, "float32"), (1, -1))
            large.append(_norms_of_rows(row)[0])
            later.append(i)
    parts = []
    if halves:
        parts.append(tf.cast(tf.sqrt(2.0 * tf.stack(halves)), "float32"))
    if large:
        parts.append(tf.stack(large))
    if len(parts) == 1:
        return parts[0]
    return tf.gather(tf.concat(parts, axis=0), np.argsort(order + later))


def zero_fractions(tensors):
    """Share of exact zeros of each tensor, float32 of shape `(n,)`."""
    if not tensors:
        return tf.zeros((0,), "float32")
    return tf.stack(
        [tf.reduce_mean(tf.cast(t == 0, "float32")) for t in tensors]
    )


def take_flat(tensor, positions):
    """Chosen entries of a tensor, or all (None), as a vector."""
    flat = tf.reshape(tensor, (-1,))
    return flat if positions is None else tf.gather(flat, positions)


def compiled(function):
    """The function, compiled."""
    return tf.function(function)


def to_numpy(tensor):
    """Host copy of a tensor."""
    return np.asarray(tensor)


def replicas():
    """Number of replicas in sync where the code runs."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def reduce_over_replicas(tensors):
    """Sum of each tensor over the replicas."""
    context = tf.distribute.get_replica_context()
    if context is None:
        return list(tensors)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))


def is_end_of_data(error):
    """Whether an exception only says that the data set is exhausted."""
    return isinstance(error, StopIteration | tf.errors.OutOfRangeError)


class Ring:
    """The last `rows` records, written inside the compiled step.

    A captured `tf.Variable` need not belong to the optimizer, so checkpoints
    never see it.

    Args:
        rows: Number of records kept.
        columns: Number of values of a record.
        optimizer: Not used here.
        name: Name of the variable.
    """

    def __init__(self, rows, columns, optimizer, name):
        del optimizer
        self.rows = rows
        self._replicated = replicas() > 1
        with tf.init_scope():
            self._store = tf.Variable(
                tf.zeros((rows + 1, ring_layout.HEAD + columns)),
                trainable=False,
                name=name,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float tensor of shape `(columns,)`.
        """
        cursor = self._store[self.rows, 0]
        step = tf.cast(iterations, "int32")
        head = [step // ring_layout.BASE, step % ring_layout.BASE, flag]
        head = tf.stack([tf.cast(h, "float32") for h in head])
        record = tf.concat([head, values], axis=0)
        after = (cursor + 1) % ring_layout.wrap(self.rows)
        width = record.shape[0]
        last = tf.concat([[after], tf.zeros((width - 1,))], axis=0)
        rows = tf.stack([tf.cast(cursor, "int32") % self.rows, self.rows])
        self._put(rows[:, None], tf.stack([record, last]))

    def amend(self, first, values, where):
        """Overwrite columns of the latest record.

        Args:
            first: First column.
            values: Float tensor of shape `(k,)`.
            where: Bool scalar: whether to.
        """
        row = (tf.cast(self._store[self.rows, 0], "int32") - 1) % self.rows
        start = ring_layout.HEAD + first
        record = self._store[row]
        amended = tf.concat([record[:start], values], axis=0)
        self._put([[row]], tf.where(where, amended, record)[None])

    def _put(self, rows, values):
        if self._replicated:
            store = self._store.read_value()
            store = tf.tensor_scatter_nd_update(store, rows, values)
            self._store.assign(store)
        else:
            self._store.scatter_nd_update(rows, values)

    def snapshot(self, state=None):
        """Copy of the store."""
        del state
        return tf.identity(self._store)

    @property
    def variables(self):
        """Variables that had to be added to the optimizer: none."""
        return []
