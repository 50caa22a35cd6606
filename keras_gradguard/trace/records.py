"""A trace's records: the gradients of each optimizer step."""

import numpy as np

from keras_gradguard import _validation
from keras_gradguard.trace import blocks
from keras_gradguard.trace.layer_norms import squares
from keras_gradguard.trace.series import BY_NAME
from keras_gradguard.trace.series import GRADIENT_SERIES

_OWNER = "Trace.append"


class GradientRecords:
    """One row per optimizer step: gradient norms and what else belongs to it.

    Args:
        tables: `TraceTables`, which keep the rows.
        variables: `TraceVariables`.

    Attributes:
        extra_names: List of str. Names of the further series, in the order in
            which they came.
    """

    def __init__(self, tables, variables):
        self.extra_names = []
        self._tables = tables
        self._variables = variables

    def of(self, variables):
        """Return the same records, of other `TraceVariables`."""
        other = GradientRecords(self._tables, variables)
        other.extra_names = self.extra_names
        return other

    def __len__(self):
        return self._tables.records.count

    def append(self, steps, grad_norm, clipped, skipped, extra):
        """Append a block of records; see `Trace.append`."""
        steps = _validation.check_steps(_OWNER, steps)
        rows = len(steps)
        grad_norm = _validation.check_array(
            _OWNER,
            "grad_norm",
            grad_norm,
            np.float32,
            (rows, len(self._variables)),
            "It is of shape (steps, variables): pass one row per step.",
        )
        values = {"step": steps, "grad_norm": grad_norm}
        if clipped is not None:
            values["clipped"] = _one_each(
                "clipped_grad_norm", clipped, np.float32, rows
            )
        if skipped is not None:
            values["skipped"] = _one_each("skipped", skipped, bool, rows)
        extra = _validation.check_dict(_OWNER, "extra", extra)
        names = _validation.check_names(_OWNER, "extra", list(extra))
        per_variable = [n for n in names if n in GRADIENT_SERIES]
        names = [n for n in names if n not in per_variable]
        for name in per_variable:
            values[name] = _validation.check_array(
                _OWNER,
                "extra",
                extra[name],
                np.float32,
                grad_norm.shape,
                f"That of {_validation.shown(name)} is one per variable.",
            )
        for name in names:
            values[f"extra/{name}"] = _one_each(
                "extra",
                extra[name],
                np.float32,
                rows,
                f"That of {_validation.shown(name)} is one per step.",
            )
        if not rows:
            return
        for name in names:
            if name not in self.extra_names:
                self.extra_names.append(name)
                self._tables.records.add(f"extra/{name}")
        self._variables.see_gradient(grad_norm)
        blocks.extend(self._variables, self._tables.blocks, values)
        self._tables.append_records(rows, values, self._variables.has_gradient)

    @property
    def steps(self):
        """Int array (T,): optimizer step of each record."""
        return self._tables.records.get("step")

    @property
    def skipped(self):
        """Bool array (T,): updates that were not applied."""
        return self._tables.records.get("skipped")

    @property
    def extra(self):
        """Dict of name to float32 array (T,): further series."""
        table = self._tables.records
        return {name: table.get(f"extra/{name}") for name in self.extra_names}

    def by_variable(self, name="grad_norm"):
        """Return a series of `GRADIENT_SERIES`, float32 array (T, V)."""
        return self._tables.record_series(name)

    def by_layer(self, first, last, name="grad_norm"):
        """Return a series (n, L) of records `first` to `last`."""
        part = self.by_variable(name)[first:last]
        sums, mask = self._variables.sums, self._variables.has_gradient
        if name == "grad_norm":
            return sums.grad_norm(part, mask)
        return sums.of_gradients(
            BY_NAME[name].together, part, mask, self._variables.weights
        )

    def global_norms(self, first, last, clipped=False):
        """Return global norms (n,) of records `first` to `last`, float64."""
        part = self.by_variable()[first:last]
        mask = self._variables.has_gradient
        norms = np.sqrt(squares(part, mask).sum(axis=1))
        if not clipped:
            return norms
        after = self._tables.records.get("clipped")[first:last].astype(
            np.float64
        )
        return np.where(np.isnan(after), norms, after)


def _one_each(name, values, dtype, rows, hint="Pass one per step."):
    return _validation.check_array(_OWNER, name, values, dtype, (rows,), hint)
