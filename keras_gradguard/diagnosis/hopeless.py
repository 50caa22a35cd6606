"""Whether a run that was found sick can still come to anything."""

import numpy as np

from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.certainty import fall_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.diagnosis.evidence.stretches import log_profile

# So many records in a row without a finite gradient: no scaling of the loss
# takes as long to find its scale, and NaN weights stay NaN.
_GONE = 32
_GONE_FOR_GOOD = 8
# A loss that has fallen by less has not moved.
_LEAST = 0.02
# One that falls by so much from the second third of the run to the last, falls.
_COMES_BACK = 0.1
# Fewer records do not tell whether a loss will come down.
_ENOUGH = 64
# A gradient that is this many times what it was, is on its way.
_RISES = 1.25
# One this many times less than that of another layer is little.
_LITTLE = 10


def why_hopeless(trace, findings):
    """Return the finding that keeps a run from learning, or None.

    Either no gradient is finite any more. Or all of this holds: a critical
    finding is confirmed; the loss has come no lower than where it began, or
    than a constant prediction has it, and comes down no more; the outputs do
    not follow the targets; and no layer that gets little of the gradient gets
    more of late. A deep network may stay on a plateau for long while the
    gradients of its first layers rise, and then learn.

    Args:
        trace: `Trace` of the run so far.
        findings: List of `Finding` that stand, as `Report.ranked` has them.

    Returns:
        A `Finding`, the first in the list that says so.
    """
    critical = [f for f in findings if f.severity == "critical"]
    if not critical or not len(trace.steps):
        return None
    if _gone(trace):
        nonfinite = [f for f in critical if f.rule == "nonfinite_gradient"]
        return (nonfinite or critical)[0]
    sure = [f for f in critical if f.status == "confirmed"]
    if not sure or trace.records_seen < _ENOUGH:
        return None
    if _moves(trace) or _follows(trace) or _rises(trace):
        return None
    return sure[0]


def _gone(trace):
    gone = gone_records(trace)
    last = gone[-_GONE_FOR_GOOD:] & ~trace.skipped[-_GONE_FOR_GOOD:]
    if len(last) == _GONE_FOR_GOOD and last.all():
        return True
    return len(gone) >= _GONE and bool(gone[-_GONE:].all())


def _moves(trace):
    """Whether the loss has come down by more than a constant could, if known.

    A network that only learns the mean of its targets gets down to that, and
    no further.
    """
    progress = Progress.of(trace)
    if not progress.known:
        return True
    first, late, noise = fall_of(trace, progress)
    if not np.isfinite(late):
        return False
    guess = guess_of(trace, len(Learning.of(trace)))
    start = min(first, float(guess[-1])) if len(guess) else first
    start = start if np.isfinite(start) else first
    if start - late > max(_LEAST * abs(start), noise):
        return True
    # Steps that were too large may have thrown it far up: it comes back.
    known = progress.loss[np.isfinite(progress.loss)]
    if len(known) < 3:
        return False
    _, before, now = map(np.median, np.array_split(known, 3))
    return bool(before - now > _COMES_BACK * abs(before))


def _follows(trace):
    learning = Learning.of(trace)
    if not len(learning):
        return False
    return bool(learning.good[-1] or learning.at_ceiling[-1])


def _rises(trace):
    """Whether the gradient of a layer that gets little has risen of late.

    Thirds of the run are compared. A gradient that is zero stays out of it,
    and so do the layers that get most: theirs come and go with the batches.
    """
    thirds = np.array_split(log_profile(trace), 3)
    if not all(map(len, thirds)):
        return True
    with np.errstate(invalid="ignore"):
        first, second, third = (np.median(part, axis=0) for part in thirds)
        lowest = np.minimum(first, second)
        little = lowest < np.nanmax(lowest, initial=-np.inf) - np.log(_LITTLE)
        return bool((little & (third - lowest > np.log(_RISES))).any())
