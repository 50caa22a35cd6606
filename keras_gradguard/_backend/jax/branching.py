"""JAX: updates that happen or not."""

import jax

from keras_gradguard._backend.choosing import choose_after
from keras_gradguard._backend.jax.state import in_stateless_scope
from keras_gradguard._backend.jax.values import read


def known_now(condition):
    # The bool `condition`, or `None` where the host cannot know it yet.
    return None if isinstance(condition, jax.core.Tracer) else bool(condition)


def chooses_after(exact):
    # Whether `branch` runs both sides and then chooses.
    return exact


def branch(condition, then, otherwise, variables, exact=False):
    if chooses_after(exact):
        choose_after(condition, then, otherwise, variables, read=read)
        return

    def pure(function):
        return lambda values: in_stateless_scope(variables, values, function)

    values = [read(v) for v in variables]
    # `jax.lax.select` after both costs a copy of all state.
    values = jax.lax.cond(condition, pure(then), pure(otherwise), values)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def assert_in_graph(condition, message):
    del condition, message
    return False
