"""JAX: a pass forward beside the compiled step."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import keras

from keras_gradguard._backend import randomness
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._backend.jax.values import is_here
from keras_gradguard._backend.losses import computes_loss


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


def gradients_at_taps(run):
    made = []

    def note(shape, dtype):
        made.append((shape, dtype))
        return jnp.zeros(shape, dtype)

    # How many there are, and of what shape, only a run tells.
    jax.eval_shape(lambda: run(note))

    def loss_of(taps):
        left = iter(taps)
        return run(lambda shape, dtype: next(left))

    zeros = [jnp.zeros(shape, dtype) for shape, dtype in made]
    return jax.grad(loss_of, has_aux=True)(zeros)


def loss_beside(model, arguments):
    loss = _loss_of(model)
    return lambda: loss(*arguments)


class _Look:
    # One function of a batch, until it fails.

    def __init__(self, model, run, gather, on_failure, pack):
        self._on_failure = on_failure
        self._checked = False
        sharding = _replicated(model)
        self._sharded = sharding is not None
        # Decided once, so that all processes compile alike.
        self._packs: Any = False if pack is None else None

        def look(*arguments):
            gathered = gather(lambda: run(*arguments), arguments)
            return pack(gathered) if self._packs else gathered

        self._function: Any = jax.jit(look, out_shardings=sharding)

    def __call__(self, state, batch):
        if self._function is None:
            return None
        if self._packs is None:
            leaves = jax.tree_util.tree_leaves(state)
            self._packs = self._sharded or not all(map(is_here, leaves))
        try:
            # Not around `next`: to shuffle the data is a draw as well.
            with randomness.kept():
                self._check(state, batch)
                return self._function(state, batch)
        except Exception as error:
            self._function = None
            self._on_failure(error)
            return None

    def _check(self, state, batch):
        """Raise where the pass does something besides computing."""
        if self._checked:
            return
        effects = self._function.trace(state, batch).jaxpr.effects
        if effects:
            kinds = sorted({type(effect).__name__ for effect in effects})
            raise CannotRunAgainError(f"calls back to Python ({kinds[0]})")
        self._checked = True


class ForwardPass:
    def __init__(self, model, xla, custom):
        del xla
        self._model, self._custom = model, custom
        self._looks: list = []

    def add(self, gather, send, on_failure, of_loss, pack=None):
        del send
        if of_loss:
            run = _loss_of(self._model)
        else:
            # All of a train step of one's own is traced; what nothing depends
            # on is left out by XLA.
            custom = self._model.train_step
            run = custom if self._custom else _forward_of(self._model)
        self._looks.append(_Look(self._model, run, gather, on_failure, pack))

    def wrap(self, function):
        return function

    def look(self, args):
        state, iterator = args
        batch = next(iterator)
        args = state, itertools.chain([batch], iterator)
        return args, [look(state, batch) for look in self._looks]

    def take(self, vector):
        if isinstance(vector, jax.Array):
            vector.copy_to_host_async()
        return vector


def _loss_of(model):
    """Function that returns the loss, None where the step has another one."""
    if not computes_loss(model):
        return lambda state, data: None
    return _forward_of(model)


def _forward_of(model):
    """Function that calls a model as its train step does."""

    def forward(state, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        trainable, non_trainable, optimizer, metrics = state
        _, (loss, *_) = model.compute_loss_and_updates(
            trainable,
            non_trainable,
            metrics,
            x,
            y,
            sample_weight,
            training=True,
            optimizer_variables=optimizer,
        )
        return loss

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
