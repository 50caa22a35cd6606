"""Statistics of a batch: what goes in, what is wanted, what comes out."""

import math

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard.recording.step import cells
from keras_gradguard.recording.step import side_by_side
from keras_gradguard.recording.step.side_by_side import Columns
from keras_gradguard.trace.series import BATCH_STATISTICS
from keras_gradguard.trace.series import DATA_SERIES

# What the statistics of a `Columns` are called.
_NAMES = {
    part: {
        **{name: f"{part}_{name}" for name in ("min", "max", "mean", "std")},
        **others,
    }
    for part, others in (
        (
            "input",
            {
                "scale_min": "feature_scale_min",
                "scale_max": "feature_scale_max",
            },
        ),
        (
            "target",
            {"fraction": "target_fraction", "variance": "target_spread"},
        ),
        ("output", {"scale_max": "output_spread"}),
    )
}
# Classes beyond which columns of targets would cost more than the step.
_MOST_CLASSES = 1024
# Numbers of a sample up to which each place of an image or a sequence is a
# column: else what is the same for every sample, and differs from place to
# place, passes for something that was learnt.
_MOST_PLACES = 4096
_ROUNDING = 2.5e-7


def pack(batch, data, fit=None, xp=ops):
    """Return all statistics as a vector, NaN for the parts that are absent.

    Args:
        batch: Dict from a part's name to its tensor (batch, columns), for
            which `side_by_side.is_small` holds: these are measured together.
        data: Dict from another part's name to what `of` gave, or its list of
            scalars.
        fit: Targets and outputs for `of_fit`, or None.
        xp: `keras.ops`, or `host_ops`.
    """
    names: list = [None]
    pieces = [stats.full((1,), float("nan"), xp)]
    scalars_of = dict(data)
    if "input" in data:
        scalars_of["input"] = _of_inputs(data["input"], xp)
    if fit is not None:
        targets, outputs = fit
        scalars_of["fit"] = of_fit(targets, outputs, xp)
    for part, scalars in scalars_of.items():
        names.extend(BATCH_STATISTICS[part])
        pieces.append(xp.stack(scalars, axis=0))
    parts = list(batch)
    for group in side_by_side.by_batch(list(batch.values())):
        chosen = [parts[i] for i in group]
        table = Columns([batch[part] for part in chosen], xp)
        for statistics, values in _of_columns(table, xp):
            for statistic in statistics:
                names.extend(_NAMES[part].get(statistic) for part in chosen)
            pieces.append(xp.reshape(values, (-1,)))
    if batch.get("target") is not None and batch["target"].shape[1] > 1:
        names.append("target_row_sum")
        pieces.append(xp.reshape(_off_one(batch["target"], xp), (1,)))
    known = {name: i for i, name in enumerate(names)}
    order = np.array([known.get(name, 0) for name in DATA_SERIES], "int32")
    return xp.take(xp.concatenate(pieces, axis=0), order, axis=0)


def _of_columns(table, ops):
    """List of names of k statistics and tensors (k, n), of a `Columns`."""
    parts, scales = table.parts, table.column_std
    broken = ops.not_equal(table.table, ops.round(table.table))
    broken = ops.mean(ops.cast(broken, "float32"), axis=0)
    # A feature that is constant in this batch has no scale.
    positive = ops.where(scales > 0, scales, float("inf"))
    low = ops.stack([ops.min(table.table, axis=0), positive], axis=0)
    high = ops.stack([ops.max(table.table, axis=0), scales], axis=0)
    mean = parts.mean(ops.stack([table.column_mean, broken], axis=0))
    variance = parts.mean(scales * scales)
    return [
        (("min", "scale_min"), parts.min(low)),
        (("max", "scale_max"), parts.max(high)),
        (("mean", "fraction"), mean),
        (("std",), table.std(mean[0])),
        (("variance",), ops.sqrt(variance)),
    ]


def as_columns(tensor):
    """Return (batch, 1) for a tensor (batch,), others as they are."""
    return tensor[:, None] if len(tensor.shape) == 1 else tensor


