"""Statistics of the outputs of layers, as tensors inside the step.

By call, or of the small outputs of many layers at once: each operation is a
kernel under XLA, which takes longer to compile than the whole to run.
"""

import numpy as np
from keras import ops

from keras_gradguard import stats
from keras_gradguard.recording.step import side_by_side
from keras_gradguard.recording.step.side_by_side import Columns
from keras_gradguard.trace.series import OUTPUT_STATISTICS


def of_call(site, inputs, outputs):
    """Measure one call of a layer.

    Args:
        site: Its `Site`.
        inputs: Tensor that its activation took, or None.
        outputs: Tensor (batch, ...) that it gave.

    Returns:
        Tuple of the `OUTPUT_STATISTICS`, a vector; (units,): the mean absolute
        output; (units,): the share of active samples, or None where units
        cannot die.
    """
    share = None
    if site.can_die and len(outputs.shape) > 1:
        active = active_samples(outputs, site.unit_axis, site.positive)
        share = ops.mean(active, axis=0)
    magnitude = unit_magnitude(outputs, site.unit_axis)
    return _statistics(site, inputs, outputs, share), magnitude, share


def of_small(sites, inputs, outputs):
    """Measure one call of each of several layers at once.

    Args:
        sites: List of n `Site`.
        inputs: List of n tensors that the activations took, or None.
        outputs: List of n tensors (batch, units), for which
            `side_by_side.is_small` holds, of the same batch.

    Returns:
        Tuple as of `of_call`, with a matrix (n, statistics), and the units of
        all layers one behind the other; shares of those that can die only.
    """
    table = Columns(outputs)
    share = table.column_nonzero
    by_column = {
        "mean": table.column_mean,
        "zero_fraction": 1.0 - share,
        "inactive_fraction": ops.cast(ops.equal(share, 0), "float32"),
    }
    if any(site.bounds for site in sites):
        by_column["saturated_fraction"] = _flat(table, sites)
    means = table.parts.mean(ops.stack(list(by_column.values()), axis=0))
    rows = [means, table.std(means[0])[None], _spreads(inputs)[None]]
    names = [*by_column, "std", "input_std"]
    order = [
        names.index(name) if name in names else 0 for name in OUTPUT_STATISTICS
    ]
    matrix = ops.take(ops.concatenate(rows, axis=0), np.array(order), axis=0)
    known = np.array([_known(site) for site in sites])
    matrix = ops.where(known, ops.transpose(matrix), float("nan"))
    can_die = table.constants([site.can_die for site in sites]) > 0
    if not can_die.any():
        share = None
    elif not can_die.all():
        share = ops.take(share, np.flatnonzero(can_die), axis=0)
    return matrix, table.column_magnitude, share


def _known(site):
    """Tell which of the `OUTPUT_STATISTICS` a site has, a list of bool."""
    lacks = {
        "saturated_fraction": site.bounds is None,
        "inactive_fraction": not site.can_die,
    }
    return [not lacks.get(name, False) for name in OUTPUT_STATISTICS]


def _flat(table, sites):
    """Return (columns,): the share beyond the bounds of each site."""
    bounds = [site.bounds or (-np.inf, np.inf) for site in sites]
    low, high = (table.constants(side) for side in zip(*bounds, strict=True))
    beyond = ops.logical_or(
        ops.less_equal(table.table, low), ops.greater_equal(table.table, high)
    )
    return ops.mean(ops.cast(beyond, "float32"), axis=0)


def _spreads(tensors):
    """Return (n,): standard deviations, NaN where there is no tensor."""
    nan = stats.full((1,), float("nan"))
    pieces, order = [nan], np.zeros(len(tensors), "int32")
    small = []
    for i, tensor in enumerate(tensors):
        if tensor is None or not hasattr(tensor, "dtype"):
            continue
        if side_by_side.is_small(tensor):
            small.append(i)
        else:
            order[i] = len(pieces)
            pieces.append(_spread(tensor))
    at = len(pieces)
    for group in side_by_side.by_batch([tensors[i] for i in small]):
        chosen = [small[j] for j in group]
        pieces.append(Columns([tensors[i] for i in chosen]).std())
        order[chosen] = at + np.arange(len(chosen))
        at += len(chosen)
    return ops.take(ops.concatenate(pieces, axis=0), order, axis=0)


def _spread(tensor):
    return ops.reshape(ops.std(ops.cast(tensor, "float32")), (1,))


def _statistics(site, inputs, outputs, share):
    values = ops.cast(outputs, "float32")
    nan = stats.full((), float("nan"))
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
    return ops.cast(outputs != 0, "float32")
