"""The numbers behind the clippers: functions of tensors, without state.

All of them work in float32 whatever the dtype of the gradients, run inside a
compiled step on every backend, and have no absolute epsilon: a loss that is
1e8 times larger gives the same relative clipping.

Longer than 350 lines, since each formula stands beside its source and its
proof, and they are read side by side.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats

Tensor = Any

# The largest float32: a threshold that clips nothing.
NO_THRESHOLD = float(np.finfo("float32").max)
# Up to here, the reciprocal of a number is not flushed to zero anywhere.
_FAR = 2.0**100


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
    backend = _backend.current()
    tensors = [
        backend.values_of(backend.merge_rows(g))
        for g in gradients
        if g is not None
    ]
    if not tensors:
        return ops.zeros((), "float32")
    norms = backend.l2_norms(tensors)
    return ops.cast(stats.global_norm(norms), "float32")


def _wide(tensor: Any) -> Any:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return tensor if dtype == "float64" else ops.cast(tensor, "float32")


def clip_coefficient(norm: Tensor, threshold: Tensor) -> Tensor:
    """Factor in (0, 1] that brings `norm` down to `threshold`.

    Below 1e-38 it is zero on most processors: `clip_coefficients` is not.

    Args:
        norm: float32 scalar or array.
        threshold: Of the same shape; infinite for no clipping.

    Returns:
        `threshold / norm` where the norm is larger, else 1. NaN gives 1.
    """
    return _quotient(norm, threshold, norm > threshold)


def clip_coefficients(norm: Tensor, threshold: Tensor) -> list:
    """Factors that, one after the other, bring `norm` down to `threshold`.

    From 1e38 to 0.1 is a factor of 1e-39, which most processors flush to
    zero. A power of two comes first there. It rounds nothing, and what becomes
    too small by it would do so by the product as well.

    Args:
        norm: float32 scalar or array.
        threshold: Of the same shape; infinite for no clipping.

    Returns:
        List of tensors for `scale`: one where the host knows that one does,
        else two.
    """
    too_large = norm > threshold
    one = ops.ones_like(norm)
    far = norm / _FAR > ops.minimum(threshold, one)
    far = ops.logical_and(too_large, far)
    if _backend.current().known_now(ops.any(far)) is False:
        return [_quotient(norm, threshold, too_large)]
    power = ops.where(far, one / _FAR, one)
    return [power, _quotient(norm * power, threshold, too_large)]


def _quotient(norm: Any, threshold: Any, too_large: Any) -> Any:
    one = ops.ones_like(norm)
    divisor = ops.where(too_large, norm, one)
    return ops.where(too_large, threshold / divisor, one)


def scale(gradient: Tensor, coefficient: Tensor, *more: Tensor) -> Tensor:
    """`gradient` times `coefficient`, in the gradient's dtype.

    Args:
        gradient: Tensor or `tf.IndexedSlices`, which stays sparse.
        coefficient: float32 tensor that broadcasts against it.
        *more: Further ones, one after the other.

    Returns:
        The product. It is formed in float32, so that a small coefficient
        does not vanish in float16.
    """
    backend = _backend.current()
    values = backend.values_of(gradient)
    product = wide = _wide(values)
    for factor in (coefficient, *more):
        product = product * ops.cast(factor, wide.dtype)
    return backend.with_values(gradient, ops.cast(product, values.dtype))


def push(history: Tensor, value: Tensor) -> Tensor:
    """Put `value` first in `history` and drop the last, the oldest one.

    Args:
        history: float32 of shape `(window,)`; zeros are empty places.
        value: float32 scalar.

    Returns:
        The new history, of the same shape.
    """
    return ops.concatenate([ops.reshape(value, (1,)), history[:-1]])


def replace_sorted(descending: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Take `old` out of a sorted vector and put `new` in, without sorting.

    Two passes over the vector, where a sort in each step would be felt.

    Args:
        descending: float32 of shape `(window,)`, largest first; zeros, the
            empty places, come last.
        old: float32 scalar that is in it, or 0.
        new: float32 scalar >= 0.

    Returns:
        The new vector, of the same shape.
    """
    end = ops.zeros((1,), descending.dtype)
    without = ops.where(
        descending > old, descending, ops.concatenate([descending[1:], end])
    )
    start = stats.full((1,), NO_THRESHOLD)
    above = ops.concatenate([start, without[:-1]])
    return ops.minimum(above, ops.maximum(without, new))


