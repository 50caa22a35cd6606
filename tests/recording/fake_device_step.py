# ruff: noqa: E402
"""Runs watched steps on a made-up device, whose tensors have no values.

Usage: KERAS_BACKEND=torch KERAS_TORCH_DEVICE=standin:0 python
fake_device_step.py CLIPPER. torch refuses to mix devices here, and whatever
needs a value, as it cannot be had. Prints what the steps moved between host
and device.
"""

import functools
import sys
import traceback

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

try:
    from torch.utils.backend_registration import (
        _setup_privateuseone_for_python_backend as register,
    )
except ImportError:
    # No device without a GPU's library can be made up on an older torch.
    sys.stdout.write("skipped\n")
    sys.exit(3)


def through_the_host(make):
    """`torch.tensor` as a GPU has it: it is made on the host and moved."""

    def tensor(values, dtype=None, device=None):
        if not isinstance(values, torch.Tensor):
            values = make(values, device="cpu")
            values.constant = None  # or it would be computed with at once
        values = values if dtype is None else values.to(dtype)
        return values if device is None else values.to(device)

    return tensor


register("standin")
torch.tensor = through_the_host(torch.tensor)
torch.as_tensor = through_the_host(torch.as_tensor)

import keras

import keras_gradguard as kgg
from keras_gradguard import _backend
from keras_gradguard.callbacks.watch import Watch
from keras_gradguard.recording.drain import RingDrain

# A read at the drain, whether an update is skipped, and the learning rate.
STEPS, BATCH, EVERY = 6, 16, ("aten::_to_copy", "aten::copy_")


class Moves(TorchDispatchMode):
    """Notes what our modules move between host and device in a step.

    Attributes:
        found: Set of str, the functions of ours.
    """

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = tree_leaves((args, kwargs, result))
        devices = {t.device for t in tensors if isinstance(t, torch.Tensor)}
        if len(devices) > 1 and function.name().split(".")[0] in EVERY:
            owner = _owner(sys._getframe(1))
            if owner is not None:
                self.found.add(owner)
        return result


def _owner(frame):
    passed = ("keras.src.ops", "keras.src.backend", "keras.src.utils")
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("keras_gradguard."):
            return f"{module}.{frame.f_code.co_name}"
        of_keras = module.startswith("keras.src.")
        if of_keras and (
            not module.startswith(passed) or ".optimizers" in module
        ):
            return None
        frame = frame.f_back
    return None


def network(clipper):
    # What is drawn at random would need a device's own generator.
    ones = {"kernel_initializer": "ones"}
    dense = functools.partial(keras.layers.Dense, **ones)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(64, 3, activation="relu", **ones),
            dense(1100),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            dense(64, activation="tanh"),
            dense(40, activation="relu"),
            dense(600, activation="relu"),
            dense(2),
        ]
    )
    optimizer = keras.optimizers.Adam(1e-3)
    if clipper != "none":
        optimizer = kgg.AutoClip(optimizer, clipper)
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def main(clipper):
    shown, in_step = [], False

    def numpy(tensor, *_, **__):
        if in_step:
            raise AssertionError("NumPy reads a tensor within a step")
        return np.ones(tuple(tensor.shape), str(tensor.dtype).split(".")[-1])

    FakeTensor.numpy = FakeTensor.__array__ = numpy
    # What a drain reads is no part of a step.
    RingDrain.is_due = False
    Watch.on_recording_failure = lambda _, error: shown.append(error)
    Watch.on_part_failure = lambda _, sentences: shown.append(sentences)
    with FakeTensorMode(allow_non_fake_inputs=True):
        backend = _backend.current()
        backend.to_numpy = lambda t: (
            np.ones(tuple(t.shape)) if hasattr(t, "shape") else np.asarray(t)
        )
        backend.known_now = lambda condition: True
        model = network(clipper)
        model.make_train_function()
        callbacks = keras.callbacks.CallbackList(
            [
                kgg.GradientMonitor(verbose=0, on_finding="ignore"),
                kgg.DeadReLUDetector("gradient", verbose=0),
                kgg.DeadReLUDetector("activation", verbose=0),
            ],
            model=model,
            epochs=1,
            steps=STEPS,
            verbose=0,
        )
        batch = np.ones((BATCH, 8, 8, 3), "float32"), np.ones((BATCH, 2))
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        moved = []
        for step in range(STEPS):
            callbacks.on_train_batch_begin(step)
            in_step = True
            with Moves() as moves:
                model.train_function([batch])
            in_step = False
            callbacks.on_train_batch_end(step, {})
            moved.append(moves.found)
    for error in shown:
        traceback.print_exception(error)
    # All is measured at steps 0, 1, 2 and 4; only then small tables of numbers
    # are brought to the device.
    found = sorted(moved[3] | moved[5])
    sys.stdout.write(f"moved by us: {found}\n")
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
