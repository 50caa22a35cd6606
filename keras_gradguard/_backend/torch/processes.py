"""Torch: the processes that train one model together."""

import keras
from torch import distributed


def process(model):
    """Place of this process among those that train a model together.

    Args:
        model: A Keras model. Not used: the process group is global.

    Returns:
        Rank of this process, and how many there are.
    """
    del model
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def over_processes(model, tensor):
    if getattr(model, "ddp_model", None) is None:
        return tensor  # each trains a model of its own, or there is one
    tensor = tensor.detach().clone()
    distributed.all_reduce(tensor)
    return tensor / distributed.get_world_size()


def own_cpu():
    """Context in which tensors are made on a CPU of this very process."""
    return keras.device("cpu:0")
