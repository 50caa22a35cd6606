"""torch: vectors that are kept until the host asks for them."""

from keras_gradguard._backend.outbox import SideOutbox
from keras_gradguard._backend.torch.values import to_numpy


class Outbox(SideOutbox):
    """Keeps a vector until the host asks for it.

    Args:
        name: Not used.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.
    """

    def __init__(self, name, adds_up):
        del name
        self._adds_up = adds_up
        self._value = None

    def post(self, result, vector):
        if self._adds_up and self._value is not None:
            self._value += vector
        else:
            self._value = vector
        return result

    def take_later(self):
        value, self._value = self._value, None
        return value

    def take(self):
        value, self._value = self._value, None
        return None if value is None else to_numpy(value)
