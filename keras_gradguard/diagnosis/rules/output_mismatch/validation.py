"""Training that is sound beside a validation that cannot be.

The judgement takes a `Trace` and an `Output` and returns the step by which it
was seen and a `Finding`, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.scores import both_scores
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.remedies.data import SHUFFLED
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    BELOW_ALL_ALONG,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import EPOCHS
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OF_CHANCE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OF_SCORE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import WORSE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import YOUNG
from keras_gradguard.findings.remedy import Remedy


def foreign_labels(trace, output):
    """Judge whether validation has labels that training lacks.

    The score of training is good and that of validation below half of what
    guessing gets, for three epochs in a row. Or in two of the first six it is
    below half of that of training, and the loss of validation is above that of
    a constant and rises. Among these, one is enough where no epoch from the
    first three on got near chance.
    """
    for name, score, held_out, chance in both_scores(trace):
        with np.errstate(invalid="ignore"):
            good = score - chance > 0.5 * (1 - chance)
            bad = good & (held_out < OF_CHANCE * chance)
        seen = np.flatnonzero(count_within(bad, EPOCHS) == EPOCHS)
        apart = good & _apart(trace, score, held_out)
        far = good & _ever_further(trace, score, held_out, chance)
        told = [*seen[:1].tolist(), *_soon(apart)]
        told += [int(at) for at in np.flatnonzero(far)[:1] if at < YOUNG]
        if not told:
            continue
        at = min(told)
        found = mismatch(
            output,
            "foreign_labels",
            "",
            [_shuffle()],
            score=float(score[at]),
            val_score=float(held_out[at]),
            threshold=OF_CHANCE * chance,
        )
        text = (
            f"Training is sound, validation is not: {name} is "
            f"{number(float(score[at]))} in training and "
            f"{number(float(held_out[at]))} in validation, where guessing "
            f"gets {number(chance)}. Validation holds labels that training "
            "lacks or has few of, or that stand for other classes there."
        )
        return int(trace.epoch_steps[at]), dataclasses.replace(
            found, message=text, layers=[]
        )
    return None


def _apart(trace, score, held_out):
    """Return (E,): validation is far off, and training takes it further away.

    Its loss is above that of a constant, and above what it was at first.
    """
    loss = trace.logs.get("val_loss")
    count = min(len(trace.activation_steps), 1)
    guess = guess_of(trace, count)
    if loss is None or not len(guess) or not guess[0] > 0 or _averages(trace):
        return np.zeros(len(score), bool)
    with np.errstate(invalid="ignore"):
        away = (loss > WORSE * guess[0]) & (loss > loss[:1])
        return away & (held_out < OF_SCORE * score)


def _ever_further(trace, score, held_out, chance):
    """Return (E,): validation was below chance all along, and gets worse.

    Its loss rises from epoch to epoch, and is above that of a constant.
    """
    loss = trace.logs.get("val_loss")
    guess = guess_of(trace, min(len(trace.activation_steps), 1))
    if loss is None or not len(guess) or not guess[0] > 0 or _averages(trace):
        return np.zeros(len(score), bool)
    with np.errstate(invalid="ignore"):
        below = held_out < BELOW_ALL_ALONG["chance"] * chance
        rises = np.append(True, loss[1:] > loss[:-1])
        so_far = np.logical_and.accumulate(below & rises)
        so_far[: BELOW_ALL_ALONG["epochs"] - 1] = False
        away = loss > BELOW_ALL_ALONG["worse"] * guess[0]
        return so_far & away & (held_out < OF_SCORE * score)


def _soon(apart):
    """Return the epoch by which it was so twice in a row, among the first.

    Who has seen each sample a few times has not learnt them by heart.
    """
    twice = np.flatnonzero(apart[1:] & apart[:-1]) + 1
    return [int(at) for at in twice[:1] if at < YOUNG]


def _averages(trace):
    """Whether normalizations average over batches: those may lag behind."""
    kinds = [str(trace.info(a).get("class")) for a in trace.layers]
    return any("BatchNorm" in kind for kind in kinds)


def _shuffle():
    return Remedy(
        "Shuffle before you split",
        "`validation_split` takes the last rows, which of sorted data are "
        "other classes.",
        SHUFFLED,
    )
