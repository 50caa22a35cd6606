"""What a batch holds, and what that multiplies the loss by."""

import math

# By then a running fit was measured, or will not be.
_SOON = 256
# A batch of so few samples has a gradient of any size.
_FEW_SAMPLES = 8


def batch_size(trace):
    """Return the samples of the first measured batch, 0 if not known.

    As long as a running fit has not been measured, 1: what depends on the
    batch must not be reported before.
    """
    samples = trace.data("samples")
    if len(samples) and 1 <= samples[0] < 2**31:
        return int(samples[0])
    if not len(samples) and trace.run.backend is not None:
        return 1 if trace.records_seen < _SOON else 0
    known = trace.run.data.batch_size or 0
    return max(0, known)


def of_few_samples(trace):
    """Return whether a batch is so small that its gradient is of any size."""
    return 0 < batch_size(trace) < _FEW_SAMPLES


def summed_over(trace):
    """Return over how many values the loss is summed, 1 where it is their mean.

    Keras's losses have one value for each row, and each position of it. With
    `reduction="sum"` they are added up.

    Args:
        trace: `Trace`.

    Returns:
        Float; NaN where the loss is a sum and the batch is not known.
    """
    run = trace.run
    if run.output is None or not run.output.summed:
        return 1.0
    rows, shape = batch_size(trace), run.data.output_shape
    places = (shape or [])[:-1]
    if not rows or not all(isinstance(length, int) for length in places):
        return math.nan
    return float(rows * math.prod(places))


def loss_weight(trace):
    """Return what the mean loss of a batch is multiplied by, None if unknown.

    The weight that `compile` gave it, times the values it is summed over.

    Args:
        trace: `Trace`.
    """
    weight, count = trace.run.loss_weight, summed_over(trace)
    if weight is None or math.isnan(count):
        return None
    return weight * count
