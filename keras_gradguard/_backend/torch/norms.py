"""torch: fused norms."""

import torch


def barrier(tensors, xla=None):
    """The tensors: torch runs them as they are written."""
    del xla
    return list(tensors)


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
    # float32 sums of a million squares are off by 1e-5, and squares of
    # 1e-25 are zero: accumulate in float64.
    norms = torch._foreach_norm(list(tensors), 2, torch.float64)
    return torch.stack(norms)


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
