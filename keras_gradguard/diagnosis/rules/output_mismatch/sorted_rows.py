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
    told = _one_hot(trace, output) or _by_number(trace, output)
    if told is None:
        return None
    share, mean, batches = told
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
        batches=batches,
    )
    text = (
        "Most batches hold one class only: of what the targets vary by, "
        f"{number(100 * share)} % lies between the {batches} batches that "
        "were measured, and the rest within them. So the rows are sorted, and "
        "not shuffled: each step learns one class and forgets the others."
    )
    return seen, dataclasses.replace(found, message=text, layers=[])


def _by_number(trace, output):
    """Return share, means and number of batches whose targets are numbers."""
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
    return (share, mean, len(known)) if share >= SORTED["share"] else None


def _one_hot(trace, output):
    """Return share, means and number of batches whose targets are one-hot.

    Such targets have the same mean, whatever the class. What differs is how
    much a column varies within a batch: not at all, where all rows are of one
    class. Of a rare class that is so, too, and then the loss of these batches
    stays low; of sorted rows it rises with each new class.
    """
    shape = trace.run.data.target_shape or []
    wide = len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 1
    if output.loss_name != "categorical_crossentropy" or not wide:
        return None
    std, own, samples, off = told = [
        trace.data(part).astype(np.float64)
        for part in ("target_std", "target_spread", "samples", "target_row_sum")
    ]
    enough = np.isfinite(told).all(axis=0) & (samples >= SORTED["rows"])
    known = np.flatnonzero(enough & (off < 1e-3))
    if len(known) < SORTED["batches"]:
        return None
    left = float(np.mean(np.square(own[known])))
    share = 1 - left / max(float(np.mean(np.square(std[known]))), 1e-12)
    if share < SORTED["share"] or not _rises(trace, np.log(shape[0])):
        return None
    # Of which class a batch is the targets' mean does not tell.
    return share, np.arange(len(known)), len(known)


def _rises(trace, guess):
    """Whether the loss fell to half of a guess's, and rose above it, twice."""
    loss = trace.extra.get("loss")
    if loss is None:
        return False
    with np.errstate(invalid="ignore"):
        low, high = loss < guess / 2, loss > guess
    side = np.where(low, -1, np.where(high, 1, 0))
    turns = side[side != 0]
    return int((np.diff(turns) > 0).sum()) >= SORTED["rises"]


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
