"""A trace as tables of pandas: a row per record, or a row per number."""

import numpy as np

from keras_gradguard._optional import require
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import SERIES

_OWNER = "Trace.to_dataframe"


def to_dataframe(trace, long):
    """Return a trace as a `pandas.DataFrame`; see `Trace.to_dataframe`."""
    pandas = require("pandas", "pandas", _OWNER)
    if long:
        return _long(trace, pandas)
    columns = _of_records(trace)
    for name in SERIES:
        values = trace.get(name)
        for at, layer in enumerate(trace.layers):
            columns[f"{name}/{layer}"] = values[:, at]
    return pandas.DataFrame(columns, pandas.Index(trace.steps, name="step"))


def _of_records(trace):
    return {
        "global_grad_norm": trace.global_grad_norm,
        "clipped_grad_norm": trace.clipped_grad_norm,
        "skipped": trace.skipped,
        **trace.extra,
    }


def _long(trace, pandas):
    parts = [_part("", [], np.zeros((0, 1)))]
    for name, values in _of_records(trace).items():
        parts.append(_part(name, trace.steps, values[:, np.newaxis]))
    for name in SERIES:
        steps, values = trace.measured(name)
        parts.append(_part(name, steps, values, trace.layers))
    steps, sites = trace.activation_steps, trace.sites
    for name in ACTIVATION_SERIES:
        parts.append(_part(name, steps, trace.activation(name), sites))
    for name in DATA_SERIES:
        values = trace.data(name)[:, np.newaxis]
        parts.append(_part(f"data/{name}", steps, values))
    for layer in trace.recurrent_layers:
        steps, times, norms = trace.time_gradients(layer)
        owners = [layer] * times.shape[1]
        part = _part("time_gradient", steps, norms, owners, times)
        # A batch that was shorter than others fills its row up.
        there = part["time_step"] >= 0
        parts.append({name: part[name][there] for name in part})
    return pandas.DataFrame(
        {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    )


def _part(series, steps, values, layers=("",), times=-1):
    """Return the rows of values (K, L) as columns."""
    values = np.asarray(values, np.float64)
    rows, width = values.shape
    return {
        "step": np.repeat(np.asarray(steps, np.int64), width),
        "series": np.full(values.size, series, object),
        "layer": np.tile(np.asarray(layers, object), rows),
        "time_step": np.broadcast_to(times, values.shape).ravel(),
        "value": values.ravel(),
    }
