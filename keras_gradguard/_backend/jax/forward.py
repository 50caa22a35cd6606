"""JAX: a pass forward beside the compiled step."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import keras

from keras_gradguard._backend import randomness
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._backend.jax.values import is_here


@jax.jit
def copies(values):
    return [jnp.copy(value) for value in values]


def values_before(model, args):
    return _values(model, args[0])


def values_after(model, result):
    return _values(model, result[1])


def _values(model, state):
    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )
    known = {
        id(variable): value
        for group, values in zip(variables, state, strict=False)
        for variable, value in zip(group, values, strict=True)
    }
    return lambda variable: known[id(variable)]


class ForwardPass:
    def __init__(self, model, gather, pack, send, on_failure, xla, custom):
        del send, xla
        self._on_failure = on_failure
        self._checked = False
        sharding = _replicated(model)
        self._sharded = sharding is not None
        # Decided once: all must be compiled alike.
        self._on_host = None
        # All of a train step of one's own is traced; what nothing depends on
        # is left out by XLA.
        function = model.train_step if custom else _forward_of(model)

        def look(*arguments):
            gathered = gather(lambda: function(*arguments), arguments)
            return gathered if self._on_host else pack(gathered)

        self._look: Any = jax.jit(look, out_shardings=sharding)

    def wrap(self, function):
        return function

    def look(self, args):
        state, iterator = args
        batch = next(iterator)
        args = state, itertools.chain([batch], iterator)
        if self._look is None:
            return args, None
        if self._on_host is None:
            leaves = jax.tree_util.tree_leaves(state)
            self._on_host = not self._sharded and all(map(is_here, leaves))
        try:
            # Not around `next`: to shuffle the data is a draw as well.
            with randomness.kept():
                self._check(state, batch)
                return args, self._look(state, batch)
        except Exception as error:
            self._look = None
            self._on_failure(error)
        return args, None

    def _check(self, state, batch):
        """Raise where the pass does something besides computing."""
        if self._checked:
            return
        effects = self._look.trace(state, batch).jaxpr.effects
        if effects:
            kinds = sorted({type(effect).__name__ for effect in effects})
            raise CannotRunAgainError(f"calls back to Python ({kinds[0]})")
        self._checked = True

    def take(self, vector):
        if vector is not None and not self._on_host:
            vector.copy_to_host_async()
        return vector


def _forward_of(model):
    """Function that calls a model as its train step does."""

    def forward(state, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        trainable, non_trainable, optimizer, metrics = state
        model.compute_loss_and_updates(
            trainable,
            non_trainable,
            metrics,
            x,
            y,
            sample_weight,
            training=True,
            optimizer_variables=optimizer,
        )

    return forward


def _replicated(model):
    """Sharding of a vector that every process is to read, or None."""
    for variable in model.trainable_variables:
        sharding = getattr(variable.value, "sharding", None)
        if isinstance(sharding, jax.sharding.NamedSharding):
            return jax.sharding.NamedSharding(
                sharding.mesh, jax.sharding.PartitionSpec()
            )
    return None
