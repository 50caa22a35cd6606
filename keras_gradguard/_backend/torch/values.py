"""Tensors and variables of torch."""

import functools

import numpy as np
import torch

from keras_gradguard._backend.torch import pieces

# Positions that are looked up together.
_AT_ONCE = 1 << 13
# The float dtypes that NumPy has, too.
_IN_NUMPY = (torch.float16, torch.float32, torch.float64)


def read(variable):
    # Value of a Keras variable as a detached tensor.
    value = getattr(variable, "value", variable)
    return value.detach()


def copy(variable):
    return read(variable).clone()


def gradients_of(function):
    def run(values, *rest):
        values = [value.detach().requires_grad_() for value in values]
        value, more = function(values, *rest)
        grads: list = [None] * len(values)
        if value.requires_grad:  # Else no weight has an effect on it.
            grads = list(torch.autograd.grad(value, values, allow_unused=True))
        return value.detach(), grads, more

    return run


def take_flat(tensor, positions):
    flat = tensor.reshape(-1)
    if positions is None:
        return flat
    # Positions have to be int64: not all of them at once.
    found = [
        flat[torch.as_tensor(part, dtype=torch.int64, device=flat.device)]
        for part in np.array_split(positions, 1 + len(positions) // _AT_ONCE)
    ]
    return torch.cat(found) if len(found) > 1 else found[0]


def batch_sizes(tensors):
    sizes = tuple(float(tensor.shape[0]) for tensor in tensors)
    return _constant(sizes, torch.float32, tensors[0].device)


def constant(values, dtype, like):
    return _constant(tuple(values), getattr(torch, dtype), like.device)


@functools.lru_cache(maxsize=256)
def _constant(values, dtype, device):
    # Made once: to bring them to a device, the host waits for it.
    return torch.tensor(values, dtype=dtype, device=device)


def compiled(function):
    return function


def to_numpy(tensor):
    # Host copy of a tensor, or the value of a Python number.
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.dtype not in _IN_NUMPY:
            tensor = tensor.float()  # bfloat16, float8
        return tensor.numpy()
    return np.asarray(tensor)


def on_host(tensors):
    del tensors
    return None  # nothing is compiled


def at_hand(structure):
    # A tensor of a kind of its own may not be read as memory.
    if torch.compiler.is_compiling():
        return None
    try:
        return _views(structure)
    except _NotAtHandError:
        return None


class _NotAtHandError(Exception):
    """A tensor is elsewhere."""


def _views(structure):
    if isinstance(structure, dict):
        return {name: _views(part) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return [_views(part) for part in structure]
    if not isinstance(structure, torch.Tensor):
        return structure
    plain = type(structure) in (torch.Tensor, torch.nn.Parameter)
    if not plain or not pieces.on_host(structure):
        raise _NotAtHandError
    if structure.layout != torch.strided or structure.is_complex():
        raise _NotAtHandError
    return to_numpy(structure)


def compiles_steps():
    return False


def is_end_of_data(error):
    return isinstance(error, StopIteration)


def detach(tensor):
    return tensor.detach() if isinstance(tensor, torch.Tensor) else tensor


def level(arguments):
    # There is one level only: torch runs what it reads.
    del arguments


def at_level(tensor, level):
    # Whether a tensor may be used: it may.
    del level
    return isinstance(tensor, torch.Tensor)
