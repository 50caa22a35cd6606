"""How far the weights went, of their size."""

import numpy as np

from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import derived
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known


@derived
def way_gone(trace):
    """Return what the measured updates add up to, of the median layer.

    Args:
        trace: `Trace`.

    Returns:
        Int array (K,), the steps at which updates were measured; float arrays
        (K,), one update over the weights, and the sum of all up to it, each
        taken for those that were not measured before it.
    """
    steps, ratio = trace.measured("update_ratio")
    ratio = columns(ratio, judged_layers(trace)).astype(np.float64)
    known = np.isfinite(ratio).any(axis=1) if ratio.shape[1] else []
    steps, ratio = steps[known], ratio[known]
    if not len(steps):
        return steps, np.zeros(0), np.zeros(0)
    with np.errstate(over="ignore", invalid="ignore"):
        one = median_known(ratio)
        spans = np.diff(steps, prepend=int(trace.steps[0]))
        return steps, one, np.cumsum(one * spans)
