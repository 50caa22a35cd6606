"""Tensors that are read whole: XLA and graphs keep no copies in between."""


def slices(tensors, axis):
    del axis
    return [tuple(tensors)]


def entries(tensor):
    return [tensor]
