"""From measurements of activations to the series of a trace."""

import numpy as np

from keras_gradguard.callbacks.unit_counts import UnitCounts
from keras_gradguard.trace.series import OUTPUT_STATISTICS

# A unit counts as dead once it was zero in so many measured batches, and
# stays so until one of them shows it alive.
_WINDOW = 8


class Activity:
    """Follows which units are active, and writes it into a trace.

    Attributes:
        active: Dict from a site's path to a float array `(window, units)`,
            share of non-zero outputs in the latest measured batches.
    """

    def __init__(self):
        self.active = {}
        self._counts = UnitCounts(0.0, 1)

    def add_counts(self, counts):
        """Take in for how many samples units were active, all steps counted.

        Args:
            counts: `Counts` of some steps.
        """
        self._counts.add(counts.by_path())

    def end_epoch(self):
        """Judge what was counted over the epoch."""
        self._counts.end_epoch()

    def append_to(self, trace, measurement):
        """Append a measurement to a trace.

        Args:
            trace: `Trace` of the run.
            measurement: `Measurement` of one step.
        """
        paths = [site.path for site in measurement.sites]
        columns = {
            name: measurement.activations[:, i]
            for i, name in enumerate(OUTPUT_STATISTICS)
        }
        columns["dead_fraction"] = np.array(
            [
                self._dead_fraction(path, active)
                for path, active in zip(paths, measurement.active, strict=True)
            ],
            "float32",
        )
        if not len(trace.sites):
            trace.meta["sites"] = {
                site.path: {
                    "activation": site.activation,
                    "can_die": site.can_die,
                    "saturates": site.bounds is not None,
                    "units": None if active is None else len(active),
                }
                for site, active in zip(
                    measurement.sites, measurement.active, strict=True
                )
            }
        trace.meta["data"] = measurement.facts
        if not paths:
            columns = {}  # activations are measured no more, the data are
        trace.append_activations(
            measurement.step, paths, columns, measurement.data
        )

    def _dead_fraction(self, path, active):
        """Share of units that were zero in all of the latest batches.

        Over all batches of the latest epoch, where they were counted.
        """
        if active is None:
            return np.nan
        if path in self._counts.history:
            return self._counts.history[path][-1]
        seen = self.active.get(path)
        if seen is None or seen.shape[1] != len(active):
            seen = np.zeros((0, len(active)), "float32")
        seen = np.concatenate([seen, active[np.newaxis]])[-_WINDOW:]
        self.active[path] = seen
        return float((seen == 0).all(axis=0).mean())
