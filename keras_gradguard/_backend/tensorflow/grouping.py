"""Which tensors are reduced together under XLA.

A small tensor costs a kernel, not its data: tensors of like size are padded
to rows of one matrix and reduced in one kernel. Large ones stay as they are.
"""

from keras_gradguard._backend.kernels import SMALL


def split(sizes):
    """Group small tensors by size.

    Args:
        sizes: List of int, numbers of elements.

    Returns:
        `(groups, large)`: lists of positions; within a group the sizes differ
        by a factor of four at most.
    """
    groups: dict = {}
    large: list = []
    for i, size in enumerate(sizes):
        if size == 0 or size > SMALL:
            large.append(i) if size else groups.setdefault(-1, []).append(i)
        else:
            groups.setdefault((size - 1).bit_length() // 2, []).append(i)
    return list(groups.values()), large
