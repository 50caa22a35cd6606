"""JAX: a ring of records that rides in the optimizer's state."""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard._backend.jax.values import copies


class _Zeros(keras.initializers.Zeros):
    # From the host: JAX compiles a function for each shape of zeros.
    def __call__(self, shape, dtype=None, **more):
        if more:
            return super().__call__(shape, dtype, **more)
        return jnp.asarray(np.zeros(shape, dtype), dtype)


class Ring:
    def __init__(self, rows, columns, optimizer, name):
        self.rows = rows
        self._store = optimizer.add_variable(
            (rows, ring_layout.HEAD + columns), _Zeros(), "float32", name=name
        )
        self._cursor = optimizer.add_variable(
            (), "zeros", "int32", name=f"{name}_cursor"
        )

    def write(self, iterations, flag, values):
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
        arrays = [
            variable.value if state is None else state[id(variable)]
            for variable in self.variables
        ]
        copied = copies(arrays)  # the originals are donated
        for array in copied:
            array.copy_to_host_async()
        return tuple(copied)

    @property
    def variables(self):
        # Keras variables that were added to the optimizer.
        return [self._store, self._cursor]
