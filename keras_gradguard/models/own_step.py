"""Whether a train step of the user's own clears the gradients on torch.

There `backward` adds to what a variable's gradient holds, and Keras's own step
clears it first.
"""

import keras

# Backward passes that are looked at.
_PASSES = 6


class ClearWatch:
    """Looks whether gradients are carried over from one update to the next.

    It looks at the smallest variable in the first passes backward, and changes
    nothing. Only for steps of the user's own on torch, which nobody compiles.

    Args:
        model: A compiled and built Keras model.

    Attributes:
        carried: Bool. Whether a pass backward found what an update had used.
    """

    def __init__(self, model):
        self.carried = False
        self._handle = None
        self._passes, self._updates = 0, None
        own = type(model).train_step is not keras.Model.train_step
        if keras.backend.backend() != "torch" or not own or model.jit_compile:
            return
        self._optimizer = model.optimizer
        tensors = [variable.value for variable in model.trainable_variables]
        tensors = [one for one in tensors if one.requires_grad and one.is_leaf]
        if tensors:
            self._tensor = min(tensors, key=lambda one: one.numel())
            self._handle = self._tensor.register_hook(self._look)

    def stop(self):
        """Look no more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()

    def _look(self, gradient):
        """Look before a gradient is added; whatever fails ends no training."""
        try:
            self._compare()
        except Exception:
            self.stop()

    def _compare(self):
        held, before = self._tensor.grad, self._updates
        self._updates = int(self._optimizer.iterations)
        if before is not None and self._updates > before and held is not None:
            self.carried |= bool((held != 0).any())
        self._passes += 1
        if self._passes >= _PASSES:
            self.stop()