def temper(descending: Tensor, ratio: float) -> Tensor:
    """Let the largest norm count as at most a multiple of the second largest.

    Args:
        descending: float32 of shape `(window,)`, `window` > 1, largest first;
            zeros, the empty places, come last.
        ratio: Python float > 1.

    Returns:
        The vector, of the same shape, still sorted.
    """
    first, second = descending[:1], descending[1:2]
    # In this order, as the product may overflow.
    lowered = ops.where(first / ratio > second, second * ratio, first)
    first = ops.where(second > 0, lowered, first)
    return ops.concatenate([first, descending[1:]])


def percentile(descending: Tensor, percentage: float) -> Tensor:
    """Percentile of the filled part of a sorted vector, as `numpy.percentile`.

    Args:
        descending: float32 of shape `(window,)`, largest first. Zeros, at the
            end, are empty places.
        percentage: Python float in [0, 100].

    Returns:
        float32 scalar, interpolated linearly; `NO_THRESHOLD` if all is empty.
    """
    last = ops.sum(ops.sign(descending)) - 1
    rank = ops.relu((1 - percentage / 100.0) * last)
    return _at_rank(descending, rank, last)


def common_norm(descending: Tensor, share: float) -> Tensor:
    """Largest norm that a share of the recorded ones reached.

    Args:
        descending: float32 of shape `(window,)`, largest first. Zeros, at the
            end, are empty places.
        share: Python float in (0, 1). Whatever it is, the largest norm does
            not count once there are two, nor the largest three of 31.

    Returns:
        float32 scalar, interpolated linearly; `NO_THRESHOLD` if all is empty.
    """
    last = ops.sum(ops.sign(descending)) - 1
    few = ops.clip(last / 10, ops.ones_like(last), stats.full((), 3.0))
    rank = ops.maximum(share * last, few)
    return _at_rank(descending, ops.relu(ops.minimum(rank, last)), last)


def _at_rank(descending: Tensor, rank: Tensor, last: Tensor) -> Tensor:
    """Value at a rank that may lie between two places."""
    low = ops.floor(rank)
    # Beyond the last rank the weight is 0.
    places = ops.minimum(
        ops.stack([low, low + 1]), stats.full((), descending.shape[0] - 1.0)
    )
    pair = ops.take(descending, ops.cast(places, "int32"))
    value = pair[0] + (pair[1] - pair[0]) * (rank - low)
    return ops.where(last >= 0, value, stats.full((), NO_THRESHOLD))


