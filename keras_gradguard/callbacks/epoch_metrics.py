"""What an epoch showed, as numbers for the epoch's logs."""

import numpy as np

from keras_gradguard import _validation

# In the order in which they are written into the logs.
NAMES = (
    "grad_norm",
    "grad_norm_min",
    "grad_norm_max",
    "update_ratio",
    "clipped_fraction",
    "skipped_steps",
    "dead_fraction",
    "findings",
)


def check_log_metrics(owner, log_metrics):
    """Return the names that an argument `log_metrics` means, a tuple.

    Args:
        owner: Class that took the argument.
        log_metrics: What was passed: a bool, a name, or a list of names.

    Raises:
        TypeError: If it is neither of these.
        ValueError: If a name is unknown.
    """
    if log_metrics is None or isinstance(log_metrics, bool):
        return NAMES if log_metrics else ()
    names = [log_metrics] if isinstance(log_metrics, str) else log_metrics
    if not isinstance(names, list | tuple | set | frozenset):
        raise TypeError(
            f"{owner}: `log_metrics` must be a bool or a list of names. "
            f"Received: log_metrics={log_metrics!r:.200} (of type "
            f"{type(log_metrics).__name__}). Pass True for all of them."
        )
    for name in names:
        _validation.check_choice(owner, "log_metrics", name, NAMES)
    return tuple(name for name in NAMES if name in names)


def epoch_metrics(trace, records, findings):
    """Return what the latest epoch of a trace showed.

    Args:
        trace: `Trace` whose latest epoch is complete.
        records: Int. Records of this epoch.
        findings: List of `Finding` that stand.

    Returns:
        Dict from the names of `NAMES` to floats, NaN where it is not known.
        `grad_norm` is the mean of the epoch's finite global norms;
        `grad_norm_min` and `grad_norm_max` are the smallest and the largest
        layer by the mean of its finite norms; `update_ratio` is the median
        over layers and measured steps; `clipped_fraction` is the share of its
        updates that were clipped, `skipped_steps` how many were skipped;
        `dead_fraction` is that of all units that can die, as measured last.
    """
    first, last = _rows(trace, records)
    found = dict.fromkeys(NAMES, float("nan"))
    found["findings"] = float(len(findings))
    found["dead_fraction"] = _dead_fraction(trace)
    steps, ratios = trace.measured("update_ratio")
    if first == last:
        return found
    measured = (steps >= trace.steps[first]) & (steps <= trace.steps[last - 1])
    found["update_ratio"] = _known(np.median, ratios[measured])
    found["grad_norm"] = _known(np.mean, trace.global_norms(first, last))
    layers = [
        _known(np.mean, norms) for norms in trace.layer_norms(first, last).T
    ]
    found["grad_norm_min"] = _known(np.min, layers)
    found["grad_norm_max"] = _known(np.max, layers)
    found["clipped_fraction"] = float(trace.was_clipped(first, last).mean())
    found["skipped_steps"] = float(trace.skipped[first:last].sum())
    return found


def _rows(trace, records):
    """Return the first record of the epoch, and the one after its last."""
    last = len(trace.steps)
    if not trace.thinned:
        return max(0, last - records), last
    ends = trace.epoch_steps
    before = int(ends[-2]) if len(ends) > 1 else -1
    return int(np.searchsorted(trace.steps, before, "right")), last


def _known(reduce, values):
    """Reduce the finite values in float64; NaN if there is none."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    return float(reduce(values)) if len(values) else float("nan")


def _dead_fraction(trace):
    """Share of dead units, each site weighted by its units."""
    shares = trace.activation("dead_fraction")
    if not len(shares):
        return float("nan")
    counts = [trace.run.site(site).get("units") or 0 for site in trace.sites]
    units = np.asarray(counts, np.float64)
    latest = shares[-1].astype(np.float64)
    known = np.isfinite(latest) & (units > 0)
    if not known.any():
        return float("nan")
    return float((latest * units)[known].sum() / units[known].sum())
