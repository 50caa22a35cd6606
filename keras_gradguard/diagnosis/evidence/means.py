"""Means over parts of a run: of its loss and of what was measured."""

import numpy as np

# A loss that falls by this share over the second half of a run goes on.
_GOING = 0.08
# Measurements that count as the latest.
_WINDOW = 5
# What follows the targets no more than this, or than three standard errors,
# may do so by chance.
FAINTLY = 0.12


def from_loss(progress, at):
    """Return the loss of late and whether it stalls, each (K,)."""
    late = np.full(len(at), np.nan)
    stalled = np.zeros(len(at), bool)
    known = at >= 0
    if not known.any() or not progress.known:
        return late, stalled
    window = max(4, progress.window)
    late[known] = progress.halves(window)[1][at[known]]
    stalled[known] = progress.stalled(window, 0.02)[at[known]]
    return late, stalled


def second_half(progress, at):
    """Return whether the loss falls over the second half, and its last mean.

    From the third to the last quarter of the run up to each measurement.
    """
    known = np.isfinite(progress.loss)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.cumsum(np.where(known, progress.loss, 0.0))
    total = np.concatenate([[0.0], total])
    number = np.concatenate([[0], np.cumsum(known)])
    end = np.maximum(at + 1, 0)
    early, middle = end // 2, (3 * end) // 4
    with np.errstate(all="ignore"):
        before = (total[middle] - total[early]) / (
            number[middle] - number[early]
        )
        after = (total[end] - total[middle]) / (number[end] - number[middle])
        falls = (before - after > _GOING * np.abs(before)) & (end >= 8)
        return falls, after


def related(follows, samples):
    """Return (K,) means of the second half so far, NaN where by chance."""
    known = np.isfinite(follows) & np.isfinite(samples)
    total = np.concatenate([[0], np.cumsum(np.where(known, follows, 0.0))])
    number = np.concatenate([[0], np.cumsum(known)])
    seen = np.concatenate([[0], np.cumsum(np.where(known, samples, 0.0))])
    end = np.arange(1, len(follows) + 1)
    half = end // 2
    with np.errstate(all="ignore"):
        mean = (total[end] - total[half]) / (number[end] - number[half])
        error = 3 / np.sqrt(seen[end] - seen[half])
        return np.where(mean > np.maximum(FAINTLY, error), mean, np.nan)


def doubt(samples):
    """Return (K,): two standard errors of a variance of so many samples."""
    with np.errstate(all="ignore"):
        seen = np.cumsum(np.nan_to_num(samples.astype(np.float64)))
        return np.where(seen > 0, 2 * np.sqrt(2 / seen), 0.0)


def recent(values):
    """Return means over the latest measurements, of those that are known."""
    values = values.astype(np.float64)
    known = np.isfinite(values)
    total = np.cumsum(np.where(known, values, 0.0))
    number = np.cumsum(known)
    total[_WINDOW:] -= total[:-_WINDOW].copy()
    number[_WINDOW:] -= number[:-_WINDOW].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / np.where(number, number, np.nan)
