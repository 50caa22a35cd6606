"""Batches that hold one class each, since the rows are sorted.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import bad_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.remedies.data import SHUFFLED
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import SORTED
from keras_gradguard.findings.remedy import Remedy

_BY_NUMBER = ("sparse_categorical_crossentropy", *BINARY)


def sorted_rows(trace, output):
    """Judge whether rows of one class come one after the other.

    Each step then teaches one class and undoes the others. Of rows in any
    order the means of batches of n vary by 1/n of what the rows do (the
    variance of a mean); of sorted rows they vary by all of it.
    """
    one = trace.run.data.target_shape in ([], [1])
    if output.loss_name not in _BY_NUMBER or not one:
        return None
    mean, std, samples = told = [
        trace.data(part).astype(np.float64)
        for part in ("target_mean", "target_std", "samples")
    ]
    enough = np.isfinite(told).all(axis=0) & (samples >= SORTED["rows"])
    known = np.flatnonzero(enough)
    if len(known) < SORTED["batches"]:
        return None
    mean, within = mean[known], np.square(std[known])
    between = float(np.var(mean))
    share = between / max(between + float(np.mean(within)), 1e-12)
    if share < SORTED["share"]:
        return None
    seen = bad_at(trace)
    seen = _unsure_at(trace, mean) if seen is None else seen
    if seen is None:
        return None
    found = mismatch(
        output,
        "sorted_rows",
        "",
        [_shuffle(trace.run)],
        severity="warning",
        share=share,
        threshold=SORTED["share"],
        batches=len(known),
    )
    text = (
        "Most batches hold one class only: of what the targets vary by, "
        f"{number(100 * share)} % lies between the {len(known)} batches that "
        "were measured, and the rest within them. So the rows are sorted, and "
        "not shuffled: each step learns one class and forgets the others."
    )
    return seen, dataclasses.replace(found, message=text, layers=[])


def _unsure_at(trace, mean):
    """Return the step from which a falling loss says nothing, or None.

    Where the first batches in a row are of one class, it falls since the model
    gives the class of the moment.
    """
    learning = Learning.of(trace)
    in_a_row = trace.activation_steps[:3] == trace.steps[0] + np.arange(3)
    alike = in_a_row.all() and len(np.unique(mean[:3])) == 1
    late = learning.steps - int(trace.steps[0]) >= SORTED["patience"]
    unsure = np.flatnonzero(late & ~learning.good)
    if not alike or not len(unsure) or learning.good[-1]:
        return None
    return int(learning.steps[unsure[0]])


def _shuffle(run):
    if run.batches:
        code = (
            "# where the batches are made, before they are:\n"
            "dataset = dataset.unbatch().shuffle(10_000).batch(32)  # tf.data"
        )
    else:
        code = SHUFFLED
    return Remedy(
        "Shuffle the rows",
        "Each batch then holds rows of all classes. `fit` does so where "
        "`shuffle` is left at True and the data are arrays.",
        code,
    )
