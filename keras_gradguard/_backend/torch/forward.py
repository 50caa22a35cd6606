"""torch: a pass beside the step, which runs eagerly."""

import inspect
from typing import Any

import keras
import torch

from keras_gradguard._backend.losses import computes_loss
from keras_gradguard._backend.losses import scope_beside


def gradients_at_taps(run):
    taps = []

    def make(shape, dtype):
        zeros = keras.ops.zeros(shape, dtype).detach().requires_grad_()
        taps.append(zeros)
        return zeros

    with torch.enable_grad(), _generators_kept():
        loss, more = run(make)
        gradients: Any = []
        if taps and loss.requires_grad:
            gradients = torch.autograd.grad(loss, taps, materialize_grads=True)
    return list(gradients) or [torch.zeros_like(tap) for tap in taps], more


def _generators_kept():
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    return torch.random.fork_rng(devices=devices)


def loss_beside(model, arguments):
    data = arguments[0]
    computes = computes_loss(model)
    takes_training = "training" in inspect.signature(model.call).parameters
    kwargs = {"training": True} if takes_training else {}

    def loss():
        if not computes:
            return None
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with scope_beside(model):
            outputs = model(x, **kwargs)
            return model.compute_loss(
                x=x,
                y=y,
                y_pred=outputs,
                sample_weight=sample_weight,
                training=True,
            )

    return loss
