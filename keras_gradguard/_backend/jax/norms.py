"""JAX: fused norms, and barriers against XLA."""

import jax
import jax.numpy as jnp

from keras_gradguard._backend.jax import fused_norms


def barrier(tensors, xla=None):
    """Copies of arrays that XLA does not fuse with the originals."""
    del xla
    if not tensors:
        return []
    return list(jax.lax.optimization_barrier(tuple(tensors)))


def may_join():
    """Whether small tensors may be read as one: that changes nothing here."""
    return True


def l2_norms(tensors, xla=None):
    """L2 norm of each array, safe from overflow and underflow.

    Args:
        tensors: List of n float arrays.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Float32 array of shape `(n,)`.
    """
    del xla
    if not tensors:
        return jnp.zeros((0,), "float32")
    return fused_norms.l2_norms(tensors)


def change_norms(before, after, xla=None):
    """L2 norms of tensors, then those of their changes.

    Args:
        before: List of n dense float tensors.
        after: List of n tensors of the same shapes.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Float32 tensor of shape `(2 n,)`.
    """
    del xla
    if not before:
        return jnp.zeros((0,), "float32")
    return fused_norms.change_norms(before, after)


def zero_fractions(tensors):
    """Share of exact zeros of each array, float32 of shape `(n,)`."""
    if not tensors:
        return jnp.zeros((0,), "float32")
    return jnp.stack([jnp.mean(t == 0, dtype="float32") for t in tensors])
