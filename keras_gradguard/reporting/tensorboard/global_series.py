"""What concerns the whole model, record by record."""

import numpy as np

GLOBAL = ("global_grad_norm", "clipped_grad_norm")
RANGE = ("grad_norm_min", "grad_norm_max")


def global_series(trace, low, high, norms):
    """Return the series of a part of a run that are not per layer.

    Args:
        trace: `keras_gradguard.Trace`.
        low: Int. Index of the first record.
        high: Int. Index after the last record, above `low`.
        norms: Float array (high - low, L). Gradient norms of the layers.

    Returns:
        Dict of tag to float array (high - low,): the global norms, the
        smallest and largest layer, what else was recorded, and where a
        threshold is known, what was clipped and skipped, as 0 or 1.
    """
    active = ~np.isnan(norms).all(axis=0)
    series = {
        GLOBAL[0]: trace.global_norms(low, high),
        GLOBAL[1]: trace.global_norms(low, high, clipped=True),
    }
    if active.any():
        series[RANGE[0]] = norms[:, active].min(axis=1)
        series[RANGE[1]] = norms[:, active].max(axis=1)
    for name, values in trace.extra.items():
        part = values[low:high]
        # Infinity is a value; NaN everywhere is "not recorded".
        if not np.isnan(part).all():
            tag = "batch_loss" if name == "loss" else name
            series[tag] = part.astype(np.float64)
    if "clip_threshold" in trace.extra:
        series["clipped_fraction"] = trace.was_clipped(low, high).astype(float)
        series["skipped_fraction"] = trace.skipped[low:high].astype(float)
    return series
