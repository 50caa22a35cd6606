"""JAX: a pass forward beside the compiled step."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_gradguard._backend import randomness
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._backend.jax.ahead import Ahead
from keras_gradguard._backend.jax.bundle import Bundle
from keras_gradguard._backend.jax.values import copies
from keras_gradguard._backend.jax.values import is_here
from keras_gradguard._backend.jax.values import on_host
from keras_gradguard._backend.losses import computes_loss


def values_before(model, args):
    return _values(model, args[0])


def values_after(model, result):
    return _values(model, result[1])


def _values(model, state):
    known = _by_variable(model, state)
    return lambda variable: known[id(variable)]


def _by_variable(model, state):
    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )
    return {
        id(variable): value
        for group, values in zip(variables, state, strict=False)
        for variable, value in zip(group, values, strict=True)
    }


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

    def __init__(self, model, run, look, on_failure):
        self._on_failure = on_failure
        self._seen: set = set()
        sharding = _replicated(model)
        self._sharded = sharding is not None
        # Decided once, so that all processes compile alike.
        self._packs: Any = False if look.packed is None else None
        self._bundles = False

        def measure(*arguments):
            gathered = look.gather(lambda: run(*arguments), arguments)
            if self._packs:
                return look.packed(gathered)
            if not self._bundles:
                return gathered
            return Bundle.of(look.shortened(gathered))

        self._function: Any = jax.jit(measure, out_shardings=sharding)

    def __call__(self, state, batch, kept):
        if self._function is None:
            return None
        if self._packs is None:
            leaves = jax.tree_util.tree_leaves(state)
            self._packs = self._sharded or not all(map(_is_in_one, leaves))
            self._bundles = not all(map(is_here, leaves))
        try:
            # Not around `next`: to shuffle the data is a draw as well.
            with randomness.kept():
                kind = _kind_of(batch)
                if kind in self._seen:
                    return self._function(state, batch)
                traced = self._trace(state, batch)
                self._seen.add(kind)
                if self._sharded:
                    return self._function(state, batch)
                function = Ahead(self._function, traced)
                copied = _copies_of(traced.jaxpr, (state, batch), kept())
                return _Later(self, function, copied)
        except Exception as error:
            self.fail(error)
            return None

    def fail(self, error):
        self._function = None
        self._on_failure(error)

    def _trace(self, state, batch):
        """Trace it; raise where it does something besides computing."""
        traced = self._function.trace(state, batch)
        if effects := traced.jaxpr.effects:
            kinds = sorted({type(effect).__name__ for effect in effects})
            raise CannotRunAgainError(f"calls back to Python ({kinds[0]})")
        return traced


class _Later:
    # A look that is compiled while the step is, and so runs behind it: on
    # copies, since the step takes its state with it.

    def __init__(self, look, function, arguments):
        self._look, self._function = look, function
        self._arguments = arguments

    def result(self):
        """What the look gives, None if it failed."""
        arguments, self._arguments = self._arguments, None
        try:
            return self._function(*arguments)
        except Exception as error:
            self._look.fail(error)
            return None


def _is_in_one(array):
    """Whether an array lies in one piece, on one device of this process."""
    return array.is_fully_addressable and len(array.devices()) == 1


def _kind_of(batch):
    leaves, structure = jax.tree_util.tree_flatten(batch)
    return structure, tuple(
        (np.shape(leaf), str(leaf.dtype)) for leaf in leaves
    )


def _copies_of(jaxpr, arguments, kept):
    """Arguments of a function that another one may take away meanwhile.

    Args:
        jaxpr: The function's, closed.
        arguments: Its arguments.
        kept: Dict from the `id` of an array to a copy that there is already.
    """
    leaves, structure = jax.tree_util.tree_flatten(arguments)
    inner = jaxpr.jaxpr
    used = {id(v) for equation in inner.eqns for v in equation.invars}
    used |= {id(v) for v in inner.outvars}
    wanted = [
        i
        for i, variable in enumerate(inner.invars)
        if id(variable) in used and id(leaves[i]) not in kept
    ]
    ours = [i for i in wanted if isinstance(leaves[i], jax.Array)]
    arrays = [leaves[i] for i in ours]
    held = on_host(arrays)
    made = copies(arrays) if held is None else map(np.array, held)
    # What is not used stays as it is, even if it is gone by then.
    found = [kept.get(id(leaf), leaf) for leaf in leaves]
    for i in set(wanted) - set(ours):  # a generator may refill its arrays
        found[i] = np.array(leaves[i])
    for i, copy in zip(ours, made, strict=True):
        found[i] = copy
    return jax.tree_util.tree_unflatten(structure, found)


class ForwardPass:
    def __init__(self, model, xla, custom):
        del xla
        self._model, self._custom = model, custom
        self._looks: list = []
        self.show: Any = None

    def add(self, look, on_failure, of_loss):
        if of_loss:
            run = _loss_of(self._model)
        else:
            # All of a train step of one's own is traced; what nothing depends
            # on is left out by XLA.
            custom = self._model.train_step
            run = custom if self._custom else _forward_of(self._model)
        self._looks.append(_Look(self._model, run, look, on_failure))

    def wrap(self, function):
        return function

    def look(self, args, kept=None):
        state, iterator = args
        batch = next(iterator)
        args = state, itertools.chain([batch], iterator)
        if self.show is not None:
            self.show(batch)

        @functools.cache
        def copied():  # a first look alone asks
            values = _by_variable(self._model, state)
            return {id(values[key]): c for key, c in (kept or {}).items()}

        return args, [look(state, batch, copied) for look in self._looks]

    def take(self, vector):
        if isinstance(vector, _Later):
            vector = vector.result()
        for leaf in jax.tree_util.tree_leaves(vector):
            if isinstance(leaf, jax.Array) and not is_here(leaf):
                leaf.copy_to_host_async()
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
