"""What loss the best constant prediction has, from the targets alone.

A network that starts with a large loss, since its data are far off or its
weights are, loses most of it on the way to giving the same for every input.
That is not learning: only what lies below the loss of a constant is.
"""

import math

import numpy as np

from keras_gradguard.diagnosis.evidence.batch import loss_weight

# Targets whose variance is so little of the first loss, or of their own mean
# square, are all the same.
_ALIKE = 1e-9
_OF_CLASSES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


def guess_of(trace, count):
    """Return an upper bound of the loss that a constant prediction reaches.

    Args:
        trace: `Trace`.
        count: Int. How many measurements of the data to look at.

    Returns:
        Float array (count,): by the targets seen up to each measurement, NaN
        where the loss is not one of those known here, or samples are weighted
        by the user. The mean squared error of a constant is at best the
        targets' variance, the mean absolute error at most their standard
        deviation, Huber's and log-cosh at most half the variance; the
        crossentropy is the entropy of the classes' frequencies, at most the
        logarithm of their number.
    """
    run = trace.run
    output, weight = run.output, loss_weight(trace)
    if output is None or weight is None or run.data.weighted:
        return np.full(count, np.nan)
    return weight * _of_loss(output.loss_name, trace, count)


def most_of(trace, weighted=False):
    """Return the most that the first measured batch's own loss may have been.

    The mean square of `a - b` is at most the square of the sum of their
    standard deviations, plus the square of the difference of their means; the
    mean absolute error is at most its root (Cauchy and Schwarz). A binary
    crossentropy is bounded by how far the outputs are from a half, one of
    classes by the logarithm of the smallest probability. What a loss
    has beyond that was added to it.

    Args:
        trace: `Trace`.
        weighted: Bool. Whether the user's weights of samples count as 1 each.
            Defaults to False: then nothing is known of such a loss.

    Returns:
        Float; NaN where the loss is none of these, samples are weighted
        by the user, or the batch was not measured.
    """
    run = trace.run
    output, weight = run.output, loss_weight(trace)
    known = weighted or not run.data.weighted
    if output is None or weight is None or not known:
        return math.nan
    names = ("output_mean", "output_std", "target_mean", "target_std")
    if not len(trace.activation_steps):
        return math.nan
    mean, std, target_mean, target_std = (
        float(trace.data(name)[0]) for name in names
    )
    square = (std + target_std) ** 2 + (mean - target_mean) ** 2
    if output.loss_name == "mean_squared_error":
        return weight * square
    if output.loss_name == "mean_absolute_error":
        return weight * math.sqrt(square)
    if output.loss_name == "binary_crossentropy" and not output.from_logits:
        low, high = (
            float(trace.data(f"output_{end}")[0]) for end in ("min", "max")
        )
        return weight * _most_of_probabilities(low, high, mean, std)
    if output.loss_name in _OF_CLASSES and not output.from_logits:
        low = float(trace.data("output_min")[0])
        return -weight * math.log(low) if 0 < low < 1 else math.nan
    return math.nan


def least_of(trace):
    """Return the least that the first measured batch's loss may have been.

    Each sample weighs 1 then. The mean square of `a - b` is at least the square
    of the difference of their means. A crossentropy is at least that of the
    surest output, were it right each time.

    Args:
        trace: `Trace`.

    Returns:
        Float; NaN where the loss is none of these, or the batch was not
        measured.
    """
    run = trace.run
    output, weight = run.output, loss_weight(trace)
    if output is None or weight is None or not len(trace.activation_steps):
        return math.nan
    low, high, mean, std, target_mean, target_std = (
        float(trace.data(name)[0])
        for name in (
            "output_min",
            "output_max",
            "output_mean",
            "output_std",
            "target_mean",
            "target_std",
        )
    )
    if output.loss_name == "mean_squared_error":
        apart = (std - target_std) ** 2 + (mean - target_mean) ** 2
        return weight * apart
    if output.from_logits:
        return math.nan
    if output.loss_name == "binary_crossentropy":
        sure = max(high, 1 - low)
        return -weight * math.log(sure) if 0 < sure < 1 else math.nan
    if output.loss_name in _OF_CLASSES:
        return -weight * math.log(high) if 0 < high < 1 else math.nan
    return math.nan


