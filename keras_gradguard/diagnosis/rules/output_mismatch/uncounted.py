"""A class that weighs nothing.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import UNCOUNTED
from keras_gradguard.findings.remedy import Remedy


def uncounted(trace, output):
    """Judge whether a weighted loss is lower than outputs and targets allow.

    A target of 1 costs at least what the highest output of the batch costs it,
    one of 0 what the lowest does. A loss far below that counts only those of
    one class, though it counted both sizes at first.
    """
    loss, steps = trace.extra.get("loss"), trace.activation_steps
    weight = loss_weight(trace)
    if not trace.run.data.weighted or loss is None or not weight:
        return None
    if output.loss_name != "binary_crossentropy" or output.from_logits:
        return None
    rows = np.searchsorted(trace.steps, steps)
    kept = rows < len(loss)
    kept[kept] = trace.steps[rows[kept]] == steps[kept]
    if not kept.any():
        return None
    low, high, ones = (
        trace.data(name)[kept].astype(np.float64)
        for name in ("output_min", "output_max", "target_mean")
    )
    with np.errstate(all="ignore"):
        least = -ones * np.log(high) - (1 - ones) * np.log1p(-low)
        left = loss[rows[kept]] / (weight * least)
        bad = (left < UNCOUNTED["left"]) & (least > np.log(2) / 2)
        bad &= (ones > 0) & (ones < 1)
    if not left[0] >= UNCOUNTED["first"]:
        return None
    need = UNCOUNTED["measured"]
    seen = np.flatnonzero(count_within(bad, need) == need)
    if not len(seen):
        return None
    at = int(seen[0])
    given = 0 if high[at] < 0.5 else 1
    part = float(ones[at]) if given == 0 else 1 - float(ones[at])
    return int(steps[kept][at]), mismatch(
        output,
        "class_weighs_nothing",
        f"{number(100 * part)} % of the targets are {1 - given}, the model "
        f"gives about {given} for every input, and the loss is next to 0 all "
        f"the same. So targets of {1 - given} weigh nothing.",
        [
            Remedy(
                "Train without weights, or mend them",
                "A class of weight 0 is never learnt.",
                f"model.fit(x, y, epochs={trace.run.epochs_planned or 10})",
            )
        ],
        left=float(left[at]),
    )
