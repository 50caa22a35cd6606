"""Statistics of the outputs of layers, as tensors inside the step."""

import math

from keras import ops

# Elements up to which an output is laid beside others.
_SMALL = 1 << 14


def statistics(site, inputs, outputs, share):
    """Return the `OUTPUT_STATISTICS` of one call, a vector."""
    values = ops.cast(outputs, "float32")
    nan = ops.full((), float("nan"), "float32")
    mean = ops.mean(values)
    saturated = inactive = spread = nan
    if site.bounds is not None:
        low, high = site.bounds
        flat = ops.logical_or(values <= low, values >= high)
        saturated = ops.mean(ops.cast(flat, "float32"))
    if share is not None:
        inactive = ops.mean(ops.cast(ops.equal(share, 0), "float32"))
    if inputs is not None and hasattr(inputs, "dtype"):
        spread = ops.std(ops.cast(inputs, "float32"))
    zero = ops.mean(ops.cast(ops.equal(values, 0), "float32"))
    return ops.stack(
        [mean, ops.std(values), zero, saturated, inactive, spread], axis=0
    )


def over_calls(vectors):
    """Return the largest of a layer's calls, None if they do not compare."""
    first = vectors[0]
    if any(v is None or v.shape != first.shape for v in vectors):
        return None
    return largest(vectors)


def unit_magnitude(outputs, unit_axis):
    """Return (units,): the mean absolute output."""
    rank = len(outputs.shape)
    axes = tuple(i for i in range(rank) if i != unit_axis % rank)
    return ops.mean(ops.abs(ops.cast(outputs, "float32")), axis=axes)


def largest(parts):
    """Return the largest of several vectors, entry by entry."""
    result = parts[0]
    for part in parts[1:]:
        result = ops.maximum(result, part)
    return result


def is_small(outputs):
    """Tell whether an output is rather laid beside others than reduced."""
    shape = tuple(outputs.shape)
    return len(shape) == 2 and None not in shape and math.prod(shape) <= _SMALL


def active_samples(outputs, unit_axis, positive=False):
    """Return (batch, units): 1 where a sample has anything but zero.

    Args:
        outputs: Tensor (batch, ...).
        unit_axis: Axis of the units.
        positive: Whether no output is negative, so that none cancel.
    """
    rank = len(outputs.shape)
    axes = tuple(i for i in range(1, rank) if i != unit_axis % rank)
    if axes:
        # Zero only if all are. On torch a tenth of the time of a maximum, and
        # on XLA a third of that of `any` of a comparison. A TensorFlow graph
        # spends as long on `abs` as on the sum.
        outputs = ops.sum(outputs if positive else ops.abs(outputs), axis=axes)
    return ops.cast(ops.not_equal(outputs, 0), "float32")
