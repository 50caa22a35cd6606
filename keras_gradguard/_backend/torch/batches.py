"""torch: the batches that an execution of the train step takes."""

import numpy as np
import torch
from keras import tree

from keras_gradguard._backend.host_batches import HostBatchTap
from keras_gradguard._backend.torch import pieces


class BatchTap(HostBatchTap):
    def __init__(self, steps):
        super().__init__()
        del steps

    def tap(self, args):
        (batches,) = args
        self._taken = [tree.map_structure(_copy, batch) for batch in batches]
        return args


def some_rows(tensor, step, count):
    if isinstance(tensor, np.ndarray):
        return np.array(tensor[::step][:count])
    if not isinstance(tensor, torch.Tensor) or tensor.is_sparse:
        return None
    rows = tensor.detach()[::step][:count]
    # Elsewhere the host would have to wait for them.
    return _copy(rows) if pieces.on_host(tensor) else rows.clone()


def _copy(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:
            value = value.float()
        return np.array(value.numpy())
    return None if value is None else np.array(value)
