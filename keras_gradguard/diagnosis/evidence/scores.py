"""Scores that a run logs, accuracy and the like, beside what guessing gets."""

import numpy as np

from keras_gradguard.diagnosis.evidence.batch import loss_weight

# Losses that are the logarithm of the right class's probability.
OF_CLASSES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "kl_divergence",
)
_ACCURACY = (
    "accuracy",
    "acc",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
)
# Of what the loss grants, where that is so many times what guessing gets, in so
# many epochs in a row.
_BELIED = {"share": 0.5, "chance": 2.0, "epochs": 2}
# A score of validation no further beyond what guessing gets, with a loss no
# further below that of guessing, in all epochs and at least so many, is none.
_GUESSED = {"beyond": 0.05, "loss": 0.02, "epochs": 5}
# Share of the way from guessing to all right that is none.
_AT_CHANCE = 0.02
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


def belied(trace):
    """Return whether accuracy is far below what the loss grants.

    A crossentropy is the mean of `-log p`, where `p` is the probability of the
    right class. So `p` is `exp(-loss)` at least on average (Jensen), and the
    most probable class is right as often or more where the probabilities are
    what they say. Of outputs that are no probabilities this does not hold.

    Args:
        trace: `Trace`.

    Returns:
        Bool array (E,), by epoch, and the float arrays (E,) of what the loss
        grants and of accuracy. All are empty where one of them is not known,
        or samples are weighted.
    """
    nothing = np.zeros(0, bool), np.zeros(0), np.zeros(0)
    output, weight = trace.run.output, loss_weight(trace)
    width = trace.run.data.output_width
    if output is None or output.loss_name not in OF_CLASSES:
        return nothing
    if not weight or trace.run.data.weighted or not width or width < 2:
        return nothing
    fraction = trace.data("target_fraction")[:1]
    if output.loss_name == "kl_divergence" and not (fraction == 0).all():
        return nothing  # shares of classes, of which none is the right one
    watched = [trace.logs[name] for name in _ACCURACY if name in trace.logs]
    loss = trace.logs.get("loss")
    if not watched or loss is None:
        return nothing
    accuracy = np.asarray(watched[0], np.float64)
    with np.errstate(all="ignore"):
        granted = np.exp(-np.asarray(loss, np.float64) / weight)
        bad = accuracy < _BELIED["share"] * granted
        bad &= granted > _BELIED["chance"] / width
    run = bad.copy()
    for back in range(1, int(_BELIED["epochs"])):
        run[:back] = False
        run[back:] &= bad[:-back]
    return run, granted, accuracy


def belied_at(trace, steps, low):
    """Return whether a low loss of classes goes with no accuracy, by step.

    Accuracy is far below what the loss grants, see `belied`, or it is still at
    chance though the loss is low.

    Args:
        trace: `Trace`.
        steps: Int array (K,).
        low: Bool array (K,). Whether the loss is.

    Returns:
        Bool array (K,).
    """
    bad, _, _ = belied(trace)
    at = np.searchsorted(trace.epoch_steps[: len(bad)], steps, "right") - 1
    found = np.append(bad, False)[at]
    output = trace.run.output
    if output is not None and output.loss_name in OF_CLASSES:
        score, chance = score_of(trace, steps)
        with np.errstate(invalid="ignore"):
            found |= low & (score - chance < _AT_CHANCE * (1 - chance))
    return found


def guessed_so_far(trace, steps):
    """Return whether validation never got beyond guessing, at each step.

    Args:
        trace: `Trace`.
        steps: Int array (K,).

    Returns:
        Bool array (K,), False where no score of classes is validated.
    """
    found = np.zeros(len(steps), bool)
    output, weight = trace.run.output, loss_weight(trace)
    loss = trace.logs.get("val_loss")
    if output is None or output.loss_name not in OF_CLASSES:
        return found
    if loss is None or not weight:
        return found
    for _, _, held_out, chance in both_scores(trace):
        # That of equal probabilities: more than classes that differ in number
        # have.
        guess = -weight * np.log(chance)
        with np.errstate(invalid="ignore"):
            low = held_out <= chance + _GUESSED["beyond"]
            low &= loss > (1 - _GUESSED["loss"]) * guess
        so_far = np.minimum.accumulate(low)
        so_far[: int(_GUESSED["epochs"]) - 1] = False
        at = np.searchsorted(trace.epoch_steps, steps, "right") - 1
        found |= np.append(so_far, False)[np.minimum(at, len(so_far) - 1)]
        found &= at >= 0
    return found


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
