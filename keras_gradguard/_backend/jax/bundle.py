"""JAX: many small arrays on their way from an accelerator to the host."""

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend.kernels import AT_ONCE


@jax.tree_util.register_pytree_node_class
class Bundle:
    """The arrays of a structure, those of one kind side by side.

    Each array that goes to the host takes some microseconds, however small it
    is, and a look at a large model gives many.

    Args:
        arrays: List of arrays, each of several of the same shape and dtype.
        layout: Hashable: how many leaves, where each stands, the structure.
    """

    def __init__(self, arrays, layout):
        self.arrays = arrays
        self._layout = layout

    @classmethod
    def of(cls, structure):
        """Make one, inside of a compiled function.

        Args:
            structure: Nested dicts and lists of arrays and numbers.
        """
        leaves, treedef = jax.tree_util.tree_flatten(structure)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        alike: dict = {}
        for i, leaf in enumerate(leaves):
            alike.setdefault((leaf.shape, leaf.dtype), []).append(i)
        chunks = [
            tuple(places[at : at + AT_ONCE])
            for places in alike.values()
            for at in range(0, len(places), AT_ONCE)
        ]
        arrays = [jnp.stack([leaves[i] for i in chunk]) for chunk in chunks]
        return cls(arrays, (tuple(chunks), treedef))

    def tree_flatten(self):
        return self.arrays, self._layout

    @classmethod
    def tree_unflatten(cls, layout, arrays):
        return cls(list(arrays), layout)

    def read(self):
        """The structure, with NumPy arrays."""
        chunks, treedef = self._layout
        leaves: dict = {}
        for array, chunk in zip(self.arrays, chunks, strict=True):
            leaves.update(zip(chunk, np.asarray(array), strict=True))
        ordered = [leaves[i] for i in range(len(leaves))]
        return jax.tree_util.tree_unflatten(treedef, ordered)
