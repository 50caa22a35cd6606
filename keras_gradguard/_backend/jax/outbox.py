"""JAX: vectors that leave the compiled step as one of its logs."""

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend.jax.values import at_level
from keras_gradguard._backend.jax.values import is_here
from keras_gradguard._backend.kernels import AT_ONCE


def one_of_many(logs):
    # Logs of a step with an axis for the steps in front.
    return jax.tree_util.tree_map(lambda value: jnp.asarray(value)[None], logs)


@jax.jit
def last_of_many(logs):
    # Logs of the last of the steps that are concatenated.
    return jax.tree_util.tree_map(lambda value: value[-1], logs)


@jax.jit
def _stacked(vectors):
    """Vectors of several steps as one array, by one dispatch."""
    return jnp.stack(vectors)


class Outbox:
    """Carries a vector out of the compiled step, as one of its logs.

    Vectors that add up go to the host many at once, since each array that
    leaves an accelerator takes longer than a small step. They are read when
    the next ones are sent: by then they have arrived, and nothing waits.

    Args:
        name: Key among the logs.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.
    """

    def __init__(self, name, adds_up):
        self._name = f"__{name}__"
        self._adds_up = adds_up
        self._staged = None
        self._waiting: list = []
        # Pairs of an array and how many of its rows count, None for all.
        self._stacks: list = []
        self._leaving: list = []

    def post(self, result, vector):
        logs, state = result
        return {**logs, self._name: vector}, state

    def stage(self, vector):
        self._staged = vector

    def post_staged(self, result, level):
        vector, self._staged = self._staged, None
        if vector is None or not at_level(vector, level):
            return result
        return self.post(result, vector)

    in_logs = True

    def collect(self, logs):
        if isinstance(logs, dict) and self._name in logs:
            logs = dict(logs)
            vector = logs.pop(self._name)
            if not self._adds_up:
                self._waiting.clear()
            elif self._waiting and self._waiting[0].shape != vector.shape:
                self._stack()
            self._waiting.append(vector)
            if self._adds_up and len(self._waiting) == AT_ONCE:
                self._stack()
        return logs

    def _stack(self):
        """Lay what waits side by side."""
        waiting, self._waiting = self._waiting, []
        count = len(waiting)
        if count > 1 and _is_far(waiting[0]):
            # Always as many, so that one function is compiled.
            waiting += waiting[-1:] * (AT_ONCE - count)
            self._stacks.append((_stacked(waiting), count))
        else:
            self._stacks += [(vector, None) for vector in waiting]

    def take_later(self):
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        latest = waiting[-1]
        if latest.ndim > 1:
            latest = latest[-1]
        latest.copy_to_host_async()
        return latest

    def take(self):
        self._stack()
        arrived, self._leaving, self._stacks = self._leaving, self._stacks, []
        for array, _ in self._leaving:
            array.copy_to_host_async()
        if not arrived:
            return None
        steps = [
            np.asarray(array)[:count].reshape(-1, array.shape[-1])
            for array, count in arrived
        ]
        return np.concatenate(steps).sum(axis=0, dtype="float64")

    def forget(self):
        self._waiting, self._stacks, self._leaving = [], [], []


def _is_far(array):
    """Whether an array has to leave an accelerator of this process."""
    return array.is_fully_addressable and not is_here(array)