def of(part, tensor):
    """What is kept of `"input"`, `"target"` or `"output"`, for `pack`.

    Args:
        part: Which of the three.
        tensor: Tensor (batch, ...), for which `side_by_side.is_small` does not
            hold.
    """
    return {"input": of_inputs, "target": of_targets, "output": of_outputs}[
        part
    ](tensor)


def of_inputs(tensor):
    """Reduce what enters the first layer with weights."""
    values = ops.cast(tensor, "float32")
    return {
        "min": ops.min(values),
        "max": ops.max(values),
        "sums": cells.sums_of_inputs(tensor),
    }


def _of_inputs(kept, xp):
    """Return the statistics of that. Features are entries of the last axis."""
    parts = cells.of_inputs(kept["sums"]).parts
    column = xp.mean(parts["mean"], axis=0)
    off = parts["mean"] - column
    within = xp.mean(parts["within"] + off * off, axis=0)
    mean = xp.mean(column)
    off = column - mean
    spread = xp.sqrt(xp.mean(within + off * off))
    # A feature that is constant in this batch has no scale. XLA multiplies by
    # reciprocals, so that the mean of equal numbers may be off by rounding.
    rounding = _ROUNDING * xp.abs(column)
    scales = xp.sqrt(xp.where(within > rounding * rounding, within, 0.0))
    positive = xp.where(scales > 0, scales, float("inf"))
    ends = [xp.min(positive), xp.max(scales)]
    return [kept["min"], kept["max"], mean, spread, *ends]


def of_targets(tensor):
    """Return the statistics of the targets."""
    values = ops.cast(tensor, "float32")
    distance = stats.full((), float("nan"))
    if len(values.shape) > 1 and values.shape[-1] != 1:
        distance = _off_one(values, ops)
    scales = _feature_scales(values)
    spread = ops.sqrt(ops.mean(scales * scales))
    return [*_range(values), _broken(values), distance, spread]


def _broken(values):
    """Share of the numbers that are not whole."""

    def of(part):
        return ops.cast(ops.not_equal(part, ops.round(part)), "float32")

    parts = _backend.current().entries(values)
    if len(parts) == 1:
        return ops.mean(of(values))
    counts = ops.stack([ops.sum(of(part)) for part in parts], axis=0)
    return ops.sum(counts) / math.prod(values.shape)


def of_outputs(tensor):
    """Return the statistics of the model's outputs."""
    values = ops.cast(tensor, "float32")
    return [*_range(values), ops.max(_feature_scales(values))]


def of_weights(targets, weights):
    """Return how much targets of small and of large numbers weigh.

    Args:
        targets: Tensor (batch, ...); one-hot, the class counts.
        weights: Tensor of weights of the samples, or of their positions.

    Returns:
        List of the mean weight of those that are not above the mean target, of
        those that are, and the share of these. A mean over none is NaN, and so
        is all where the shapes do not fit.
    """
    nan = stats.full((), float("nan"))
    values = ops.cast(targets, "float32")
    weights = ops.cast(weights, "float32")
    if len(values.shape) > len(weights.shape):
        if values.shape[-1] == 1:
            values = ops.squeeze(values, axis=-1)
        elif len(values.shape) == len(weights.shape) + 1:
            values = ops.cast(ops.argmax(values, axis=-1), "float32")
    elif len(weights.shape) > len(values.shape) and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    for _ in range(len(values.shape) - len(weights.shape)):
        weights = weights[..., None]
    fits = len(values.shape) == len(weights.shape) and all(
        weigh in (1, length)
        for length, weigh in zip(
            values.shape[1:], weights.shape[1:], strict=True
        )
    )
    if not fits:
        return [nan, nan, nan]
    high = ops.cast(ops.greater(values, ops.mean(values)), "float32")
    share = ops.mean(high)
    both = []
    for part, size in ((1.0 - high, 1.0 - share), (high, share)):
        mean = ops.mean(part * weights) / ops.maximum(size, 1e-12)
        both.append(ops.where(size > 0, mean, nan))
    return [*both, share]


