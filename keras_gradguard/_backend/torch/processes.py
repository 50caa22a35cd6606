"""Torch: the processes that train one model together."""

from torch import distributed


def process(model):
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