def zscore_update(
    norm: Tensor,
    statistics: Tensor,
    z_threshold: float,
    decay: float,
    warmup_steps: int,
    warmup_ratio: float | None = None,
) -> tuple:
    """One step of ZClip: the threshold for `norm` and the statistics after.

    Args:
        norm: float32 scalar.
        statistics: float32 of shape `(3,)`: how many norms were seen, their
            mean, and their variance divided by the mean squared (a plain
            variance overflows for norms above 1e19).
        z_threshold: Standard deviations above the mean that make a spike.
        decay: Decay of mean and variance per step.
        warmup_steps: Steps until there is a deviation to compare with.
        warmup_ratio: Multiple of the mean that a norm of the warm-up may
            have; `None` for any.

    Returns:
        Tuple of the threshold, infinite in a warm-up without `warmup_ratio`,
        and the new statistics.
    """
    count, mean, spread = statistics[0], statistics[1], statistics[2]
    warming_up = count < warmup_steps
    started = count > 0
    # From here on in units of the mean, or of the first norm.
    unit = ops.where(
        started, mean, ops.where(norm > 0, norm, ops.ones_like(norm))
    )
    size = norm / unit
    # Below one percent the spread says nothing, and a spread of exactly zero
    # would hold the threshold where it is for ever.
    deviation = ops.maximum(ops.sqrt(spread), stats.full((), 0.01))
    reach = z_threshold * deviation
    is_spike = size > 1 + reach
    # The larger the spike, the closer to the mean it is brought.
    excess = ops.where(is_spike, size - 1, reach)
    limit = 1 + reach * (reach / excess)
    kept = ops.where(is_spike, limit, size)

    next_mean = decay + (1 - decay) * kept
    next_spread = decay * spread + (1 - decay) * ops.square(kept - next_mean)

    first = ops.cast(started, "float32")
    warm_limit = infinite = stats.full((), float("inf"))
    warm_size = size
    if warmup_ratio is not None:
        # A first norm far above the second was a spike itself: it is taken
        # down to what the second allows, not forgotten, as it may be right.
        lowered = ops.minimum(first, warmup_ratio * size)
        spread = ops.where(lowered < first, ops.zeros_like(spread), spread)
        warm_limit = ops.where(started, warmup_ratio * lowered, infinite)
        first = lowered
        warm_size = ops.minimum(size, warm_limit)
    warm_mean = first + (warm_size - first) / (count + 1)
    warm_spread = (
        count * spread + (warm_size - first) * (warm_size - warm_mean)
    ) / (count + 1)

    new_mean = ops.where(warming_up, warm_mean, next_mean)
    new_spread = ops.where(warming_up, warm_spread, next_spread)
    threshold = unit * ops.where(warming_up, warm_limit, limit)
    return threshold, ops.stack(
        [
            ops.minimum(count + 1, stats.full((), warmup_steps)),
            unit * new_mean,
            new_spread
            / ops.square(
                ops.where(new_mean > 0, new_mean, ops.ones_like(new_mean))
            ),
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
    # XLA multiplies with the reciprocal, which it flushes to zero beyond.
    divisor = ops.where(divisor > _FAR, _FAR * ops.ones_like(divisor), divisor)
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
    norms, limits = _norms_and_limits(
        gradient, weight, axes, ratio, smallest_norm
    )
    return (
        scale(gradient, *clip_coefficients(norms, limits)),
        ops.any(norms > limits),
    )


def adaptive_norm(
    gradient: Tensor,
    weight: Tensor,
    axes: tuple,
    ratio: float,
    smallest_norm: float,
) -> Tensor:
    """L2 norm of what `adaptive_clip` gives, without reading it.

    To read it would change how TensorFlow reorders the products behind it.

    Args:
        gradient: As in `adaptive_clip`, and so are the others.
        weight: Weight of the same shape.
        axes: Axes that belong to one unit.
        ratio: Largest norm of a unit's gradient over that of its weight.
        smallest_norm: Norm that a smaller weight counts as.

    Returns:
        float32 scalar.
    """
    norms, limits = _norms_and_limits(
        gradient, weight, axes, ratio, smallest_norm
    )
    kept = ops.minimum(norms, limits)
    return stats.global_norm(ops.reshape(kept, (-1,)))


def _norms_and_limits(
    gradient: Any, weight: Any, axes: Any, ratio: Any, smallest_norm: Any
) -> Any:
    """Norms of the units' gradients, and what they may be."""
    observed, weight = _backend.current().barrier(
        [ops.convert_to_tensor(gradient), ops.convert_to_tensor(weight)]
    )
    norms = unit_norms(observed, axes)
    return norms, ratio * ops.maximum(
        unit_norms(weight, axes), stats.full((), smallest_norm)
    )
