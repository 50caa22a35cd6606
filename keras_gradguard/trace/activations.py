"""A trace's measurements of activations and of the batches' data."""

import numpy as np

from keras_gradguard._validation import check_choice
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES


class ActivationMeasurements:
    """One row per measurement of activations and of the batch's data.

    Args:
        tables: `TraceTables`, which keep the rows.

    Attributes:
        sites: Str array (A,). Paths of the layers whose outputs are measured;
            empty until they are known.
    """

    def __init__(self, tables):
        self.sites = np.zeros(0, dtype=str)
        self._tables = tables

    def append(self, step, sites, activations, data):
        """Append one measurement; see `Trace.append_activations`."""
        owner = "Trace.append_activations"
        sites = [str(site) for site in (() if sites is None else sites)]
        if len(sites) and not len(self.sites):
            self.sites = np.array(sites, dtype=str)
            self._tables.add_sites(len(sites))
        if len(sites) and sites != self.sites.tolist():
            raise ValueError(
                f"{owner}: `sites` must be the same in each call. Received: "
                f"{len(sites)} sites that differ from the {len(self.sites)} "
                "before. Start another trace."
            )
        values = {"step": [step]}
        for name, series in (activations or {}).items():
            check_choice(owner, "name", name, ACTIVATION_SERIES)
            values[name] = np.asarray(series, np.float32)[np.newaxis]
        for name, number in (data or {}).items():
            check_choice(owner, "name", name, DATA_SERIES)
            values[f"data/{name}"] = [number]
        self._tables.append_activations(1, values)

    @property
    def steps(self):
        """Int array (K,): steps at which was measured."""
        return self._tables.activations.get("step")

    def activation(self, name):
        """Return a series (K, A) of the activations; see `Trace.activation`."""
        check_choice("Trace.activation", "name", name, ACTIVATION_SERIES)
        return self._tables.activation_series(name)

    def data(self, name):
        """Return a series (K,) of the batches' data; see `Trace.data`."""
        check_choice("Trace.data", "name", name, DATA_SERIES)
        return self._tables.activations.get(f"data/{name}")
