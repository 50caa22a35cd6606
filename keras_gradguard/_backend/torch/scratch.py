"""torch: entries of a tensor worked out for a sum, in one place by turns."""

import torch

from keras_gradguard._backend import scratch


class Scratch(scratch.Scratch):
    """All take the same room: new memory takes longer to get than to fill."""

    def __init__(self, values):
        super().__init__(values)
        self._room = None
        plain = type(values) is torch.Tensor and values.layout is torch.strided
        if plain and not torch.compiler.is_compiling():
            self._room = torch.empty_like(values)

    def squared(self, center):
        if self._room is None:
            return super().squared(center)
        return torch.sub(self._values, center, out=self._room).square_()

    def nonzero(self):
        if self._room is None:
            return super().nonzero()
        # A bool would take as long to cast as the sum takes.
        return torch.ne(self._values, 0, out=self._room)

    def magnitude(self):
        if self._room is None:
            return super().magnitude()
        return torch.abs(self._values, out=self._room)
