"""What may not be said of a run in which nothing was found, and why."""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import averaging
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import first_loss
from keras_gradguard.diagnosis.evidence.logged import losses_of_sides
from keras_gradguard.diagnosis.evidence.reference import nothing_in_words
from keras_gradguard.diagnosis.evidence.stretches import Progress

# Records that the rules of the longest window want.
ENOUGH, _MEASURED = 100, 12
# A fall of less than this share of the loss is none that anybody wants.
_LEAST = 0.02
# The loss of one of two networks that it has not won by.
_LEFT = 0.02
# Averages that hold more of their start than of the data.
_STALE = 0.5
# Variances that are so many times those of the data: outputs come out at half
# their size. One layer alone has to be further off, at a third.
_FAR, _FAR_ALONE = 4.0, 9.0
# Standard errors by which the loss has to lie lower.
_ERRORS = 3.0


def causes_judged(trace):
    """Return whether the rules that name causes had the records they ask for.

    Some of them want activations at twelve measured steps.

    Args:
        trace: `Trace` of the run.
    """
    measured = len(trace.activation_steps)
    return trace.records_seen >= ENOUGH and measured >= _MEASURED


def not_judged(trace, rules=None):
    """Return why a run without findings may not be called healthy.

    Args:
        trace: `Trace` of the run, or None.
        rules: List of str. Ids of the rules that were asked, where these are
            not all. Defaults to none left out.

    Returns:
        List of str, each a reason without a full stop; empty where every rule
        had the records that it asks for, and the loss fell by more than its
        noise or the outputs follow the targets.
    """
    if trace is None or not len(trace.steps):
        reason = None if trace is None else trace.meta.get("not_recorded")
        because = "" if reason is None else f", because {reason}"
        return [f"nothing was recorded{because}"]
    reasons = []
    if rules is not None:
        asked = ", ".join(rules) or "none"
        reasons.append(f"only these rules were asked: {asked}")
    if trace.meta.get("not_recorded"):
        reasons.append(trace.meta["not_recorded"])
    if trace.records_seen < ENOUGH:
        reasons.append("too few to say whether it learns")
    return [*reasons, *_of_averages(trace), *_of_loss(trace)]


def _of_averages(trace):
    layers, momentum = averaging(trace)
    kept = momentum**trace.records_seen
    if not layers or "val_loss" in trace.logs:
        return []
    far = {
        layer: times
        for layer, times in (trace.meta.get("averages") or {}).items()
        if times > _FAR
    }
    most = max(far.values(), default=0.0)
    if kept < _STALE and (len(far) > 1 or most > _FAR_ALONE):
        return [
            f"predictions go by averages of {names(list(far))} that are up "
            f"to {number(most)} times the variance of the data, since "
            f"{number(100 * kept)} % of their start is left, and no "
            "validation shows them"
        ]
    if kept < _STALE:
        return []
    return [
        f"predictions go by averages of {names(layers)} that keep "
        f"{number(100 * kept)} % of their start, and no validation shows them"
    ]


def _of_loss(trace):
    progress, learning = Progress.of(trace), Learning.of(trace)
    if not progress.known:
        if trace.records_seen < ENOUGH and _has_loss(trace):
            return []  # that the records are too few says it
        if _in_balance(trace):
            return []
        return ["no loss was recorded, so whether it learns is not known"]
    if len(learning) and (learning.good[-1] or learning.at_ceiling[-1]):
        return []
    first, late, noise = fall_of(trace, progress)
    if not np.isfinite(late):
        return ["the loss is not finite"]
    fall = first - late
    if fall < -max(_LEAST * abs(first), noise):
        return [
            f"the loss has risen, from {number(first, 4)} to {number(late, 4)}"
        ]
    if fall <= max(_LEAST * abs(first), noise):
        return [f"the loss has not moved{_nor_others(trace)}"]
    gain = learning.gain[-1] if len(learning) else np.nan
    if gain < _LEAST:
        return [
            "the loss has fallen no further than to that of a constant "
            f"prediction{_nor_others(trace)}"
        ]
    return []


def _nor_others(trace):
    """What trivial learners say of it: nothing, where they get some."""
    if not nothing_in_words(trace):
        return ""
    rows = trace.run.reference.rows
    return f", and trivial learners get nothing out of {rows} of its rows"


def _in_balance(trace):
    """Whether two networks that train each other both have a loss still."""
    sides = losses_of_sides(trace)
    if sides is None:
        return False
    late = [loss[-max(1, len(loss) // 5) :] for loss in sides.values()]
    with np.errstate(invalid="ignore"):
        left = [np.isfinite(loss).all() for loss in late]
        return all(left) and all(np.abs(loss).min() > _LEFT for loss in late)


def _has_loss(trace):
    series = (trace.extra.get("loss"), trace.logs.get("loss"))
    return any(s is not None and np.isfinite(s).any() for s in series)


def fall_of(trace, progress):
    """Return the loss at first and of late, and the noise of their gap.

    Args:
        trace: `Trace` of the run.
        progress: `Progress` of it.
    """
    loss = trace.extra.get("loss") if progress.per_batch else progress.loss
    loss = np.asarray(loss, np.float64)
    loss = loss[~np.isnan(loss)]
    if not len(loss):
        return np.nan, np.nan, np.nan
    few = max(1, len(loss) // 10)
    early, late = loss[:few], loss[-max(2, len(loss) // 5) :]
    with np.errstate(invalid="ignore", over="ignore"):
        first = max(float(early.mean()), _start(trace, progress))
        # Half of the gap of neighbours is noise, whatever the trend.
        step = np.diff(loss)
        spread = np.sqrt(np.mean(step**2) / 2) if len(step) else 0.0
        noise = _ERRORS * spread * np.sqrt(1 / len(early) + 1 / len(late))
        return first, float(late.mean()), float(noise)


def _start(trace, progress):
    start = first_loss(trace, progress)
    return start if np.isfinite(start) else -np.inf
