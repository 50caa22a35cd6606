"""Stands in for a GPU: real tensors that refuse what CUDA tensors refuse.

NumPy cannot read a tensor on a GPU, and whatever the host does read there, it
has to wait for. Here torch's tensors on the CPU behave so towards our modules,
and only towards them: the innermost frame of ours or of Keras decides, where
Keras's operations count as their caller.
"""

import contextlib
import importlib
import sys

import keras
import numpy as np
import torch

# Functions of ours that may bring numbers to the host.
DRAIN = "keras_gradguard._backend.torch.values.to_numpy"
# Whether an update is skipped. Keras's own optimizers make the host wait there.
SKIPS = "keras_gradguard._backend.torch.branching.known_now"
# What NumPy does by itself, and what makes the host wait.
_REFUSED = ("__array__", "numpy")
_WAITS = ("cpu", "item", "tolist", "__bool__", "__float__", "__int__")
_OPERATIONS = ("keras.src.ops.", "keras.src.utils.", "keras.src.tree.")
_OPERATIONS += ("keras.src.backend.torch.", "keras.src.backend.common.")


class Device:
    """What our modules read while the stand-in is there.

    Attributes:
        reads: List of str, the functions of ours that made the host wait.
    """

    def __init__(self):
        self.reads = []


class CountReads(keras.callbacks.Callback):
    """Notes what is read from one batch to the next.

    Attributes:
        by_batch: List of lists of str.
    """

    def __init__(self, device):
        super().__init__()
        self.by_batch = []
        self._device = device

    def on_train_batch_begin(self, batch, logs=None):
        self._before = len(self._device.reads)

    def on_train_batch_end(self, batch, logs=None):
        self.by_batch.append(self._device.reads[self._before :])


@contextlib.contextmanager
def standin(monkeypatch):
    """Let torch's tensors behave towards our modules as on a GPU.

    Yields:
        A `Device`.
    """
    device = Device()
    with monkeypatch.context() as patch:
        pieces = importlib.import_module(
            "keras_gradguard._backend.torch.pieces"
        )
        patch.setattr(pieces, "on_host", lambda tensor: False)
        for name in (*_REFUSED, *_WAITS):
            real = getattr(torch.Tensor, name)
            patch.setattr(torch.Tensor, name, _refusing(device, name, real))
        yield device


def _refusing(device, name, real):
    def method(tensor, *arguments, **named):
        owner, by_keras = _owner(sys._getframe(1))
        if owner is None:
            return real(tensor, *arguments, **named)
        if name in _REFUSED and owner != DRAIN and not by_keras:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use "
                f"Tensor.cpu() first. ({owner})"
            )
        device.reads.append(owner)
        return real(tensor, *arguments, **named)

    return method


def _owner(frame):
    """The function of ours that a call comes from, and whether Keras reads."""
    by_keras = False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        name = frame.f_code.co_name
        if module.startswith("keras_gradguard."):
            return f"{module}.{name}", by_keras
        if module.startswith("keras.src."):
            by_keras |= name == "convert_to_numpy"
            if not module.startswith(_OPERATIONS):
                return None, False
        frame = frame.f_back
    return None, False


def refuses(tensor):
    """Whether a module of ours may not mix a tensor with an array."""
    ours = {"__name__": "keras_gradguard.made_up", "np": np, "tensor": tensor}
    try:
        exec("tensor / np.ones(1, 'float32')", ours)
    except TypeError:
        return True
    return False
