"""A trace's records: the gradients of each optimizer step."""

import numpy as np

from keras_gradguard import _validation
from keras_gradguard.trace import blocks
from keras_gradguard.trace.layer_norms import squares

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

    @property
    def variable_norms(self):
        """Float32 array (T, V): gradient norm of each variable."""
        return self._tables.records.get("grad_norm")

    def layer_norms(self, first, last):
        """Return gradient norms (n, L) of records `first` to `last`."""
        part = self.variable_norms[first:last]
        return self._variables.sums.grad_norm(
            part, self._variables.has_gradient
        )

    def global_norms(self, first, last, clipped=False):
        """Return global norms (n,) of records `first` to `last`, float64."""
        part = self.variable_norms[first:last]
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
