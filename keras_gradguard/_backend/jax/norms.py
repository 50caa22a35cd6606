"""JAX: fused norms, and barriers against XLA."""

import jax
import jax.numpy as jnp

from keras_gradguard._backend.jax import fused_norms
from keras_gradguard._backend.jax.sharding import is_sharded


def barrier(tensors, xla=None):
    del xla
    if not tensors:
        return []
    return list(jax.lax.optimization_barrier(tuple(tensors)))


def may_join():
    # Whether small tensors may be read as one: that changes nothing here,
    # but for how the step lies on devices.
    return not is_sharded()


def l2_norms(tensors, xla=None):
    del xla
    if not tensors:
        return jnp.zeros((0,), "float32")
    return fused_norms.l2_norms(tensors)


def change_norms(before, after, xla=None):
    del xla
    if not before:
        return jnp.zeros((0,), "float32")
    return fused_norms.change_norms(before, after)


def zero_fractions(tensors):
    if not tensors:
        return jnp.zeros((0,), "float32")
    return jnp.stack([jnp.mean(t == 0, dtype="float32") for t in tensors])
