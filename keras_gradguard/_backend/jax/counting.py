"""Counting the entries of a tensor by size, on JAX."""

import jax
import jax.numpy as jnp


def bits(array):
    """The bits of a float32 array as int32."""
    return jax.lax.bitcast_convert_type(array, jnp.int32)


def bin_counts(bins, count, xla=True):
    """How often each of the first bins occurs.

    Args:
        bins: Int32 tensor of any shape, none negative.
        count: Python int, bins to count; larger ones are left out.
        xla: Not used: JAX always compiles with XLA.

    Returns:
        Integer tensor of shape `(count,)`.
    """
    del xla
    wanted = jnp.arange(count).reshape((count,) + (1,) * bins.ndim)
    hits = (bins[None] == wanted).astype(jnp.int32)
    return jnp.sum(hits, axis=tuple(range(1, hits.ndim)))
