"""Counting the entries of a tensor by size, on JAX."""

import jax
import jax.numpy as jnp


def bits(tensor):
    return jax.lax.bitcast_convert_type(tensor, jnp.int32)


def bin_counts(bins, count, xla=False):
    del xla
    wanted = jnp.arange(count).reshape((count,) + (1,) * bins.ndim)
    hits = (bins[None] == wanted).astype(jnp.int32)
    return jnp.sum(hits, axis=tuple(range(1, hits.ndim)))
