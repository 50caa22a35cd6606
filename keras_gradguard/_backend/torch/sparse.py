"""torch: gradients of a few rows, sparse tensors."""

import torch


def is_sparse(gradient):
    return bool(getattr(gradient, "is_sparse", False))


def densify(gradient, xla=False):
    # Dense gradient, repeated rows of a sparse one summed.
    del xla
    return gradient.to_dense() if is_sparse(gradient) else gradient


def to_dense(gradient):
    return densify(gradient)


def values_of(gradient):
    return merge_rows(gradient).values() if is_sparse(gradient) else gradient


def with_values(gradient, values):
    if not is_sparse(gradient):
        return values
    return torch.sparse_coo_tensor(
        merge_rows(gradient).indices(),
        values,
        gradient.shape,
        is_coalesced=True,
    )


def take_rows(weight, gradient):
    if not is_sparse(gradient):
        return weight
    return weight[merge_rows(gradient).indices()[0]]


def merge_rows(gradient):
    return gradient.coalesce() if is_sparse(gradient) else gradient
