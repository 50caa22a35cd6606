"""Losses that choose among the rows of a batch, and only guess.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import batch_size
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import IN_BATCH


def guesses_in_batch(trace, output):
    """Judge whether a loss of one's own stays at the logarithm of the rows.

    That is the crossentropy of a softmax over the rows of a batch that gives
    each the same probability, as contrastive losses have it at the start
    (InfoNCE: van den Oord et al., 2018, https://arxiv.org/abs/1807.03748).
    """
    loss, rows = trace.extra.get("loss"), batch_size(trace)
    if trace.run.own_loss is None or loss is None or rows < IN_BATCH["rows"]:
        return None
    learning = Learning.of(trace)
    wait = of_plan(trace, *IN_BATCH["wait"])
    if not len(learning) or len(loss) <= wait:
        return None
    guess = float(np.log(rows))
    with np.errstate(all="ignore"):
        near = np.abs(loss.astype(np.float64) / guess - 1) <= IN_BATCH["near"]
    # The last batch of an epoch may hold fewer rows.
    parts = near[: wait + 1], near[-wait - 1 :]
    if not near[0] or min(p.mean() for p in parts) < IN_BATCH["share"]:
        return None
    found = mismatch(
        output,
        "guesses_in_batch",
        "",
        [_sharper()],
        guess=guess,
        threshold=IN_BATCH["near"],
    )
    text = (
        f"The loss stays at {number(guess, 3)}, the logarithm of the {rows} "
        "rows of a batch. So much a guess among the rows costs: their scores "
        "hardly differ. They are divided by a temperature that is too large, "
        "or the same comes out for every row."
    )
    seen = int(trace.steps[min(wait, len(trace.steps) - 1)])
    return seen, dataclasses.replace(found, message=text, layers=[])


def _sharper():
    return changes.words(
        "Divide the scores by a smaller temperature",
        "Cosines lie between -1 and 1. Divided by 0.1 they differ enough for a "
        "softmax to choose: 0.05 to 0.5 is usual.",
        "temperature = 0.1  # in your loss: scores / temperature",
    )
