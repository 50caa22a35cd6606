"""JAX: fused norms, barriers and a ring that rides in the optimizer state."""

import jax
import jax.numpy as jnp
import keras
import numpy as np

_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def read(variable):
    """Value of a Keras variable as an array."""
    value = getattr(variable, "value", variable)
    return jnp.asarray(value)


copy = read  # arrays are immutable


def native(variable):
    """The variable: JAX has none of its own."""
    return variable


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
    if not tensors:
        return jnp.zeros((0,), "float32")
    tensors = [t.astype("float32") for t in tensors]
    sums = jnp.stack([jnp.sum(t * t) for t in tensors])
    safe = jnp.all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return jax.lax.cond(
        safe,
        lambda: jnp.sqrt(sums),
        lambda: jnp.stack([_norm_scaled(t) for t in tensors]),
    )


def _norm_scaled(tensor):
    largest = jnp.max(jnp.abs(tensor), initial=0.0)
    usable = jnp.isfinite(largest) & (largest > 0)
    scale = jnp.where(usable, largest, 1.0)
    scaled = tensor / scale
    return jnp.sqrt(jnp.sum(scaled * scaled)) * scale


def zero_fractions(tensors):
    """Share of exact zeros of each array, float32 of shape `(n,)`."""
    if not tensors:
        return jnp.zeros((0,), "float32")
    return jnp.stack([jnp.mean(t == 0, dtype="float32") for t in tensors])


def take_flat(array, positions):
    """Chosen entries of an array, or all (None), as a vector."""
    flat = jnp.reshape(array, (-1,))
    return flat if positions is None else jnp.take(flat, positions)


def compiled(function):
    """The function, compiled."""
    return jax.jit(function)


def to_numpy(tensor):
    """Host copy of an array."""
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


class Ring:
    """The last `rows` records, written inside the compiled step.

    Args:
        rows: Number of records kept.
        columns: Number of float32 values of a record.
        optimizer: Keras optimizer that carries the ring in its state.
        name: Name of the variables.
    """

    def __init__(self, rows, columns, optimizer, name):
        self.rows = rows
        add = optimizer.add_variable
        self._cursor = add((), "zeros", "int32", name=f"{name}_cursor")
        self._marks = add((rows, 2), "zeros", "int32", name=f"{name}_marks")
        self._values = add(
            (rows, columns), "zeros", "float32", name=f"{name}_values"
        )

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int, or integer scalar, stored with the record.
            values: Float array of shape `(columns,)`.
        """
        cursor = jnp.asarray(self._cursor.value)
        row = cursor % self.rows
        mark = jnp.stack(
            [jnp.asarray(iterations, "int32"), jnp.asarray(flag, "int32")]
        )
        self._marks.assign(jnp.asarray(self._marks.value).at[row].set(mark))
        self._values.assign(
            jnp.asarray(self._values.value)
            .at[row]
            .set(jnp.asarray(values, "float32"))
        )
        self._cursor.assign(cursor + 1)

    def snapshot(self, state=None):
        """Device copies of cursor, marks and values.

        Args:
            state: Mapping from `id(variable)` to its current array, where
                the trainer holds the state outside of the variables.
        """
        arrays = []
        for variable in self.variables:
            value = variable.value if state is None else state[id(variable)]
            value = jnp.copy(value)  # the original is donated to the next step
            value.copy_to_host_async()
            arrays.append(value)
        return tuple(arrays)

    def read_cursor(self):
        """Number of records written so far."""
        return int(self._cursor.value)

    @property
    def variables(self):
        """Keras variables that were added to the optimizer."""
        return [self._cursor, self._marks, self._values]


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
