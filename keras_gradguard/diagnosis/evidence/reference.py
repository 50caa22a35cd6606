"""How far a run is behind what trivial learners get out of its rows."""

import dataclasses
import math

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import TABLE

# Standard errors that are taken off, since it is the best of a few.
_ERRORS = 3.0
# What the rows have to tell for sure, and what share of it a run has to know.
WORTH, _OF_IT = 0.3, 0.5
# Rows that tell less than this, at most, tell nothing.
_NOTHING, _ROWS = 0.1, 150
# Of a share as it was measured, which may be more by chance; standard errors
# above chance; and of how many rows.
_HARDLY, _BY_DRAW, _SOME_ROWS = 0.05, 2.0, 100
# Share of the plan, and fewest steps; where the loss is that of a known kind.
_OF_PLAN, _FEWEST = 0.5, 100
_CLASSES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a reference gains for sure, in the units of the run's measures.

    Attributes:
        score: Share of the way from the most frequent class to all right, or
            of the variance explained.
        loss: Share by which its loss would lie below that of a constant, NaN
            where that is not known of the loss.
        square: What the square of the correlation of outputs and targets
            would be.
        most: As `score`, but at most.
    """

    score: float
    loss: float
    square: float
    most: float

    @classmethod
    def of(cls, trace):
        """Return what a trace knows, or None."""
        known, run = trace.run.reference, trace.run
        if known is None or known.rows < 2:
            return None
        if not math.isfinite(known.score) or not 0 <= known.error < 1e6:
            return None
        name = run.output.loss_name if run.output is not None else None
        off = _ERRORS * known.error
        low, high = known.score - off, known.score + off
        if known.kind == "numbers":
            middle = known.absolute - _ERRORS * known.absolute_error
            if not middle > 0:
                # A few targets far off all others are most of the variance.
                low = min(low, 0.0)
            loss = low if name in REGRESSION else math.nan
            if name == "mean_absolute_error":
                loss = middle
            return cls(low, loss, low, high)
        if known.kind != "classes" or not 0 <= known.chance < 1:
            return None
        room = 1 - known.chance
        score = (low - known.chance) / room
        loss = math.nan
        if name in (*_CLASSES, "binary_crossentropy"):
            loss = _of_crossentropy(low, known)
        elif name in REGRESSION:
            loss = score * abs(score)
        most = (high - known.chance) / room
        return cls(score, loss, score * abs(score), most)

    @property
    def tells(self):
        """Bool. Whether there is a good deal to be had for sure."""
        return self.score >= WORTH

    def nothing(self, rows):
        """Return whether so many rows tell nothing, for sure."""
        return rows >= _ROWS and self.most < _NOTHING


def _of_crossentropy(right, known):
    """Gain of one who is right so often and knows how often.

    The class that it tells gets that probability, and the others what is left:
    so its crossentropy is no more than this (Fano).
    """
    if known.classes < 2 or not known.entropy > 0:
        return math.nan
    wrong = min(max(1 - right, 1e-6), 1 - 1e-6)
    loss = -(1 - wrong) * math.log(1 - wrong)
    loss -= wrong * math.log(wrong / (known.classes - 1))
    return 1 - loss / known.entropy


def behind(trace):
    """Return (K,): the run knows less than half of what the rows tell.

    By each measure that is known: the loss, the correlation of outputs and
    targets, and the score. From half of the plan on, where the loss would not
    get there if it fell on as it does for as long again as the run has lasted;
    and at the measurement before, too, if more are to come.

    Args:
        trace: `Trace`.
    """
    learning, bounds = Learning.of(trace), Bounds.of(trace)
    far = np.zeros(len(learning), bool)
    plan = planned_steps(trace)
    if bounds is None or not bounds.tells or not plan or not len(learning):
        return far
    if trace.run.data.weighted or loss_weight(trace) is None:
        return far
    run = learning.steps - int(trace.steps[0])
    own, loss = _own(trace, learning, bounds), bounds.loss
    with np.errstate(all="ignore"):
        gained = np.fmax(learning.gain, learning.explained)
        gained = np.fmax(gained, _ahead(run, gained))
        if math.isfinite(loss) and np.isfinite(gained).any():
            low = gained < _OF_IT * loss
        else:
            # Of a loss that is not known, how far it fell has to say so.
            fell = np.fmax(learning.fallen, learning.moved)
            low = (fell < _OF_IT) & ~learning.falling
        late = run >= max(_OF_PLAN * plan, _FEWEST)
        little = low & own & ~learning.good
        far = late & little
    before = np.concatenate([[False], far[:-1]])
    if trace.steps[-1] - trace.steps[0] + 1 >= plan and late.sum() == 1:
        # A short run is measured seldom, and this one is over.
        before[-1] = True
    far &= before
    return far


def in_words(trace):
    """Return what the rows tell and the run knows, a clause.

    Args:
        trace: `Trace` that has a reference.
    """
    known = trace.run.reference
    if known.learner == TABLE:
        rows = count(known.rows, "different row")
        return f"The batches hold {rows}, and each has one class"
    of = "of the classes" if known.kind == "classes" else "of the variance"
    did = "told" if known.kind == "classes" else "explained"
    return (
        f"Among {known.rows} rows of the same batches "
        f"{known.learner or 'a trivial learner'} {did} "
        f"{number(100 * known.score)} % {of}"
    )


def nothing_in_words(trace):
    """Return a sentence where trivial learners get nothing out of rows, or "".

    Args:
        trace: `Trace`.
    """
    bounds, known = Bounds.of(trace), trace.run.reference
    if bounds is None or not bounds.nothing(known.rows):
        return ""
    return (
        "Nor do ridge regression, nearest neighbours or a Gaussian kernel get "
        f"anything out of {known.rows} rows of the same batches. "
    )


def hardly_in_words(trace):
    """Return a clause where trivial learners got next to nothing, or "".

    Args:
        trace: `Trace`.
    """
    bounds, known = Bounds.of(trace), trace.run.reference
    if bounds is None or bounds.tells or known.rows < _SOME_ROWS:
        return ""
    chance = known.chance if known.kind == "classes" else 0.0
    # The best of a few is somewhat above chance by its draw.
    most = max(_HARDLY * (1 - chance), _BY_DRAW * known.error)
    if not known.score - chance < most:
        return ""
    return (
        f"and neither ridge regression nor nearest neighbours get more out of "
        f"{known.rows} rows of the same batches"
    )


def of_reference(trace):
    """Return what is known of the rows, as evidence of a finding.

    Args:
        trace: `Trace` that has a reference.
    """
    known = trace.run.reference
    return {
        "reference": known.score,
        "reference_error": known.error,
        "reference_rows": known.rows,
    }


def _own(trace, learning, bounds):
    """Return (K,): outputs and scores say so as well, as far as known."""
    with np.errstate(all="ignore"):
        follows = np.where(learning.contrast < 0.02, 0.0, learning.follows)
        # Distances, say, are the smaller the more alike the two are.
        square = follows * follows
        known = trace.run.reference
        low = ~(square > _OF_IT * bounds.square)
        if known.kind == "classes":
            gained = (learning.score - known.chance) / (1 - known.chance)
            low &= ~(gained > _OF_IT * bounds.score)
        # One of the two has to be known.
        return low & (np.isfinite(square) | np.isfinite(learning.gain))


def _ahead(run, gained):
    """Return (K,): the gain after as long again, if it grew on as it did."""
    half = np.searchsorted(run, run / 2, "right") - 1
    half = np.maximum(half, 0)
    spans = np.maximum(run - run[half], 1)
    horizon = np.maximum(run, 500 - run)
    return gained + (gained - gained[half]) / spans * horizon
