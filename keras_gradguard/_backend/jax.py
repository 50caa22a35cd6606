"""JAX: fused norms, barriers and a ring that rides in the optimizer state."""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_gradguard._backend import grouping
from keras_gradguard._backend import ring_layout

_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def float64():
    """Context in which new arrays may be float64."""
    enable = getattr(jax, "enable_x64", None)
    if not callable(enable):
        from jax.experimental import enable_x64 as enable
    return enable(True)


def read(variable):
    """Value of a Keras variable as an array."""
    value = getattr(variable, "value", variable)
    return jnp.asarray(value)


copy = read  # arrays are immutable


def native(variable):
    """The variable: JAX has none of its own."""
    return variable


def gradients(function, values):
    """Value of a scalar function of a list of arrays, and its gradients."""
    # Step by step, each operation would be compiled by itself.
    value, grads = jax.jit(jax.value_and_grad(function))(list(values))
    return value, list(grads)


def run_whole(function, *arguments):
    """Run a function as one compiled program."""
    return jax.jit(function)(*arguments)


def is_sparse(gradient):
    """Whether a gradient holds rows that may repeat."""
    del gradient
    return False


def densify(gradient, xla=False):
    """Dense gradient: JAX gradients always are."""
    del xla
    return gradient


def barrier(tensors, xla=True):
    """Copies of arrays that XLA does not fuse with the originals."""
    del xla
    if not tensors:
        return []
    return list(jax.lax.optimization_barrier(tuple(tensors)))


def l2_norms(tensors, xla=True):
    """L2 norm of each array, safe from overflow and underflow.

    Args:
        tensors: List of n float arrays.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Float32 array of shape `(n,)`.
    """
    del xla
    tensors = [t.astype("float32") for t in tensors]
    small, large = grouping.split([t.size for t in tensors])
    parts, order = [], []
    for group in small:
        parts.append(_norms_of_rows(_as_rows([tensors[i] for i in group])))
        order.extend(group)
    if large:
        parts.append(_norms_of_large([tensors[i] for i in large]))
        order.extend(large)
    if not parts:
        return jnp.zeros((0,), "float32")
    norms = jnp.concatenate(parts)
    return norms[np.argsort(order)]


def _as_rows(tensors):
    """Arrays of shape `(size,)`, padded with zeros, as rows of one."""
    width = max(t.size for t in tensors)
    return jnp.stack(
        [jnp.pad(t.reshape(-1), (0, width - t.size)) for t in tensors]
    )


def _norms_of_rows(rows):
    largest = jnp.max(jnp.abs(rows), axis=1, initial=0.0)
    usable = jnp.isfinite(largest) & (largest > 0)
    scale = jnp.where(usable, largest, 1.0)
    scaled = rows / scale[:, None]
    return jnp.sqrt(jnp.sum(scaled * scaled, axis=1)) * scale


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = jnp.stack([jnp.sum(t * t) for t in tensors])
    safe = jnp.all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return jax.lax.cond(
        safe,
        lambda: jnp.sqrt(sums),
        lambda: jnp.concatenate(
            [_norms_of_rows(t.reshape(1, -1)) for t in tensors]
        ),
    )


def zero_fractions(tensors):
    """Share of exact zeros of each array, float32 of shape `(n,)`."""
    if not tensors:
        return jnp.zeros((0,), "float32")
    return jnp.stack([jnp.mean(t == 0, dtype="float32") for t in tensors])


def take_flat(array, positions):
    """Chosen entries of an array, or all (None), as a vector."""
    flat = jnp.reshape(array, (-1,))
    return flat if positions is None else jnp.take(flat, positions)


def bits(array):
    """The bits of a float32 array as int32."""
    return jax.lax.bitcast_convert_type(array, jnp.int32)


def bin_counts(bins, count, xla=True):
    """How often each of the first bins occurs.

    Args:
        bins: Int32 tensor of any shape, none negative.
        count: Python int, bins to count; larger ones are left out.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Integer tensor of shape `(count,)`.
    """
    del xla
    wanted = jnp.arange(count).reshape((count,) + (1,) * bins.ndim)
    hits = (bins[None] == wanted).astype(jnp.int32)
    return jnp.sum(hits, axis=tuple(range(1, hits.ndim)))


def compiled(function):
    """The function, compiled."""
    return jax.jit(function)


def to_numpy(tensor):
    """Host copy of an array, or of a ring's `snapshot` as one array."""
    if isinstance(tensor, tuple):
        store, cursor = (np.asarray(part) for part in tensor)
        last = np.zeros((1, store.shape[1]), store.dtype)
        last[0, 0] = cursor
        return np.concatenate([store, last])
    return np.asarray(tensor)


def replicas():
    """Replicas to reduce over: gradients are global arrays, so one."""
    return 1


def reduce_over_replicas(tensors):
    """The arrays: JAX gradients are reduced already."""
    return list(tensors)


def is_end_of_data(error):
    """Whether an exception only says that the data set is exhausted."""
    return isinstance(error, StopIteration)


def detach(tensor):
    """The array, cut off from the gradient."""
    return jax.lax.stop_gradient(tensor)


def level(arguments):
    """The trace that a step runs in: where its arguments live.

    Args:
        arguments: Whatever the step was called with.
    """
    for leaf in jax.tree_util.tree_leaves(arguments):
        if isinstance(leaf, jax.core.Tracer):
            return getattr(leaf, "_trace", None)
    return None


