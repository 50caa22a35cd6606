"""The tables behind a trace, and what must survive when they are full."""

import numpy as np

from keras_gradguard.trace.blocks import make_store
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import GRADIENT_SERIES
from keras_gradguard.trace.table import ThinnedColumns
from keras_gradguard.trace.through_time import TIMES

# The first steps of a run are never thinned out.
FIRST_STEPS = 100
# Steps that led to the first non-finite gradient and are kept with it.
_WAY = 64


class TraceTables:
    """Records, weight measurements, epochs and block summaries of a run.

    Args:
        layers: Int. Number of layers.
        variables: Int. Number of variables.
        capacity_bytes: Int. Memory to stay within, roughly.

    Attributes:
        records: One row per optimizer step.
        updates: One row per measurement of the weights.
        activations: One row per measurement of activations and data.
        times: One row per measurement of gradients through time.
        epochs: One row per epoch.
        blocks: One row per block of records.
        pinned: Int array. Steps that the user or a non-finite gradient pins.
        of_findings: Int array. Steps that findings pin.
        nonfinite_kept: Bool. Whether the way to the first non-finite gradient
            is pinned.
    """

    def __init__(self, layers, variables, capacity_bytes):
        row = 4 * len(GRADIENT_SERIES) * max(1, variables) + 24
        self.records = ThinnedColumns(
            max(512, int(0.6 * capacity_bytes) // row)
        )
        self.records.add("step", (), np.int64, 0)
        self.records.add("grad_norm", (variables,))
        self.records.add("clipped")
        self.records.add("skipped", (), bool, False)
        row = 4 * 4 * (variables + 1)
        self.updates = ThinnedColumns(
            max(64, int(0.25 * capacity_bytes) // row)
        )
        self.updates.add("step", (), np.int64, 0)
        self.updates.add("weight_norm", (variables,))
        self.activations = ThinnedColumns(1024)
        self.activations.add("step", (), np.int64, 0)
        for name in DATA_SERIES:
            self.activations.add(f"data/{name}")
        self.times = ThinnedColumns(256)
        self.times.add("step", (), np.int64, 0)
        self.epochs = ThinnedColumns(4096)
        self.epochs.add("epoch", (), np.int64, 0)
        self.epochs.add("step", (), np.int64, 0)
        self.blocks = make_store(layers, capacity_bytes)
        self.pinned = np.zeros(0, np.int64)
        self.of_findings = np.zeros(0, np.int64)
        self.nonfinite_kept = False
        self._variables = variables

    @property
    def nbytes(self):
        """Bytes that the tables occupy."""
        tables = (
            self.records,
            self.updates,
            self.activations,
            self.times,
            self.epochs,
            self.blocks,
        )
        return sum(table.nbytes for table in tables)

    def append_records(self, rows, values, has_gradient):
        """Append records and pin the way to a non-finite gradient."""
        for name in GRADIENT_SERIES:
            if name in values and name not in self.records:
                self.records.add(name, (self._variables,))
        self.records.append(rows, values, self._kept_records)
        self._keep_way_to_nonfinite(rows, values, has_gradient)

    def append_updates(self, rows, values):
        """Append measurements; a series is new the first time it comes."""
        for name in values:
            if name not in self.updates:
                self.updates.add(name, (self._variables,))
        self.updates.append(rows, values, self._kept_updates)

    def add_sites(self, count):
        """Make room for so many activations; once they are known."""
        if "mean" not in self.activations:
            for name in ACTIVATION_SERIES:
                self.activations.add(name, (count,))

    def add_recurrent(self, count):
        """Make room for so many recurrent layers; once they are known."""
        if "norm" not in self.times:
            self.times.add("length", (count,), np.int64, 0)
            self.times.add("norm", (count, TIMES))

    def append_times(self, rows, values):
        """Append measurements of gradients through time."""
        self.times.append(rows, values, self._kept_times)

    def append_activations(self, rows, values):
        """Append measurements of activations and data."""
        self.activations.append(rows, values, self._kept_activations)

    def activation_series(self, name):
        """Return a series of `activations`, without columns if unmeasured."""
        if name in self.activations:
            return self.activations.get(name)
        return np.full((self.activations.count, 0), np.nan, np.float32)

    def append_epoch(self, values):
        """Append the row of an epoch; a log is new the first time it comes."""
        for name in values:
            if name not in self.epochs:
                self.epochs.add(name, (), np.float64)
        self.epochs.append(1, values)

    def update_series(self, name, start=0):
        """Return a series of `updates` from row `start`, NaN if unmeasured."""
        return self._series(self.updates, name)[start:]

    def record_series(self, name):
        """Return a series per variable of `records`, NaN if unmeasured."""
        return self._series(self.records, name)

    def _series(self, table, name):
        if name in table:
            return table.get(name)
        return np.full((table.count, self._variables), np.nan, np.float32)

    def pin(self, steps):
        """Protect steps from being thinned out."""
        more = np.asarray(steps, np.int64).ravel()
        self.pinned = np.union1d(self.pinned, more)

    def _kept_records(self):
        # Where weights were measured, a record lets `get` show them.
        wanted = (self.pinned, self.of_findings, self.updates.get("step"))
        steps = self.records.get("step")
        kept = np.isin(steps, np.concatenate(wanted))
        # How a run began is asked for however long it lasts.
        return kept | (steps < steps[0] + FIRST_STEPS)

    def _kept_updates(self):
        wanted = (self.of_findings, self.epochs.get("step")[-8:])
        return np.isin(self.updates.get("step"), np.concatenate(wanted))

    def _kept_activations(self):
        return np.isin(self.activations.get("step"), self.of_findings)

    def _kept_times(self):
        return np.isin(self.times.get("step"), self.of_findings)

    def _keep_way_to_nonfinite(self, rows, values, has_gradient):
        if self.nonfinite_kept:
            return
        norms = values["grad_norm"][:, has_gradient]
        if np.isfinite(norms.sum(dtype=np.float64)):
            return
        gone = ~np.isfinite(norms).all(axis=1)
        if "skipped" in values:
            gone &= ~values["skipped"]
        if gone.any():
            count = self.records.count
            at = max(0, count - rows + int(np.argmax(gone)))
            self.pin(self.records.get("step")[max(0, at - _WAY) : at + 1])
            self.nonfinite_kept = True
