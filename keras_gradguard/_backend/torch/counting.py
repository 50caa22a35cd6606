"""Counting the entries of a tensor by size, on torch."""

import torch

from keras_gradguard._backend.torch import pieces


def bits(tensor):
    return tensor.view(torch.int32)


def bin_counts(bins, count, xla=False):
    del xla
    bins = bins.reshape(-1)
    if pieces.on_host(bins):
        return torch.bincount(bins, minlength=count)[:count]
    # `bincount` tells the host how many there are.
    counts = torch.zeros(count + 1, dtype=torch.int32, device=bins.device)
    bins = bins.clamp(max=count).long()
    one = torch.ones(1, dtype=torch.int32, device=bins.device)
    counts.scatter_add_(0, bins, one.expand(len(bins)))
    return counts[:count]
