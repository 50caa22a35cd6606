"""torch: the batches that an execution of the train step takes."""

import numpy as np
import torch
from keras import tree


def data_like(batches, spec):
    # Any data give the same arrays to the step.
    return None


class BatchTap:
    # What the step takes is compiled for its shapes alone.
    spec = None

    def __init__(self, steps):
        del steps
        self._taken = []

    def through(self, dataset):
        return dataset

    def tap(self, args):
        (batches,) = args
        self._taken = [tree.map_structure(_copy, batch) for batch in batches]
        return args

    def take(self):
        taken, self._taken = self._taken, []
        return taken


def _copy(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:
            value = value.float()
        return np.array(value.numpy())
    return None if value is None else np.array(value)
