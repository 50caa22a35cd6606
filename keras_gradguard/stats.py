"""Numbers from tensors, written with `keras.ops`."""

from keras import ops

from keras_gradguard._backend.scaling import safe_factors
from keras_gradguard._backend.scaling import safe_roots

_SHIFT = 2.0**60


def shared_norms(gradients):
    """Norms by the reduction that Keras's clipping does anyway.

    `sum(square(g))` stands in Keras's `clipnorm` and `global_clipnorm` word
    for word, so XLA computes it once. Where it over- or underflows, sums of
    the gradient times a power of two take its place.

    Args:
        gradients: List of n dense tensors.

    Returns:
        Float32 tensor of shape `(n,)`.
    """

    def sums(factor=None):
        scaled = (
            gradients if factor is None else [g * factor for g in gradients]
        )
        squares = [ops.sum(ops.square(g)) for g in scaled]
        return ops.stack([ops.cast(s, "float32") for s in squares])

    return safe_roots(sums, _SHIFT)


def full(shape, value, xp=ops):
    """Return a float32 tensor of one value.

    `ops.full` reads the value back from the device on torch, so that the host
    waits for all that was to be computed before.

    Args:
        shape: Tuple of int.
        value: Python float.
        xp: `keras.ops`, or `host_ops`.
    """
    return xp.zeros(shape, "float32") + value


def global_norm(norms):
    """Norm of several vectors as one, from their norms.

    Args:
        norms: Float tensor of shape `(n,)`.

    Returns:
        Scalar, safe from overflow and underflow.
    """
    factor, back = safe_factors(ops.max(norms))
    return ops.sqrt(ops.sum(ops.square(norms * factor))) * back
