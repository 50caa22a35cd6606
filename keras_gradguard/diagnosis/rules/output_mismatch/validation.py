"""Training that is sound beside a validation that cannot be.

The judgement takes a `Trace` and an `Output` and returns the step by which it
was seen and a `Finding`, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.scores import both_scores
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import EPOCHS
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OF_CHANCE
from keras_gradguard.findings.remedy import Remedy


def foreign_labels(trace, output):
    """Judge whether validation has labels that training lacks.

    The score of training is good and that of validation below half of what
    guessing gets, for three epochs in a row.
    """
    for name, score, held_out, chance in both_scores(trace):
        with np.errstate(invalid="ignore"):
            good = score - chance > 0.5 * (1 - chance)
            bad = good & (held_out < OF_CHANCE * chance)
        seen = np.flatnonzero(count_within(bad, EPOCHS) == EPOCHS)
        if not len(seen):
            continue
        at = int(seen[0])
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
            "lacks, or that stand for other classes there."
        )
        return int(trace.epoch_steps[at]), dataclasses.replace(
            found, message=text, layers=[]
        )
    return None


def _shuffle():
    return Remedy(
        "Shuffle before you split",
        "`validation_split` takes the last rows, which of sorted data are "
        "other classes.",
        "order = np.random.default_rng(0).permutation(len(x))\n"
        "x, y = x[order], y[order]",
    )
