"""What single measured steps show of units, gathered over an epoch."""

import numpy as np


class MeasuredUnits:
    """Gathers which units some steps showed to be active, and how large.

    `UnitCounts` has all steps of an epoch, of outputs or of gradients. A few
    steps are measured in full; those tell the one from the other.

    Attributes:
        active: Dict from a site's path to a bool array `(units,)`: units that
            were active in a measured step of the latest epoch that had one.
        starved: Dict from a layer's path to whether all its gradients were
            zero over the latest epoch that recorded some.
    """

    def __init__(self):
        self.active, self.starved = {}, {}
        self._flags, self._sizes, self._zero = {}, {}, {}

    def add_outputs(self, measurement):
        """Take in what one step showed of the outputs.

        Args:
            measurement: `Measurement` of the step.
        """
        for site, active, size in zip(
            measurement.sites,
            measurement.active,
            measurement.magnitude,
            strict=True,
        ):
            flags = None if active is None else active > 0
            self._flags.setdefault(site.path, []).append(flags)
            self._sizes.setdefault(site.path, []).append(size)

    def add_gradients(self, table, block):
        """Take in which layers got a gradient in some steps.

        Args:
            table: `LayerTable` of the recording.
            block: `Block` of records.
        """
        for at, path in enumerate(table.layer_paths):
            own = (table.owners == at) & block.has_gradient
            norms = block.grad_norm[:, own]
            if norms.size:
                zero = bool((norms == 0).all())
                self._zero[path] = zero and self._zero.get(path, True)

    def end_epoch(self):
        """Judge the epoch that ended; gathering starts anew.

        An epoch without a measured step goes by the one before.
        """
        for path, flags in self._flags.items():
            if flags[0] is not None:
                self.active[path] = np.any(flags, axis=0)
        self.starved.update(self._zero)
        self._flags, self._sizes, self._zero = {}, {}, {}

    def blocked(self, path, share, by_gradient):
        """Return the units of a layer that are active but get no gradient.

        Args:
            path: Str. A site's path.
            share: Float array `(units,)`. Share of samples, or of steps with
                a gradient, in which each unit was active.
            by_gradient: Bool. Whether `share` is of the gradients.

        Returns:
            Int array of indices, or None where nothing is blocked.
        """
        active = share > 0
        if by_gradient:
            seen = self.active.get(path, np.zeros(len(share), bool))
            return np.flatnonzero(~active & seen)
        return np.flatnonzero(active) if self.starved.get(path) else None

    def scores(self):
        """Return the ReDo scores of the layers measured in this epoch so far.

        Returns:
            Dict from a site's path to a float array `(units,)`: mean of
            `|output|` over that of the layer.
        """
        found = {}
        for path, sizes in self._sizes.items():
            sizes = [size for size in sizes if size is not None]
            if sizes:
                size = np.mean(sizes, axis=0, dtype="float64")
                found[path] = size / (size.mean() + 1e-9)
        return found
