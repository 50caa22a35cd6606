"""Statistics of a batch: what goes in, what is wanted, what comes out."""

from keras import ops

# How much each part gives, and the names in order.
_PARTS = {
    "loss": ("loss",),
    "input": (
        "input_min",
        "input_max",
        "input_mean",
        "input_std",
        "feature_scale_min",
        "feature_scale_max",
    ),
    "target": (
        "target_min",
        "target_max",
        "target_mean",
        "target_std",
        "target_fraction",
        "target_row_sum",
    ),
    "output": (
        "output_min",
        "output_max",
        "output_mean",
        "output_std",
        "output_spread",
    ),
}
NAMES = tuple(name for names in _PARTS.values() for name in names)


def pack(data):
    """Return all statistics as a vector, NaN for the parts that are absent.

    Args:
        data: Dict from a part's name to its list of scalars.
    """
    nan = ops.full((), float("nan"), "float32")
    values = []
    for part, names in _PARTS.items():
        values.extend(data.get(part, [nan] * len(names)))
    return ops.stack(values, axis=0)


def of_inputs(tensor):
    """Return the statistics of what enters the first layer with weights."""
    values = ops.cast(tensor, "float32")
    scales = _feature_scales(values)
    # A feature that is constant in this batch has no scale.
    huge = ops.full_like(scales, float("inf"))
    smallest = ops.min(ops.where(scales > 0, scales, huge))
    return [*_range(values), smallest, ops.max(scales)]


def of_targets(tensor):
    """Return the statistics of the targets."""
    values = ops.cast(tensor, "float32")
    broken = ops.cast(ops.not_equal(values, ops.round(values)), "float32")
    distance = ops.full((), float("nan"), "float32")
    if len(values.shape) > 1 and values.shape[-1] != 1:
        distance = ops.max(ops.abs(ops.sum(values, axis=-1) - 1.0))
    return [*_range(values), ops.mean(broken), distance]


def of_outputs(tensor):
    """Return the statistics of the model's outputs."""
    values = ops.cast(tensor, "float32")
    return [*_range(values), ops.max(_feature_scales(values))]


def _range(values):
    return [
        ops.min(values),
        ops.max(values),
        ops.mean(values),
        ops.std(values),
    ]


def _feature_scales(values):
    """Standard deviation over the batch of each entry of the last axis."""
    if len(values.shape) < 2:
        return ops.reshape(ops.std(values), (1,))
    return ops.std(values, axis=tuple(range(len(values.shape) - 1)))
