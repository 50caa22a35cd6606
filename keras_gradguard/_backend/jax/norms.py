"""JAX: fused norms, and barriers against XLA."""

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend import grouping

_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def barrier(tensors, xla=None):
    """Copies of arrays that XLA does not fuse with the originals."""
    del xla
    if not tensors:
        return []
    return list(jax.lax.optimization_barrier(tuple(tensors)))


def l2_norms(tensors, xla=None):
    """L2 norm of each array, safe from overflow and underflow.

    Args:
        tensors: List of n float arrays.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Float32 array of shape `(n,)`.
    """
    del xla
    tensors = [t.astype("float32") for t in tensors]
    small, large = grouping.split([t.size for t in tensors])
    parts, order = [], []
    for group in small:
        parts.append(_norms_of_rows(_as_rows([tensors[i] for i in group])))
        order.extend(group)
    if large:
        parts.append(_norms_of_large([tensors[i] for i in large]))
        order.extend(large)
    if not parts:
        return jnp.zeros((0,), "float32")
    norms = jnp.concatenate(parts)
    return norms[np.argsort(order)]


def _as_rows(tensors):
    """Arrays of shape `(size,)`, padded with zeros, as rows of one."""
    width = max(t.size for t in tensors)
    return jnp.stack(
        [jnp.pad(t.reshape(-1), (0, width - t.size)) for t in tensors]
    )


def _norms_of_rows(rows):
    largest = jnp.max(jnp.abs(rows), axis=1, initial=0.0)
    usable = jnp.isfinite(largest) & (largest > 0)
    scale = jnp.where(usable, largest, 1.0)
    scaled = rows / scale[:, None]
    return jnp.sqrt(jnp.sum(scaled * scaled, axis=1)) * scale


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = jnp.stack([jnp.sum(t * t) for t in tensors])
    safe = jnp.all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return jax.lax.cond(
        safe,
        lambda: jnp.sqrt(sums),
        lambda: jnp.concatenate(
            [_norms_of_rows(t.reshape(1, -1)) for t in tensors]
        ),
    )


def zero_fractions(tensors):
    """Share of exact zeros of each array, float32 of shape `(n,)`."""
    if not tensors:
        return jnp.zeros((0,), "float32")
    return jnp.stack([jnp.mean(t == 0, dtype="float32") for t in tensors])
