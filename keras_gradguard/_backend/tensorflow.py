"""TensorFlow: fused norms, barriers and a ring of `tf.Variable`s."""

import numpy as np
import tensorflow as tf

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
        return tf.stack([_norm_graph(t) for t in tensors])
    tensors = [tf.cast(t, "float32") for t in tensors]
    sums = tf.stack([tf.reduce_sum(t * t) for t in tensors])
    safe = tf.reduce_all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return tf.cond(
        safe,
        lambda: tf.sqrt(sums),
        lambda: tf.stack([_norm_scaled(t) for t in tensors]),
    )


def _norm_graph(tensor):
    size = tensor.shape.num_elements()
    if size is None or size <= _FLOAT64_LIMIT:
        half = tf.nn.l2_loss(tf.cast(tensor, "float64"))
        return tf.cast(tf.sqrt(2.0 * half), "float32")
    return _norm_scaled(tf.cast(tensor, "float32"))


def _norm_scaled(tensor):
    largest = tf.reduce_max(tf.abs(tensor))
    usable = tf.math.is_finite(largest) & (largest > 0)
    # A power of two, so that scaling is exact.
    scale = tf.where(usable, largest, tf.ones_like(largest))
    scaled = tensor / scale
    return tf.sqrt(tf.reduce_sum(scaled * scaled)) * scale


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

    Args:
        rows: Number of records kept.
        columns: Number of float32 values of a record.
        optimizer: Not used here: a captured `tf.Variable` need not belong
            to the optimizer, so checkpoints never see it.
        name: Name of the variables.
    """

    def __init__(self, rows, columns, optimizer, name):
        del optimizer
        self.rows = rows
        self._replicated = replicas() > 1
        with tf.init_scope():
            self._cursor = self._variable(tf.zeros((), tf.int64), name)
            self._marks = self._variable(tf.zeros((rows, 2), tf.int64), name)
            self._values = self._variable(tf.zeros((rows, columns)), name)

    def _variable(self, value, name):
        return tf.Variable(
            value,
            trainable=False,
            name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int, or integer scalar, stored with the record.
            values: Float tensor of shape `(columns,)`.
        """
        cursor = self._cursor.read_value()
        row = cursor % self.rows
        mark = tf.stack(
            [tf.cast(iterations, tf.int64), tf.cast(flag, tf.int64)]
        )
        for variable, value in (
            (self._marks, mark),
            (self._values, tf.cast(values, "float32")),
        ):
            if self._replicated:
                variable.assign(
                    tf.tensor_scatter_nd_update(
                        variable.read_value(), [[row]], [value]
                    )
                )
            else:
                variable.scatter_nd_update([[row]], [value])
        self._cursor.assign(cursor + 1)

    def snapshot(self, state=None):
        """Device copies of cursor, marks and values."""
        del state
        return tuple(
            tf.identity(v) for v in (self._cursor, self._marks, self._values)
        )

    def read_cursor(self):
        """Number of records written so far."""
        return int(self._cursor.numpy())

    @property
    def variables(self):
        """Variables that had to be added to the optimizer: none."""
        return []
