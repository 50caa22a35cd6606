"""The numbers behind the clippers: functions of tensors, without state.

All of them work in float32 whatever the dtype of the gradients (float64 if a
gradient is float64), run inside a compiled step on every backend, and have no
absolute epsilon: a loss that is 1e8 times larger gives the same relative
clipping.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard.clippers._tensors import barriered
from keras_gradguard.clippers._tensors import merge_rows
from keras_gradguard.clippers._tensors import values_of
from keras_gradguard.clippers._tensors import with_values

Tensor = Any

# Sums of squares in this range are exact enough as they are. Below it float32
# flushes squares to zero, above it they overflow.
_SMALLEST_SUM = 1e-20
_LARGEST_SUM = 1e37

# The largest float32: a threshold that clips nothing.
NO_THRESHOLD = float(np.finfo("float32").max)


def global_norm(gradients: list) -> Tensor:
    """L2 norm of all gradients as one vector.

    It is right wherever the norm itself is representable: gradients of 1e20
    do not overflow and gradients of 1e-30 do not vanish. A NaN or an infinity
    in any gradient makes it NaN or infinite.

    Args:
        gradients: List of tensors of any float dtype. `None` is left out.
            Repeated rows of a `tf.IndexedSlices` are summed first.

    Returns:
        float32 scalar; 0 if there is no gradient.

    Example:
        >>> from keras import ops
        >>> from keras_gradguard.clippers import functional
        >>> norm = functional.global_norm([ops.array([3e20]), None,
        ...                                ops.array([4e20])])
        >>> round(float(norm) / 1e20, 4)
        5.0
    """
    tensors = [
        _wide(values_of(merge_rows(g))) for g in gradients if g is not None
    ]
    if not tensors:
        return ops.zeros((), "float32")
    total = _sum_of_squares(tensors)
    if keras.backend.backend() == "torch" and total.device.type != "cpu":
        # No `cond`: it would make the host wait for the device.
        usual = _is_exact(total)
        norm = ops.where(usual, ops.sqrt(total), _rescaled_norm(tensors))
    else:
        norm = ops.cond(
            _is_exact(total),
            lambda: ops.sqrt(total),
            lambda: _rescaled_norm(tensors),
        )
    return ops.cast(norm, "float32")


def _wide(tensor):
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return tensor if dtype == "float64" else ops.cast(tensor, "float32")


def _sum_of_squares(tensors):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One kernel for each instead of two, and no copy.
        return 2 * tf.add_n([tf.nn.l2_loss(t) for t in tensors])
    return ops.sum(ops.stack([ops.sum(ops.square(t)) for t in tensors]))


def _is_exact(total):
    return ops.logical_and(total > _SMALLEST_SUM, total < _LARGEST_SUM)


def _rescaled_norm(tensors):
    largest = [ops.max(ops.abs(t)) for t in tensors if 0 not in t.shape]
    largest = ops.max(ops.stack(largest or [ops.zeros(())]))
    # The quotient of an infinity is NaN, and so is the norm then: nonfinite
    # stays nonfinite.
    divisor = ops.where(largest > 0, largest, ops.ones_like(largest))
    # Multiplying by 1 / 1e-40 would overflow, so it is a division.
    return divisor * ops.sqrt(_sum_of_squares([t / divisor for t in tensors]))


def clip_coefficient(norm: Tensor, threshold: Tensor) -> Tensor:
    """Factor in (0, 1] that brings `norm` down to `threshold`.

    Args:
        norm: float32 scalar or array.
        threshold: Of the same shape; infinite for no clipping.

    Returns:
        `threshold / norm` where the norm is larger, else 1. NaN gives 1.
    """
    too_large = norm > threshold
    return ops.where(
        too_large,
        threshold / ops.where(too_large, norm, ops.ones_like(norm)),
        ops.ones_like(norm),
    )


def scale(gradient: Tensor, coefficient: Tensor) -> Tensor:
    """`gradient` times `coefficient`, in the gradient's dtype.

    Args:
        gradient: Tensor or `tf.IndexedSlices`, which stays sparse.
        coefficient: float32 tensor that broadcasts against it.

    Returns:
        The product. It is formed in float32, so that a small coefficient
        does not vanish in float16.
    """
    values = values_of(gradient)
    wide = _wide(values)
    product = wide * ops.cast(coefficient, wide.dtype)
    return with_values(gradient, ops.cast(product, values.dtype))


def push(history: Tensor, value: Tensor) -> Tensor:
    """Put `value` first in `history` and drop the last, the oldest one.

    Args:
        history: float32 of shape `(window,)`; zeros are empty places.
        value: float32 scalar.

    Returns:
        The new history, of the same shape.
    """
    return ops.concatenate([ops.reshape(value, (1,)), history[:-1]])


def percentile(history: Tensor, percentage: float) -> Tensor:
    """Percentile of the filled part of `history`, as `numpy.percentile`.

    Args:
        history: float32 of shape `(window,)`. Zeros are empty places.
        percentage: Python float in [0, 100].

    Returns:
        float32 scalar, interpolated linearly; `NO_THRESHOLD` if all is empty.
    """
    window = history.shape[0]
    share = percentage / 100.0
    last = ops.sum(ops.sign(history)) - 1
    # Only the lowest or highest ranks are sorted: those that can be asked
    # for. Ranks are counted from that end.
    if share <= 0.5:
        keys = ops.where(history > 0, -history, -NO_THRESHOLD)
        reach = share
    else:
        keys = history
        reach = 1 - share
    needed = min(window, int(reach * (window - 1)) + 3)
    sorted_keys = ops.top_k(keys, needed)[0]
    rank = ops.maximum(reach * last, 0.0)
    low = ops.floor(rank)
    # Beyond the last rank the weight is 0, and the key finite.
    places = ops.minimum(ops.stack([low, low + 1]), float(needed - 1))
    pair = ops.take(sorted_keys, ops.cast(places, "int32"))
    value = pair[0] + (pair[1] - pair[0]) * (rank - low)
    if share <= 0.5:
        return -value
    return ops.where(last >= 0, value, NO_THRESHOLD)


def zscore_update(
    norm: Tensor,
    statistics: Tensor,
    z_threshold: float,
    decay: float,
    warmup_steps: int,
) -> tuple:
    """One step of ZClip: the threshold for `norm` and the statistics after.

    Args:
        norm: float32 scalar.
        statistics: float32 of shape `(3,)`: how many norms were seen, their
            mean, and their variance divided by the mean squared (a plain
            variance overflows for norms above 1e19).
        z_threshold: Standard deviations above the mean that make a spike.
        decay: Decay of mean and variance per step.
        warmup_steps: Steps that are only measured.

    Returns:
        Tuple of the threshold, infinite in the warm-up, and the new
        statistics.
    """
    count, mean, spread = statistics[0], statistics[1], statistics[2]
    warming_up = count < warmup_steps
    started = count > 0
    # From here on in units of the mean, or of the first norm.
    unit = ops.where(started, mean, ops.where(norm > 0, norm, 1.0))
    size = norm / unit
    # Below one percent the spread says nothing, and a spread of exactly zero
    # would hold the threshold where it is for ever.
    deviation = ops.maximum(ops.sqrt(spread), 0.01)
    reach = z_threshold * deviation
    is_spike = size > 1 + reach
    # The larger the spike, the closer to the mean it is brought.
    excess = ops.where(is_spike, size - 1, reach)
    limit = 1 + reach * (reach / excess)
    kept = ops.where(is_spike, limit, size)

    old_mean = ops.cast(started, "float32")
    warm_mean = old_mean + (size - old_mean) / (count + 1)
    warm_spread = (count * spread + (size - old_mean) * (size - warm_mean)) / (
        count + 1
    )
    next_mean = decay + (1 - decay) * kept
    next_spread = decay * spread + (1 - decay) * ops.square(kept - next_mean)

    new_mean = ops.where(warming_up, warm_mean, next_mean)
    new_spread = ops.where(warming_up, warm_spread, next_spread)
    threshold = ops.where(warming_up, float("inf"), unit * limit)
    return threshold, ops.stack(
        [
            ops.minimum(count + 1, float(warmup_steps)),
            unit * new_mean,
            new_spread / ops.square(ops.where(new_mean > 0, new_mean, 1.0)),
        ]
    )


def unit_norms(tensor: Tensor, axes: tuple) -> Tensor:
    """L2 norms of the units of a weight or of its gradient.

    Args:
        tensor: Dense tensor.
        axes: Axes that belong to one unit; all of them for one unit.

    Returns:
        float32 norms, with the reduced axes kept as 1. They do not overflow
        where they are representable.
    """
    wide = _wide(tensor)
    largest = ops.max(ops.abs(wide), axis=axes, keepdims=True)
    divisor = ops.where(largest > 0, largest, ops.ones_like(largest))
    squares = ops.sum(ops.square(wide / divisor), axis=axes, keepdims=True)
    return divisor * ops.sqrt(squares)


def adaptive_clip(
    gradient: Tensor,
    weight: Tensor,
    axes: tuple,
    ratio: float,
    smallest_norm: float,
) -> tuple:
    """Adaptive gradient clipping (AGC) of one variable.

    Args:
        gradient: Dense gradient.
        weight: Weight of the same shape.
        axes: Axes that belong to one unit.
        ratio: Largest norm of a unit's gradient over that of its weight.
        smallest_norm: Norm that a smaller weight counts as.

    Returns:
        Tuple of the clipped gradient and a bool: whether any unit was clipped.
    """
    observed, weight = barriered(
        [
            ops.convert_to_tensor(gradient),
            ops.convert_to_tensor(weight),
        ]
    )
    norms = unit_norms(observed, axes)
    limits = ratio * ops.maximum(unit_norms(weight, axes), smallest_norm)
    return (
        scale(gradient, clip_coefficient(norms, limits)),
        ops.any(norms > limits),
    )
