"""torch: norms that neither overflow, copy, nor make the host wait."""

import torch

from keras_gradguard._backend.torch import pieces

# Above this size a float64 copy takes forty times as long as a float32 norm.
_LARGE = 1 << 12
# Entries that are added up in float32: few enough to lose no digit that counts.
_ROW = 1 << 9
# Rows at a time.
_ROWS = 1 << 12
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-15, 1e18


def barrier(tensors, xla=None):
    # The tensors: torch runs them as they are written.
    del xla
    return list(tensors)


def may_join():
    # Whether small tensors may be read as one: that changes nothing here.
    return True


def l2_norms(tensors, xla=None):
    del xla
    if not tensors:
        return torch.zeros((0,))
    tensors = [t.detach() for t in tensors]
    if tensors[0].device.type == "mps":  # has no float64
        return torch.stack([_norm_scaled(t) for t in tensors])
    if not pieces.on_host(tensors[0]):
        # One kernel, which adds up in float64 as it reads.
        return torch.stack(torch._foreach_norm(tensors, 2, torch.float64))
    norms: list = [None] * len(tensors)
    for i, tensor in enumerate(tensors):
        if tensor.numel() >= _LARGE:
            norms[i] = _norm_by_rows(tensor)
    rest = [i for i, norm in enumerate(norms) if norm is None]
    # float32 sums of a million squares are off by 1e-5, and squares of
    # 1e-25 are zero: accumulate in float64.
    small = [i for i in rest if tensors[i].numel() <= pieces.SMALLEST]
    if small:
        exact = torch._foreach_norm(
            [tensors[i] for i in small], 2, torch.float64
        )
        for i, norm in zip(small, exact, strict=True):
            norms[i] = norm
    for i in rest:
        if norms[i] is None:
            norms[i] = _norm_by_pieces(tensors[i])
    return torch.stack(norms)


def change_norms(before, after, xla=None):
    del xla
    size = pieces.size_for(before)
    room = _room_for_changes(before, size)
    pairs = [
        (old.detach(), new.detach())
        for old, new in zip(before, after, strict=True)
    ]
    changes: list = [None] * len(pairs)
    small = [i for i, pair in enumerate(pairs) if _are_small(*pair)]
    if small:
        old, new = zip(*(pairs[i] for i in small), strict=True)
        found = l2_norms(torch._foreach_sub(new, old)).unbind()
        for i, norm in zip(small, found, strict=True):
            changes[i] = norm
    for i, pair in enumerate(pairs):
        if changes[i] is None:
            changes[i] = _change_norm(*pair, size, room)
    return torch.cat([l2_norms(before), torch.stack(changes)])


def _are_small(before, after):
    """Whether a call costs more than the numbers: then one serves many."""
    return (
        before.numel() < _LARGE
        and before.dtype is after.dtype is torch.float32
        and before.device == after.device
    )


def _room_for_changes(tensors, size):
    """Memory that all differences take in turn.

    A new tensor for each would grow the heap by each of them: the norm that
    is kept lies in what the one before it has freed.
    """
    if not tensors or torch.compiler.is_compiling():
        return None
    most = max(t.numel() for t in tensors)
    return torch.empty(
        min(size, most), dtype=torch.float32, device=tensors[0].device
    )


def _change_norm(before, after, size, room):
    norms = [
        l2_norms([_difference(a, b, room)])
        for a, b in pieces.of_pair(before, after, size)
    ]
    return torch.linalg.vector_norm(torch.cat(norms))


def _difference(before, after, room):
    """`after - before`, in float32."""
    fits = (
        room is not None
        and type(before) is type(after) is torch.Tensor
        and before.dtype is after.dtype is torch.float32
        and before.device == after.device == room.device
        and before.numel() <= room.numel()
    )
    if not fits:
        return after.to(torch.float32) - before.to(torch.float32)
    place = room[: before.numel()].view(before.shape)
    return torch.sub(after, before, out=place)


def zero_fractions(tensors):
    if not tensors:
        return torch.zeros((0,))
    size = pieces.size_for(tensors)
    shares = []
    for tensor in tensors:
        # One for each entry that is not zero would be a second tensor.
        counts = [
            torch.count_nonzero(piece)
            for piece in pieces.of(tensor.detach(), size)
        ]
        nonzero = torch.stack(counts).sum().double()
        shares.append(1.0 - nonzero / max(1, tensor.numel()))
    return torch.stack(shares).float()


def _norm_by_pieces(tensor):
    """Norm of a large tensor, of which no more than a piece is copied."""
    size = pieces.size_for([tensor])
    parts = [
        torch.linalg.vector_norm(piece, dtype=torch.float64)
        for piece in pieces.of(tensor, size)
    ]
    return torch.linalg.vector_norm(torch.stack(parts))


def _norm_by_rows(tensor):
    """Norm of a large tensor on the CPU from those of its rows, or None.

    None where float32 rows do not do.
    """
    if tensor.dtype is not torch.float32 or torch.compiler.is_compiling():
        return None
    flat = pieces.flat(tensor)
    if flat is None:
        return None
    count, rest = divmod(flat.numel(), _ROW)
    # In one place, and from pieces: each operation makes a tensor of its own.
    norms = torch.empty(
        count + (rest > 0), dtype=torch.float64, device=flat.device
    )
    for start in range(0, count, _ROWS):
        stop = min(count, start + _ROWS)
        rows = flat[start * _ROW : stop * _ROW].view(-1, _ROW)
        norms[start:stop] = torch.linalg.vector_norm(rows, dim=1)
    if rest:
        end = flat[count * _ROW :]
        norms[count] = torch.linalg.vector_norm(end, dtype=torch.float64)
    # A row may be zero or tiny beside the others: then it does not count.
    norm = torch.linalg.vector_norm(norms)
    return norm if _SAFE_LOW < float(norm) < _SAFE_HIGH else None


def _norm_scaled(tensor):
    tensor = tensor.to(torch.float32)
    largest = tensor.abs().max()
    scale = torch.where(
        torch.isfinite(largest) & (largest > 0),
        largest,
        torch.ones_like(largest),
    )
    return torch.linalg.vector_norm(tensor / scale) * scale
