"""Whether a run that was found sick can still come to anything."""

import numpy as np

from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.certainty import fall_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import gone_records

# So many records in a row without a finite gradient: no scaling of the loss
# takes as long to find its scale, and NaN weights stay NaN.
_GONE = 32
_GONE_FOR_GOOD = 8
# A loss that has fallen by less has not moved.
_LEAST = 0.02


def why_hopeless(trace, findings):
    """Return the finding that keeps a run from learning, or None.

    Either no gradient is finite any more. Or a critical finding stands, the
    loss has come no lower than where it began, or than a constant prediction
    has it, and the outputs do not follow the targets.

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
    if _moves(trace) or _follows(trace):
        return None
    return critical[0]


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
    return start - late > max(_LEAST * abs(start), noise)


def _follows(trace):
    learning = Learning.of(trace)
    if not len(learning):
        return False
    return bool(learning.good[-1] or learning.at_ceiling[-1])