def _most_of_probabilities(low, high, mean, std):
    """Return the most that a binary crossentropy of outputs may be.

    It is at most `-log(min(p, 1 - p))`, which is convex, log 2 at a half and so
    no larger than the straight lines from there to the ends. The mean distance
    from a half is at most the root of its mean square.
    """
    ends = [(0.5 - low, low), (high - 0.5, 1 - high)]
    if not min(low, 1 - high) > 0:
        return math.nan
    slopes = [
        (-math.log(sure) - math.log(2)) / far for far, sure in ends if far > 0
    ]
    return math.log(2) + max(slopes, default=0.0) * math.hypot(std, mean - 0.5)


def _of_loss(name, trace, count):
    unknown = np.full(count, np.nan)
    if name in _OF_CLASSES:
        classes = trace.run.data.output_width or 1
        return np.full(count, math.log(classes)) if classes > 1 else unknown
    mean, variance = _moments(trace, count)
    with np.errstate(all="ignore"):
        if name == "binary_crossentropy":
            p = np.where((mean > 0) & (mean < 1), mean, np.nan)
            return -p * np.log(p) - (1 - p) * np.log1p(-p)
        if name == "mean_squared_error":
            return variance
        if name == "mean_absolute_error":
            return np.sqrt(variance)
        if name in ("huber", "log_cosh"):
            return variance / 2
    return unknown


def unless_alike(guess, first, trace):
    """Return what a constant reaches, NaN where the targets are all the same.

    To rounding, they have none to gain then.

    Args:
        guess: Float array (count,). From `guess_of`.
        first: Float. The first loss.
        trace: `Trace`.
    """
    mean, std = (
        trace.data(f"target_{n}")[: len(guess)] for n in ("mean", "std")
    )
    square = std.astype(np.float64) ** 2 + mean.astype(np.float64) ** 2
    with np.errstate(all="ignore"):
        least = np.fmin(abs(first), np.fmax.accumulate(square))
        return np.where(guess > _ALIKE * least, guess, np.nan)


def _moments(trace, count):
    """Return mean and variance (count,) of the targets seen so far."""
    mean = trace.data("target_mean")[:count].astype(np.float64)
    std = trace.data("target_std")[:count].astype(np.float64)
    known = np.isfinite(mean) & np.isfinite(std)
    number = np.cumsum(known)
    with np.errstate(all="ignore"):
        center = np.cumsum(np.where(known, mean, 0)) / number
        square = np.cumsum(np.where(known, std**2 + mean**2, 0)) / number
        pooled = np.maximum(square - center**2, 0)
        spread = _column_variance(trace, count)
        return center, np.fmin(pooled, spread)


def target_spread(trace, count):
    """Return (count,): how far the targets of one column lie apart.

    Columns of different means have a spread of their own each; where that was
    not recorded, that of all targets together.

    Args:
        trace: `Trace`.
        count: Int. How many measurements to look at.
    """
    own = trace.data("target_spread")[:count]
    known = np.isfinite(own) & (own > 0)
    return np.where(known, own, trace.data("target_std")[:count])


def _column_variance(trace, count):
    """Return (count,): mean variance of a column so far, NaN if unknown.

    A batch of n shows all but a share 1 / n of it.
    """
    own = trace.data("target_spread")[:count].astype(np.float64)
    samples = trace.data("samples")[:count].astype(np.float64)
    with np.errstate(all="ignore"):
        whole = own**2 * samples / (samples - 1)
        known = np.isfinite(whole) & (samples >= 4)
        total = np.cumsum(np.where(known, whole, 0))
        return total / np.where(known.any(), np.cumsum(known), np.nan)
