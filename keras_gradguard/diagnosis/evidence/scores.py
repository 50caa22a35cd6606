"""Scores that a run logs, accuracy and the like, beside what guessing gets."""

import numpy as np

# A score that was lost for so many epochs is lost.
_KEPT = 3
_SCORES = ("acc", "auc", "f1", "precision", "recall", "iou", "dice", "r2")


def score_of(trace, steps):
    """Return the best score of late at each step, and that of guessing.

    Args:
        trace: `Trace`.
        steps: Int array (K,).
    """
    best = np.full(len(steps), np.nan)
    for name, series in trace.logs.items():
        if name.startswith("val_") or not _is_score(name):
            continue
        known = np.where((series >= 0) & (series <= 1), series, np.nan)
        # Learnt once is not learnt for ever.
        top = known.copy()
        for back in range(1, min(_KEPT, len(known))):
            top[back:] = np.fmax(top[back:], known[:-back])
        at = np.searchsorted(trace.epoch_steps, steps, "right") - 1
        seen = np.where(at >= 0, top[np.maximum(at, 0)], np.nan)
        best = np.fmax(best, seen)
    return best, _chance(trace)


def both_scores(trace):
    """Yield each score that was logged of training and of validation.

    Args:
        trace: `Trace`.

    Yields:
        Tuples of its name, both series (E,), and what guessing reaches.
    """
    chance = _chance(trace)
    for name, series in trace.logs.items():
        held_out = trace.logs.get(f"val_{name}")
        if held_out is None or not _is_score(name) or not np.isfinite(chance):
            continue
        with np.errstate(invalid="ignore"):
            if ((series >= 0) & (series <= 1) | np.isnan(series)).all():
                yield name, series, held_out, chance


def _is_score(name):
    return any(word in name.lower() for word in _SCORES)


def _chance(trace):
    width = trace.run.data.output_width
    if width is None:
        return float("nan")
    if width > 1:
        return 1.0 / width
    mean = trace.data("target_mean")
    mean = mean[np.isfinite(mean) & (mean >= 0) & (mean <= 1)]
    if not len(mean):
        return float("nan")
    share = float(np.median(mean))
    return max(share, 1 - share)
