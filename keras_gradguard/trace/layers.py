"""The layers and variables that a trace is of, and which get a gradient."""

import copy

import numpy as np

from keras_gradguard import _validation
from keras_gradguard.trace.layer_norms import LayerSums

_MOST_CHARACTERS = 2**24


class TraceVariables:
    """Layers, their variables, and what is known of these for a whole run.

    Args:
        layers: Sequence of L str. Layer paths in forward order.
        paths: Sequence of V str. Variable paths in forward order.
        owners: Sequence of V int. Index into `layers` of each variable.
        has_gradient: Bool array (V,), or None to infer it from what is seen.
        sizes: Float array (V,), entries per variable, or None if unknown.

    Attributes:
        layers: Str array (L,).
        paths: Str array (V,).
        owners: Int array (V,).
        sizes: Float array (V,) or None.
        sums: `LayerSums`, from numbers per variable to numbers per layer.
        seen_gradient: Bool array (V,). Variables whose gradient was seen.
        said_gradient: Bool array (V,), what `say_gradient` got, or None.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `owners`, `has_gradient` or `sizes` do not fit.
    """

    def __init__(self, layers, paths, owners, has_gradient=None, sizes=None):
        self.layers = _names("layers", layers)
        self.paths = _names("variables", paths)
        self.owners = self._checked_owners(owners)
        self.sizes = None
        if sizes is not None:
            self.sizes = self._one_each("sizes", sizes, np.float64)
        self.sums = LayerSums(self.owners, len(self.layers))
        self.seen_gradient = np.zeros(len(self.paths), bool)
        self.said_gradient = None
        if has_gradient is not None:
            self.say_gradient(has_gradient)

    def __len__(self):
        return len(self.paths)

    def without(self, hidden):
        """Return a copy in which some layers get no gradient.

        Args:
            hidden: Bool array (L,).
        """
        other = copy.copy(self)
        other.said_gradient = self.has_gradient & ~hidden[self.owners]
        return other

    @property
    def weights(self):
        """Float array (V,): entries per variable, all 1 where unknown."""
        return np.ones(len(self)) if self.sizes is None else self.sizes

    @property
    def has_gradient(self):
        """Bool array (V,): variables that get a gradient."""
        if self.said_gradient is not None:
            return self.said_gradient
        return self.seen_gradient

    def say_gradient(self, mask):
        """Say which variables get a gradient: a bool array (V,)."""
        self.said_gradient = self._one_each("has_gradient", mask, bool)

    def see_gradient(self, grad_norm):
        """Infer from gradient norms (n, V) which variables get a gradient."""
        if self.said_gradient is None and not self.seen_gradient.all():
            self.seen_gradient |= ~np.isnan(grad_norm).all(axis=0)

    def _checked_owners(self, owners):
        count, layers = len(self.paths), len(self.layers)
        what = "It is one index into `layers` per variable."
        if isinstance(owners, range):
            owners = list(owners)
        owners = _validation.check_array(
            "Trace", "owners", owners, np.int64, (count,), what
        )
        if count and (owners.min() < 0 or owners.max() >= layers):
            _validation.fail(
                ValueError,
                "Trace",
                "owners",
                f"indices from 0 to {layers - 1}",
                owners.tolist(),
                what,
            )
        return owners

    def _one_each(self, name, values, dtype):
        return _validation.check_array(
            "Trace",
            name,
            values,
            dtype,
            (len(self.paths),),
            "It is one value per variable.",
        )


def _names(name, value):
    names = _validation.check_names("Trace", name, value)
    # NumPy gives each name the room of the longest.
    if len(names) * max(map(len, names), default=0) > _MOST_CHARACTERS:
        _validation.fail(
            ValueError,
            "Trace",
            name,
            "paths of which none is far longer than the rest",
            value,
        )
    return np.array(names, dtype=str)
