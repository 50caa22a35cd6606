"""torch: gradients of a few rows, sparse tensors."""

import torch


def is_sparse(gradient):
    """Whether a gradient holds rows that may repeat."""
    return bool(getattr(gradient, "is_sparse", False))


def densify(gradient, xla=False):
    """Dense gradient, repeated rows of a sparse one summed."""
    del xla
    return gradient.to_dense() if is_sparse(gradient) else gradient


def to_dense(gradient):
    """The gradient as one tensor of its variable's shape."""
    return densify(gradient)


def values_of(gradient):
    """The numbers in a gradient: its merged rows if it is sparse."""
    return merge_rows(gradient).values() if is_sparse(gradient) else gradient


def with_values(gradient, values):
    """A gradient with other numbers, as sparse as it was."""
    if not is_sparse(gradient):
        return values
    return torch.sparse_coo_tensor(
        merge_rows(gradient).indices(),
        values,
        gradient.shape,
        is_coalesced=True,
    )


def take_rows(weight, gradient):
    """The rows of a weight that a gradient has; all if it is dense."""
    if not is_sparse(gradient):
        return weight
    return weight[merge_rows(gradient).indices()[0]]


def merge_rows(gradient):
    """Sum the rows of a sparse gradient that belong to the same index."""
    return gradient.coalesce() if is_sparse(gradient) else gradient