def of_fit(targets, outputs, ops=ops):
    """Return the samples and how far the outputs follow the targets.

    The latter is the correlation of the two after each column's mean over the
    batch is taken off (of images and sequences that are not large, the mean at
    each place), in [-1, 1]: whatever the loss, its scale and whether
    outputs are logits, it is about 0 as long as nothing is learnt. Numbers of
    classes become columns. NaN for a batch of one, or shapes that do not fit.

    Args:
        targets: Tensor (batch, ...).
        outputs: Tensor (batch, ..., columns).
        ops: `keras.ops`, or `host_ops`.
    """
    columns = outputs.shape[-1] if len(outputs.shape) > 1 else 1
    numbers = len(targets.shape) == len(outputs.shape) - 1
    if not numbers and targets.shape[-1] == 1 and columns != 1:
        targets, numbers = ops.squeeze(targets, axis=-1), True
    if numbers and columns == 1:
        targets = ops.expand_dims(targets, axis=-1)
    whole = True
    if numbers and columns is not None and 1 < columns <= _MOST_CLASSES:
        # Numbers may lie outside the classes, which `one_hot` may refuse.
        labels = ops.cast(targets, "float32")[..., None]
        whole = ops.all(ops.equal(labels, ops.round(labels)))
        targets = ops.equal(labels, ops.arange(columns, dtype="float32"))
    nan = stats.full((), float("nan"), ops)
    samples = ops.cast(ops.shape(outputs)[0], "float32")
    if tuple(targets.shape[1:]) != tuple(outputs.shape[1:]):
        return [samples, nan]
    both = _correlation(targets, outputs, ops)
    known = ops.logical_and(samples > 1, whole)
    return [samples, ops.where(known, ops.clip(both, -1.0, 1.0), nan)]


def _off_one(values, ops):
    """How far the sums over the last axis are from one, at most."""
    values = ops.cast(values, "float32")
    return ops.max(ops.abs(ops.sum(values, axis=-1) - 1.0))


def _correlation(targets, outputs, ops):
    """That of two tensors of equal shape, once their columns' means are off."""
    axes = _axes(outputs)
    pairs = [(targets, outputs)]
    if len(outputs.shape) > 1:
        # Each column stays in one slice.
        axis = 1 if axes == (0,) else len(outputs.shape) - 1
        pairs = _backend.current().slices([targets, outputs], axis)
    # Brings numbers of any size to where their squares are finite.
    scales = [
        ops.maximum(_largest(parts, ops), 1e-30)
        for parts in zip(*pairs, strict=True)
    ]

    def off(part, scale):
        part = ops.cast(part, "float32") / scale
        return part - ops.mean(part, axis=axes, keepdims=True)

    sums = []
    for pair in pairs:
        a, b = map(off, pair, scales)
        sums.append(ops.stack([ops.sum(v) for v in (a * a, b * b, a * b)], 0))
    squares = sums[0]
    if len(sums) > 1:
        squares = ops.sum(ops.stack(sums, axis=0), axis=0)
    # Outputs that differ by less than rounding follow nothing.
    sizes = ops.maximum(ops.sqrt(squares[:2]), 1e-12)
    return squares[2] / sizes[0] / sizes[1]


def _largest(parts, ops):
    """The largest magnitude in any of several tensors."""
    found = [ops.max(ops.abs(ops.cast(part, "float32"))) for part in parts]
    return ops.max(ops.stack(found, axis=0)) if len(found) > 1 else found[0]


def _range(values):
    return [
        ops.min(values),
        ops.max(values),
        ops.mean(values),
        ops.std(values),
    ]


def _axes(values):
    """Axes over which a column of targets or outputs goes."""
    sample = tuple(values.shape[1:])
    if None not in sample and math.prod(sample) <= _MOST_PLACES:
        return (0,)
    return tuple(range(len(values.shape) - 1))


def _feature_scales(values):
    """Standard deviation over the batch of each column."""
    if len(values.shape) < 2:
        return ops.reshape(ops.std(values), (1,))
    return ops.std(values, axis=_axes(values))
