"""A trace's measurements of activations and of the batches' data."""

import copy

import numpy as np

from keras_gradguard import _validation
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
        self._hidden = None

    def without(self, hidden):
        """Return a view in which some activations are unknown.

        Args:
            hidden: Bool array (A,).
        """
        other = copy.copy(self)
        other._hidden = hidden
        return other

    def append(self, step, sites, activations, data):
        """Append one measurement; see `Trace.append_activations`."""
        owner = "Trace.append_activations"
        step = _validation.check_int(owner, "step", step)
        sites = () if sites is None else sites
        sites = _validation.check_names(owner, "sites", sites)
        known = self.sites.tolist() or sites
        if sites and sites != known:
            raise ValueError(
                f"{owner}: `sites` must be the same in each call. Received: "
                f"{len(sites)} sites that differ from the {len(known)} "
                "before. Start another trace."
            )
        values = {"step": [step]}
        activations = _validation.check_dict(owner, "activations", activations)
        for name, series in activations.items():
            check_choice(owner, "activations", name, ACTIVATION_SERIES)
            values[name] = _validation.check_array(
                owner,
                "activations",
                series,
                np.float32,
                (len(known),),
                f"That of {name!r} is one number per site.",
            )[np.newaxis]
        data = _validation.check_dict(owner, "data", data)
        for name, number in data.items():
            check_choice(owner, "data", name, DATA_SERIES)
            values[f"data/{name}"] = _validation.check_array(
                owner, "data", number, np.float32, (), f"It is {name!r}."
            )[np.newaxis]
        if sites and not len(self.sites):
            self.sites = np.array(sites, dtype=str)
            self._tables.add_sites(len(sites))
        self._tables.append_activations(1, values)

    @property
    def steps(self):
        """Int array (K,): steps at which was measured."""
        return self._tables.activations.get("step")

    def activation(self, name):
        """Return a series (K, A) of the activations; see `Trace.activation`."""
        check_choice("Trace.activation", "name", name, ACTIVATION_SERIES)
        series = self._tables.activation_series(name)
        if self._hidden is None or not self._hidden.any():
            return series
        return np.where(self._hidden, np.float32(np.nan), series)

    def data(self, name):
        """Return a series (K,) of the batches' data; see `Trace.data`."""
        check_choice("Trace.data", "name", name, DATA_SERIES)
        return self._tables.activations.get(f"data/{name}")
