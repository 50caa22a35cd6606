"""JAX: vectors that leave the compiled step as one of its logs."""

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend.jax.values import at_level


def one_of_many(logs):
    # Logs of a step with an axis for the steps in front.
    return jax.tree_util.tree_map(lambda value: jnp.asarray(value)[None], logs)


@jax.jit
def last_of_many(logs):
    # Logs of the last of the steps that are concatenated.
    return jax.tree_util.tree_map(lambda value: value[-1], logs)


class Outbox:
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
            self._waiting.append(vector)
        return logs

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
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        for vector in waiting:  # all on their way before one is waited for
            vector.copy_to_host_async()
        steps = [np.atleast_2d(np.asarray(v)) for v in waiting]
        return np.concatenate(steps).sum(axis=0)
