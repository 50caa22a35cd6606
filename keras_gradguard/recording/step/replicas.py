"""What the replicas of a step leave for code that runs elsewhere."""

from keras_gradguard import _backend


class PerReplica:
    """A value of each replica.

    TensorFlow runs the replicas of a step in a thread each, and what a branch
    of an optimizer does in other threads again. Which replica the code runs
    on is known in all of them.
    """

    def __init__(self):
        self._backend = _backend.current()
        self._values = {}

    def set(self, value):
        """Remember the value of the replica that the code runs on."""
        self._values[self._backend.replica()] = value

    def get(self):
        """What that replica left last, or None."""
        return self._values.get(self._backend.replica())
