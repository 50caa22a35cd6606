"""Counting the entries of a tensor by size, on torch."""

import torch


def bits(tensor):
    """The bits of a float32 tensor as int32."""
    return tensor.view(torch.int32)


def bin_counts(bins, count, xla=False):
    """How often each of the first bins occurs.

    Args:
        bins: Int32 tensor of any shape, none negative.
        count: Python int, bins to count; larger ones are left out.
        xla: Not used.

    Returns:
        Integer tensor of shape `(count,)`.
    """
    del xla
    return torch.bincount(bins.reshape(-1), minlength=count)[:count]
