"""JAX: vectors that leave the compiled step as one of its logs."""

import numpy as np

from keras_gradguard._backend.jax.values import at_level


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
