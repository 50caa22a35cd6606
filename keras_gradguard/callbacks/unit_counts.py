"""How often each unit was active in an epoch, and which ones are dead."""

import numpy as np


class UnitCounts:
    """Adds up what the recording counts, and judges an epoch at its end.

    Args:
        threshold: Float. A unit is dead at or below this share.
        patience: Integer. For so many epochs in a row.

    Attributes:
        share: Dict from a site's path to a float array `(units,)`: share of
            the latest epoch's samples (of its steps, where the gradient was
            looked at) for which a unit was active.
        dead: Dict from a site's path to an int array, indices of dead units.
        history: Dict from a site's path to a list of floats, share of units at
            or below the threshold, epoch by epoch.
    """

    def __init__(self, threshold, patience):
        self.share, self.dead, self.history = {}, {}, {}
        self._threshold = threshold
        self._patience = patience
        self._active, self._total, self._below = {}, {}, {}

    def add(self, by_path):
        """Add counts.

        Args:
            by_path: Dict from a site's path to `(counts, total)`: a float
                array `(units,)`, and the number of samples or steps that
                they are of.
        """
        for path, (counts, total) in by_path.items():
            present = self._active.get(path)
            if present is None or present.shape != counts.shape:
                self._active[path] = np.array(counts, "float64")
                self._total[path] = total
            else:
                present += counts
                self._total[path] += total

    def end_epoch(self, known_active=None):
        """Judge the epoch that ended; counting starts anew.

        Args:
            known_active: Dict from a site's path to a bool array, its units
                that are known to be active. Defaults to none.

        Returns:
            Whether anything was counted.
        """
        counted = bool(self._active)
        for path, active in self._active.items():
            share = active / max(self._total[path], 1.0)
            low = share <= self._threshold
            alive = (known_active or {}).get(path)
            if alive is not None and alive.shape == low.shape:
                low &= ~alive
            below = self._below.get(path)
            if below is None or below.shape != low.shape:
                below = np.zeros(low.shape, int)
            self._below[path] = np.where(low, below + 1, 0)
            self.share[path] = share
            self.dead[path] = np.flatnonzero(
                self._below[path] >= self._patience
            )
            self.history.setdefault(path, []).append(float(low.mean()))
        self._active, self._total = {}, {}
        return counted

    def forget(self, path, units):
        """Start to count the epochs of some units anew.

        Args:
            path: A site's path.
            units: Int array of indices.
        """
        self._below[path][units] = 0
