"""TensorFlow: fused norms, barriers and a ring of `tf.Variable`s."""

import contextlib

import numpy as np
import tensorflow as tf

from keras_gradguard._backend import grouping
from keras_gradguard._backend import ring_layout

# Up to this size a float64 copy is cheaper than a second pass for the scale.
_FLOAT64_LIMIT = 1 << 20
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def float64():
    """Context in which new arrays may be float64."""
    return contextlib.nullcontext()


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


def gradients(function, values):
    """Value of a scalar function of a list of tensors, and its gradients."""
    values = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = function(values)
    return value, [
        None if grad is None else tf.convert_to_tensor(grad)
        for grad in tape.gradient(value, values)
    ]


def run_whole(function, *arguments):
    """Run a function: step by step is fast enough here."""
    return function(*arguments)


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


def bits(tensor):
    """The bits of a float32 tensor as int32."""
    return tf.bitcast(tensor, tf.int32)


def bin_counts(bins, count, xla=False):
    """How often each of the first bins occurs.

    Args:
        bins: Int32 tensor of any shape, none negative.
        count: Python int, bins to count; larger ones are left out.
        xla: Whether the code is compiled by XLA.

    Returns:
        Integer tensor of shape `(count,)`.
    """
    if xla:
        wanted = tf.reshape(tf.range(count), (count,) + (1,) * bins.shape.rank)
        hits = tf.cast(bins[None] == wanted, "int32")
        return tf.reduce_sum(hits, axis=list(range(1, hits.shape.rank)))
    # Unlike `bincount`, it has a deterministic kernel on GPUs.
    bins = tf.reshape(bins, (-1,))
    bins = tf.where(bins < count, bins, -1)  # which is left out
    return tf.math.unsorted_segment_sum(tf.ones_like(bins), bins, count)


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


def detach(tensor):
    """The tensor, cut off from the gradient."""
    return tf.stop_gradient(tensor)


def level(arguments):
    """The graph that a step runs in, None if it runs eagerly."""
    del arguments
    return tf.compat.v1.get_default_graph() if tf.inside_function() else None


def at_level(tensor, level):
    """Whether a tensor may be used in a graph, and not only in one inside."""
    return (
        getattr(tensor, "graph", None) is level if level else _is_eager(tensor)
    )


def _is_eager(tensor):
    return not tf.is_symbolic_tensor(tensor)


class Mailbox:
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
        """Send a vector off.

        Args:
            result: What the train step returns.
            vector: Float tensor of one axis. Over several replicas their sum
                is sent if vectors add up, else their mean.

        Returns:
            What the train step has to return.
        """
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            reduction = tf.distribute.ReduceOp.MEAN
            if self._adds_up:
                reduction = tf.distribute.ReduceOp.SUM
            vector = context.all_reduce(reduction, vector)
        if self._value is None or self._value.shape != (vector.shape[0] + 1,):
            with tf.init_scope():
                self._value = tf.Variable(
                    tf.zeros((vector.shape[0] + 1,)),
                    trainable=False,
                    name=self._name,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
        # The last entry counts the steps.
        vector = tf.concat([vector, [1.0]], axis=0)
        if self._adds_up:
            self._value.assign_add(vector)
        else:
            self._value.assign(vector)
        return result

    def stage(self, vector):
        """Send a vector off at once.

        Args:
            vector: Float tensor of one axis.
        """
        self.post(None, vector)

    def post_staged(self, result, level):
        """Nothing is left to be sent.

        Args:
            result: What the train step returns.
            level: Not used.

        Returns:
            `result`.
        """
        del level
        return result

    def host(self, step_function):
        """The step: nothing has to be taken out of its result."""
        return step_function

    def take_later(self):
        """What arrived last, or None."""
        return self.take()

    def take(self):
        """Host copy of what arrived since the last time, or None."""
        if self._value is None:
            return None
        value = self._value.numpy()
        if not value[-1]:
            return None
        self._value.assign(tf.zeros_like(self._value))
        return value[:-1]


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
        self._columns = columns
        self._store = _Store(rows, columns, name)
        self._amended = None
        self._first = None

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float tensor of shape `(columns,)`.
        """
        self._store.append(iterations, flag, values)

    def amend(self, first, values, where, step):
        """Overwrite columns of the record of a step.

        They are kept apart until they are read: under XLA, a write inside
        Keras's `cond` for accumulated gradients is lost if the same variable
        is written again behind it.

        Args:
            first: First column, the same in all calls.
            values: Float tensor of shape `(k,)`.
            where: Bool scalar: whether to.
            step: Integer scalar, the step of the record.
        """
        if self._amended is None:
            self._first = first
            self._amended = _Store(self.rows, values.shape[0], "amended")
        self._amended.append(step, tf.cast(where, "float32"), values)

    def snapshot(self, state=None):
        """Copy of the store with what was amended."""
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
        """Variables that had to be added to the optimizer: none."""
        return []


class _Store:
    """A `tf.Variable` in the layout of `ring_layout`."""

    def __init__(self, rows, columns, name):
        self._rows = rows
        self._replicated = replicas() > 1
        with tf.init_scope():
            self.value = tf.Variable(
                tf.zeros((rows + 1, ring_layout.HEAD + columns)),
                trainable=False,
                name=name,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

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
        if self._replicated:
            store = self.value.read_value()
            self.value.assign(tf.tensor_scatter_nd_update(store, rows, values))
        else:
            self.value.scatter_nd_update(rows, values)
