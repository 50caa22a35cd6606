"""JAX: what is read of sharded tensors must not choose how they lie."""

import keras


def is_sharded():
    """Whether XLA chooses how tensors of the step lie on several devices.

    What is laid beside a sharded tensor gets its sharding, and so does what
    it is made from: the step itself would add up in another order.
    """
    distribution = keras.distribution.distribution()
    return isinstance(distribution, keras.distribution.ModelParallel)


def each_whole(tensors):
    if not is_sharded():
        return list(tensors)
    mesh = keras.distribution.distribution().device_mesh
    return [
        keras.distribution.distribute_tensor(
            tensor,
            keras.distribution.TensorLayout([None] * len(tensor.shape), mesh),
        )
        for tensor in tensors
    ]
