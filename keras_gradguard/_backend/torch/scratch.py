"""torch: entries of a tensor worked out for a sum, in one place by turns."""

import torch

from keras_gradguard._backend import scratch


class Scratch(scratch.Scratch):
    """All take the same room: new memory takes longer to get than to fill.

    Nor does an operation go through Keras's: that takes ten times as long to
    call as one of torch's own, and there are thousands, of small pieces.
    """

    def __init__(self, tensor):
        self._room = None
        plain = type(tensor) is torch.Tensor and tensor.layout is torch.strided
        if not plain or torch.compiler.is_compiling():
            super().__init__(tensor)
            return
        self.values = tensor.to(torch.float32)
        self._room = torch.empty_like(self.values)

    def sum(self, values, axes, keepdims):
        if self._room is None:
            return super().sum(values, axes, keepdims)
        return torch.sum(values, axes, keepdim=keepdims)

    def squared(self, center, shape):
        if self._room is None:
            return super().squared(center, shape)
        center = center.reshape(shape)
        return torch.sub(self.values, center, out=self._room).square_()

    def nonzero(self):
        if self._room is None:
            return super().nonzero()
        # A bool would take as long to cast as the sum takes.
        return torch.ne(self.values, 0, out=self._room)

    def magnitude(self):
        if self._room is None:
            return super().magnitude()
        return torch.abs(self.values, out=self._room)
