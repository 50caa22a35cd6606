"""Judges what layers add to a loss: that below 0 has no lowest value.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.remedies.added import turn_added
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    BOTTOMLESS,
)
from keras_gradguard.trace.facts import REGRESSION


def added_below_zero(trace, output):
    """Judge whether the loss falls below 0 by what a layer adds to it.

    An error is 0 at least. So what takes the loss far below is what layers add:
    a divergence that is subtracted, say, as in a variational autoencoder whose
    sign is turned.
    """
    adding = [told for told in trace.run.own_cuts.values() if told.get("adds")]
    if not adding or output.loss_name not in REGRESSION:
        return None
    learning = Learning.of(trace)
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(
            (learning.fallen > BOTTOMLESS) & (learning.late < -1)
        )
    if not len(seen):
        return None
    at = seen[0]
    low = float(learning.late[at])
    where = adding[0]["where"]
    return int(learning.steps[at]), mismatch(
        output,
        "no_floor",
        f"the loss is below 0, {number(low)}, and {output.loss_name} never is. "
        f"So it is what {where} adds by `add_loss` that falls, and it has no "
        "lowest value. A falling loss means nothing here.",
        [
            turn_added(
                trace.run,
                f"What {where} adds should be 0 at least. A divergence is, as "
                "-0.5 * sum(1 + log_var - mean**2 - exp(log_var)).",
            )
        ],
        loss_now=low,
    )
