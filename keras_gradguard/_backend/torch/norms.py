"""torch: fused norms."""

import torch

# Above this size a float64 copy takes forty times as long as a float32 norm.
_LARGE = 1 << 12
# Entries that are added up in float32: few enough to lose no digit that counts.
_ROW = 1 << 9
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-15, 1e18


def barrier(tensors, xla=None):
    """The tensors: torch runs them as they are written."""
    del xla
    return list(tensors)


def may_join():
    """Whether small tensors may be read as one: that changes nothing here."""
    return True


def l2_norms(tensors, xla=None):
    """L2 norm of each tensor, safe from overflow and underflow.

    Args:
        tensors: List of n dense float tensors.
        xla: Not used.

    Returns:
        Float tensor of shape `(n,)`.
    """
    del xla
    if not tensors:
        return torch.zeros((0,))
    if tensors[0].device.type == "mps":  # has no float64
        return torch.stack([_norm_scaled(t) for t in tensors])
    norms = [_norm_by_rows(t) for t in tensors]
    rest = [i for i, norm in enumerate(norms) if norm is None]
    # float32 sums of a million squares are off by 1e-5, and squares of
    # 1e-25 are zero: accumulate in float64.
    if rest:
        exact = torch._foreach_norm(
            [tensors[i] for i in rest], 2, torch.float64
        )
        for i, norm in zip(rest, exact, strict=True):
            norms[i] = norm
    return torch.stack(norms)


def change_norms(before, after, xla=None):
    """L2 norms of tensors, then those of their changes.

    Args:
        before: List of n dense float tensors.
        after: List of n tensors of the same shapes.
        xla: Not used.

    Returns:
        Float32 tensor of shape `(2 n,)`.
    """
    del xla
    changes = [
        a.to(torch.float32) - b.to(torch.float32)
        for b, a in zip(before, after, strict=True)
    ]
    return l2_norms([*before, *changes])


def _norm_by_rows(tensor):
    """Norm of a large tensor from those of its rows, or None.

    None where it is small, where float32 rows do not do, or where the host
    would have to wait for an accelerator in order to know.
    """
    if (
        tensor.numel() < _LARGE
        or tensor.numel() % _ROW
        or tensor.dtype is not torch.float32
        or tensor.device.type != "cpu"
        or not tensor.is_contiguous()
        or torch.compiler.is_compiling()
    ):
        return None
    rows = torch.linalg.vector_norm(tensor.detach().view(-1, _ROW), dim=1)
    # A row may be zero or tiny beside the others: then it does not count.
    norm = torch.linalg.vector_norm(rows.double())
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


def zero_fractions(tensors):
    """Share of exact zeros of each tensor, float32 of shape `(n,)`."""
    if not tensors:
        return torch.zeros((0,))
    return torch.stack([(t == 0).to(torch.float32).mean() for t in tensors])