def at_level(tensor, level):
    """Whether an array may be used in a trace, and not only in one inside."""
    if not isinstance(tensor, jax.core.Tracer):
        return True
    return getattr(tensor, "_trace", None) is level


class Mailbox:
    """Carries a vector out of the compiled step, as one of its logs.

    Args:
        name: Key among the logs.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.
    """

    def __init__(self, name, adds_up):
        self._name = f"__{name}__"
        self._adds_up = adds_up
        self._staged = None
        self._waiting = []

    def post(self, result, vector):
        """Send a vector off.

        Args:
            result: What the train step returns, `(logs, state)`.
            vector: Float array of one axis.

        Returns:
            What the train step has to return.
        """
        logs, state = result
        return {**logs, self._name: vector}, state

    def stage(self, vector):
        """Have a vector sent off at the end of the step, by `post_staged`.

        Args:
            vector: Float array of one axis.
        """
        self._staged = vector

    def post_staged(self, result, level):
        """Send off what was staged, if it can be seen from outside.

        Args:
            result: What the train step returns.
            level: The trace of the step.

        Returns:
            What the train step has to return.
        """
        vector, self._staged = self._staged, None
        if vector is None or not at_level(vector, level):
            return result
        return self.post(result, vector)

    def host(self, step_function):
        """Take the vector out of what a compiled step returns.

        Args:
            step_function: Callable that returns `(logs, state)`.
        """

        def step(*args):
            logs, state = step_function(*args)
            if isinstance(logs, dict) and self._name in logs:
                vector = logs.pop(self._name)
                if not self._adds_up:
                    self._waiting.clear()
                self._waiting.append(vector)
            return logs, state

        return step

    def take_later(self):
        """What arrived last, on its way to the host, or None."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        waiting[-1].copy_to_host_async()
        return waiting[-1]

    def take(self):
        """Host copy of what arrived since the last time, or None."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        return np.sum([np.asarray(v) for v in waiting], axis=0)


@jax.jit
def _copies(arrays):
    """Copies of several arrays, by one dispatch."""
    return [jnp.copy(array) for array in arrays]


class Ring:
    """The last `rows` records, written inside the compiled step.

    The cursor is a variable of its own: where a row to be written is found by
    reading the same array, XLA copies the whole of it.

    Args:
        rows: Number of records kept.
        columns: Number of values of a record.
        optimizer: Keras optimizer that carries the ring in its state.
        name: Name of the variable.
    """

    def __init__(self, rows, columns, optimizer, name):
        self.rows = rows
        self._store = optimizer.add_variable(
            (rows, ring_layout.HEAD + columns), "zeros", "float32", name=name
        )
        self._cursor = optimizer.add_variable(
            (), "zeros", "int32", name=f"{name}_cursor"
        )

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float array of shape `(columns,)`.
        """
        cursor = jnp.asarray(self._cursor.value)
        step = jnp.asarray(iterations, "int32")
        head = [
            step // ring_layout.BASE,
            step % ring_layout.BASE,
            jnp.asarray(flag),
        ]
        record = jnp.concatenate(
            [jnp.stack([h.astype("float32") for h in head]), values]
        )
        self._put(cursor % self.rows, 0, record)
        self._cursor.assign((cursor + 1) % ring_layout.wrap(self.rows))

    def amend(self, first, values, where, step):
        """Overwrite columns of the latest record.

        Args:
            first: First column.
            values: Float array of shape `(k,)`.
            where: Bool or bool scalar: whether to.
            step: Not used: the latest record is the one of the step.
        """
        del step
        row = (jnp.asarray(self._cursor.value) - 1) % self.rows
        start = ring_layout.HEAD + first
        if where is not True:
            present = jax.lax.dynamic_slice(
                jnp.asarray(self._store.value),
                (row, start),
                (1, values.shape[0]),
            )
            values = jnp.where(where, values, present[0])
        self._put(row, start, values)

    def _put(self, row, column, values):
        store = jnp.asarray(self._store.value)
        self._store.assign(
            jax.lax.dynamic_update_slice(store, values[None], (row, column))
        )

    def snapshot(self, state=None):
        """Device copies of store and cursor, for `to_numpy`.

        Args:
            state: Map from `id(variable)` to its current array, where the
                trainer holds the state outside of the variables.
        """
        arrays = [
            variable.value if state is None else state[id(variable)]
            for variable in self.variables
        ]
        copies = _copies(arrays)  # the originals are donated
        for array in copies:
            array.copy_to_host_async()
        return tuple(copies)

    @property
    def variables(self):
        """Keras variables that were added to the optimizer."""
        return [self._store, self._cursor]


def state_by_variable(optimizer, state):
    """Map `id(variable)` to its array in a trainer's state."""
    return {
        id(variable): value
        for variable, value in zip(optimizer.variables, state[2], strict=True)
    }


def in_stateless_scope(variables, values, function):
    """Run `function` on variables that hold `values`; return their new values.

    Args:
        variables: List of Keras variables.
        values: List of arrays, their current values.
        function: Callable without arguments that assigns to them.

    Returns:
        List of arrays, the values afterwards.
    """
    scope = keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True))
    )
    with scope:
        function()
    return [scope.get_current_value(v) for v in variables]
