"""A trace's measurements of the weights and of their updates."""

from typing import Any

import numpy as np

from keras_gradguard import _validation
from keras_gradguard.trace.series import BY_NAME
from keras_gradguard.trace.series import UPDATE_SERIES


class WeightMeasurements:
    """One row per measurement of the weights, at a coarser cadence than steps.

    Args:
        tables: `TraceTables`, which keep the rows.
        variables: `TraceVariables`.
    """

    def __init__(self, tables, variables):
        self._tables = tables
        self._variables = variables
        self._ratio: Any = (None, None)

    def append(self, steps, *given):
        """Append measurements; see `Trace.append_updates`.

        Args:
            steps: Int array (m,).
            *given: One float array (m, V) or None for each of
                `UPDATE_SERIES`.

        Raises:
            ValueError: If the shapes do not fit.
        """
        owner = "Trace.append_updates"
        steps = _validation.check_steps(owner, steps)
        values = {"step": steps}
        for name, series in zip(UPDATE_SERIES, given, strict=True):
            if series is not None or name == "weight_norm":
                values[name] = _validation.check_array(
                    owner,
                    name,
                    series,
                    np.float32,
                    (len(steps), len(self._variables)),
                    "It is of shape (steps, variables): pass one row per step.",
                )
        self._tables.append_updates(len(steps), values)

    @property
    def steps(self):
        """Int array (M,): steps at which was measured."""
        return self._tables.updates.get("step")

    def series(self, name, by, since=None):
        """Return a series at the steps where it was measured.

        Args:
            name: Str. `"update_ratio"` or one of `UPDATE_SERIES`.
            by: Str. `"layer"` or `"variable"`.
            since: Int. Leaves out measurements up to and with this step.
                Defaults to none left out.

        Returns:
            Int array (M,) of steps and float32 array (M, L) or (M, V).
        """
        steps, start = self.steps, 0
        if since is not None:
            since = _validation.check_int("Trace.measured", "since", since)
            start = int(np.searchsorted(steps, since, side="right"))
        if name == "update_ratio":
            return steps[start:], self._update_ratio(by, start)
        if by == "variable":
            return steps[start:], self._tables.update_series(name, start)
        return steps[start:], self._by_layer(name, start)

    def series_on(self, steps, name, by):
        """Return a series on another time axis, NaN where not measured.

        Args:
            steps: Int array (T,), in order; a step may repeat.
            name: Str. As for `series`.
            by: Str. As for `series`.

        Returns:
            Float32 array (T, L) or (T, V).
        """
        measured, values = self.series(name, by)
        out = np.full((len(steps), values.shape[1]), np.nan, np.float32)
        # A step repeats when its update was skipped; the last one was real.
        at = np.searchsorted(steps, measured, side="right") - 1
        hit = at >= 0
        hit[hit] = steps[at[hit]] == measured[hit]
        at, values = at[hit], values[hit]
        out[at] = values
        # The last step of an epoch may be measured within and after it.
        for i in np.flatnonzero(at[1:] == at[:-1])[::-1]:
            out[at[i]] = np.where(np.isnan(values[i]), out[at[i]], values[i])
        return out

    def _by_layer(self, name, start):
        # All weights are measured at once, so a NaN is a NaN weight.
        return self._variables.sums.together(
            BY_NAME[name].together,
            self._tables.update_series(name, start),
            self._variables.weights,
        )

    def _update_ratio(self, by, start):
        """Compute the ratio; several rules ask for it, so it is remembered."""
        key = (by, self._tables.updates.seen, start)
        if self._ratio[0] != key:
            update = self._tables.update_series("update_norm", start)
            weight = self._tables.update_series("weight_norm", start)
            if by == "layer":
                # Only variables whose update was measured, on both sides.
                unknown = np.isnan(update)
                if unknown.any():
                    weight = np.where(unknown, np.nan, weight)
                weight = self._variables.sums.norm(weight)
                update = self._variables.sums.norm(update)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ratio = update / weight
            ratio.flags.writeable = False
            self._ratio = (key, ratio)
        return self._ratio[1]
