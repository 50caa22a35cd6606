"""From numbers per variable to numbers per layer, in float64."""

import numpy as np


class LayerSums:
    """Reduces series per variable (n, V) to series per layer (n, L).

    Args:
        owners: Int array (V,). Index of the layer of each variable.
        count: Int. Number of layers.
    """

    def __init__(self, owners, count):
        self._order = np.argsort(owners, kind="stable")
        self._sorted = bool((self._order == np.arange(len(owners))).all())
        self._present, self._starts = np.unique(
            owners[self._order], return_index=True
        )
        self._count = count
        # One variable per layer, in order: there is nothing to sum.
        self._single = (
            self._sorted and len(self._present) == len(owners) == count
        )

    def sum(self, values):
        """Sum over the variables of each layer; 0 for a layer without any."""
        out = np.zeros((len(values), self._count))
        if len(self._present):
            if not self._sorted:
                values = values[:, self._order]
            out[:, self._present] = np.add.reduceat(
                values, self._starts, axis=1
            )
        return out

    def any(self, mask):
        """Reduce a bool (V,) to (L,): whether it holds for any variable."""
        return self.sum(np.asarray(mask)[None, :] * 1.0)[0] > 0

    def grad_norm(self, values, has_gradient):
        """Norms of layers, NaN for those without a gradient."""
        total = self.sum(squares(values, has_gradient))
        total[:, ~self.any(has_gradient)] = np.nan
        return np.sqrt(total).astype(np.float32)

    def norm(self, values):
        """Norms over the variables that were measured, NaN if none was."""
        if self._single:
            return values
        unknown = np.isnan(values)
        if unknown.any():
            values = np.where(unknown, 0, values)
            total = self.sum(values.astype(np.float64) ** 2)
            total[self.sum(~unknown * 1.0) == 0] = np.nan
        else:
            total = self.sum(values.astype(np.float64) ** 2)
        return np.sqrt(total).astype(np.float32)

    def norm_of_all(self, values):
        """Norms over all variables: one NaN makes the layer NaN."""
        if self._single:
            return values
        total = self.sum(values.astype(np.float64) ** 2)
        return np.sqrt(total).astype(np.float32)

    def max(self, values):
        """The largest of the variables; one NaN makes the layer NaN."""
        out = np.full((len(values), self._count), np.nan, np.float32)
        if len(self._present):
            out[:, self._present] = np.maximum.reduceat(
                values[:, self._order], self._starts, axis=1
            )
        return out

    def together(self, how, values, sizes):
        """Make the numbers of layers of those of their variables.

        Args:
            how: Str. `Series.together`.
            values: Float array (n, V).
            sizes: Float array (V,). Entries of each variable.

        Returns:
            Float32 array (n, L).
        """
        if how == "mean":
            return self.mean(values, sizes)
        reductions = {
            "norm": self.norm,
            "norm_of_all": self.norm_of_all,
            "max": self.max,
        }
        return reductions[how](values)

    def of_gradients(self, how, values, has_gradient, sizes):
        """As `together`, of the variables that have a gradient.

        One whose gradient is NaN makes its layer NaN; a layer without any
        gradient is NaN, too.

        Args:
            how: Str. `Series.together`.
            values: Float array (n, V).
            has_gradient: Bool array (V,).
            sizes: Float array (V,).
        """
        neutral = -np.inf if how == "max" else 0.0
        values = np.where(has_gradient, values, neutral)
        if how == "mean":
            sizes = np.where(has_gradient, sizes, 0.0)
            with np.errstate(invalid="ignore"):
                out = self.sum(values * sizes) / self.sum(sizes[None])
        else:
            how = "norm_of_all" if how == "norm" else how
            out = np.array(self.together(how, values, sizes))
        out[:, ~self.any(has_gradient)] = np.nan
        return out.astype(np.float32)

    def mean(self, values, sizes):
        """Means over the entries of the variables that were measured."""
        known = ~np.isnan(values)
        part = self.sum(np.where(known, values, 0.0) * sizes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (part / self.sum(known * sizes)).astype(np.float32)


def squares(values, mask):
    """Squares in float64, 0 for the variables outside `mask`."""
    wide = values.astype(np.float64)
    wide *= wide
    wide[:, ~mask] = 0.0
    return wide
