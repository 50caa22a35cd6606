"""torch: large tensors piece by piece, so that little memory is taken."""

import torch

# Entries of a piece on the host: 256 KiB of float32.
SMALLEST = 1 << 16
# Of the smallest elsewhere, where each piece costs a few kernels.
_SMALLEST_AWAY = 1 << 18
# Entries of a piece of which several copies stand side by side.
_CACHED = 1 << 16
# A piece takes less than a hundredth of what it is a piece of.
_SHARE = 1 << 7


def on_host(tensor):
    """Whether the host knows a tensor's values without waiting for them."""
    return tensor.device.type == "cpu"


def size_for(tensors):
    """Entries of a piece where these tensors are cut."""
    if not tensors:
        return SMALLEST
    if on_host(tensors[0]):
        return SMALLEST
    return max(_SMALLEST_AWAY, sum(t.numel() for t in tensors) // _SHARE)


def flat(tensor):
    """The entries as a vector, in any order, without a copy; or None."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    order = sorted(range(tensor.dim()), key=lambda i: -tensor.stride(i))
    tensor = tensor.permute(order)
    return tensor.view(-1) if tensor.is_contiguous() else None


def of(tensor, size):
    """List of pieces of a tensor, in any order.

    Args:
        tensor: Tensor of any shape.
        size: Largest number of entries of a piece.
    """
    if tensor.numel() <= size:
        return [tensor]
    vector = flat(tensor)
    # Else views of the rows, or of what is in them.
    return vector.split(size) if vector is not None else _rows(tensor, size)


def of_pair(first, second, size):
    """Pieces of two tensors of the same shape, of the same entries each.

    Args:
        first: Tensor of any shape.
        second: Tensor of the same shape.
        size: Largest number of entries of a piece.

    Returns:
        List of pairs.
    """
    if first.numel() <= size:
        return [(first, second)]
    if first.stride() == second.stride():
        a, b = flat(first), flat(second)
        if a is not None:
            return list(zip(a.split(size), b.split(size), strict=True))
    return list(zip(_rows(first, size), _rows(second, size), strict=True))


def _rows(tensor, size):
    """Views along the first axis, each of at most `size` entries if it can."""
    found: list = []
    for row in tensor.unbind(0):
        cut = row.numel() > size and row.dim()
        found += _rows(row, size) if cut else [row]
    return found


# What the interface offers


def slices(tensors, axis):
    # Each operation on the host makes a tensor of its own.
    first = tensors[0]
    if _is_whole(first):
        return [tuple(tensors)]
    length = first.shape[axis]
    size = max(1, _CACHED * length // first.numel())
    parts = [tensor.split(size, dim=axis) for tensor in tensors]
    return list(zip(*parts, strict=True))


def entries(tensor):
    return [tensor] if _is_whole(tensor) else of(tensor, _CACHED)


def _is_whole(tensor):
    return (
        not isinstance(tensor, torch.Tensor)  # the host's
        or not on_host(tensor)
        or tensor.numel() <= _CACHED
        or torch.compiler.is_compiling()
    )
