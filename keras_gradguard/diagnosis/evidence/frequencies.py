"""What a constant reaches where some classes are more frequent than others."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.batch import loss_weight

_MOST_CLASSES = 64
_ROUNDS = 8
# Numbers of classes are whole to that.
_ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of the numbers of classes, over the batches measured so far.

    Attributes:
        classes: Int. How many there are.
        places: Bool. Whether a sample has many, as in segmentation.
        mean: Float array (count,), NaN where it is not known.
        square: Float array (count,). Mean of the squares.
        samples: Float array (count,). How many samples were measured.
        fits: Bool array (count,). Whether all were classes so far.
    """

    classes: int
    places: bool
    mean: np.ndarray
    square: np.ndarray
    samples: np.ndarray
    fits: np.ndarray

    @classmethod
    def of(cls, trace, count):
        """Return those of more than two classes, or None.

        Args:
            trace: `Trace`.
            count: Int. How many measurements of the data to look at.
        """
        run = trace.run
        classes = run.data.output_width or 1
        name = None if run.output is None else run.output.loss_name
        shape, given = run.data.target_shape, run.data.output_shape or []
        one = shape in ([], [1])
        places = not one and shape in (given[:-1], [*given[:-1], 1])
        few = 2 < classes <= _MOST_CLASSES
        told = name == "sparse_categorical_crossentropy" and (one or places)
        if not told or not few or run.data.weighted:
            return None
        mean, std, low, high, samples = (
            trace.data(part)[:count].astype(np.float64)
            for part in (
                "target_mean",
                "target_std",
                "target_min",
                "target_max",
                "samples",
            )
        )
        known = np.isfinite(mean + std + samples) & (samples > 0)
        with np.errstate(all="ignore"):
            rows = np.where(known, samples, 0)
            seen = np.cumsum(rows)
            center = np.cumsum(np.where(known, rows * mean, 0)) / seen
            square = np.where(known, rows * (std**2 + mean**2), 0)
            square = np.cumsum(square) / seen
            fits = np.fmin.accumulate(low) >= -_ROUNDING
            fits &= np.fmax.accumulate(high) <= classes - 1 + _ROUNDING
        return cls(classes, places, center, square, seen, fits & (seen > 0))

    def entropy(self):
        """Return at least the entropy of the frequencies, NaN where unknown."""
        found = np.full(len(self.mean), np.nan)
        at = self.fits
        found[at] = most_entropy(self.classes, self.mean[at], self.square[at])
        return found


def constant_loss(trace, count):
    """Return an upper bound of a constant's loss, by frequencies of classes.

    As `guess_of`. Where targets are numbers of classes, one a sample or one a
    place, their mean and variance bound the entropy of the frequencies
    further: it is at most that of the flattest frequencies with these two. A
    standard error, since only some batches were seen, is left to it.

    Args:
        trace: `Trace`.
        count: Int. How many measurements of the data to look at.

    Returns:
        Float array (count,), NaN where that is not known.
    """
    guess, moments = guess_of(trace, count), Moments.of(trace, count)
    if moments is None or not moments.fits.any():
        return guess
    bound = moments.entropy()
    # Places of a sample are alike: they count as one, of what is rare in it.
    error = 2 * bound if moments.places else 1.0
    with np.errstate(all="ignore"):
        bound += error / np.sqrt(moments.samples)
    return np.fmin(guess, loss_weight(trace) * bound)


def most_entropy(classes, mean, square):
    """Return at least the entropy of any frequencies with these moments.

    Of the classes' numbers 0 to `classes - 1` the mean and the mean square are
    known. For each `a`, `log sum exp(a . k) - a . moments` is no less than
    that entropy (Lagrange); Newton's steps look for the least.

    Args:
        classes: Int.
        mean: Float array (n,).
        square: Float array (n,).

    Returns:
        Float array (n,), at most the logarithm of `classes`.
    """
    place = np.arange(classes) / (classes - 1)
    parts = np.stack([place, place**2])  # (2, classes)
    moments = np.stack([mean, square / (classes - 1)], 1) / (classes - 1)
    at = np.zeros((len(mean), 2))
    least, step = _dual(parts, moments, at)
    for _ in range(_ROUNDS):
        for size in (1.0, 0.2):
            value, further = _dual(parts, moments, at + size * step)
            better = value < least
            at[better] += size * step[better]
            least = np.where(better, value, least)
            step = np.where(better[:, None], further, step)
    return least


def _dual(parts, moments, at):
    """Return the bound at multipliers (n, 2), and Newton's step from there."""
    score = at @ parts
    top = score.max(1, keepdims=True)
    weight = np.exp(score - top)
    total = weight.sum(1, keepdims=True)
    value = (np.log(total) + top)[:, 0] - (at * moments).sum(1)
    share = weight / total
    mean = share @ parts.T
    spread = np.einsum("nk,ik,jk->nij", share, parts, parts)
    spread -= mean[:, :, None] * mean[:, None, :]
    spread += 1e-6 * np.eye(2)
    return value, np.linalg.solve(spread, (moments - mean)[..., None])[..., 0]
