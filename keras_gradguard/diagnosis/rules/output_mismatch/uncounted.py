"""A class that weighs nothing.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.remedies.training import fit_without_weights
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    LIGHT_CLASS,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import UNCOUNTED


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
        [_unweighted(trace.run)],
        left=float(left[at]),
    )


def light_class(trace, output):
    """Judge whether targets of one class have next to nothing of all weight.

    Small numbers of classes that weigh exactly 0 are often padding, and are
    masked so on purpose; large ones are not.
    """
    learning = Learning.of(trace)
    count, classes = len(learning), (*BINARY, *CATEGORICAL)
    if not trace.run.data.weighted or output.loss_name not in classes:
        return None
    low, high, share = (
        trace.data(name)[:count].astype(np.float64)
        for name in ("weight_of_low", "weight_of_high", "share_of_high")
    )
    need = LIGHT_CLASS["measured"]
    with np.errstate(all="ignore"):
        of_high = share * high / (share * high + (1 - share) * low)
        short = (of_high < LIGHT_CLASS["weighs"]) & (
            share >= LIGHT_CLASS["share"]
        )
        under = (1 - of_high < LIGHT_CLASS["weighs"]) & (low > 0)
        under &= 1 - share >= LIGHT_CLASS["share"]
        # Outputs may rank the rows, and give one class all the same.
        scored = learning.score - learning.chance
        bad = scored <= LIGHT_CLASS["beyond"]
        bad |= np.isnan(scored) & ~(learning.follows >= LIGHT_CLASS["follows"])
        late = learning.steps - int(trace.steps[0]) >= of_plan(
            trace, *LIGHT_CLASS["wait"]
        )
        bad &= late
    for side, mask in (("high", short), ("low", under)):
        seen = np.flatnonzero(bad & (count_within(mask, need) == need))
        if not len(seen):
            continue
        at = int(seen[0])
        part = share[at] if side == "high" else 1 - share[at]
        weight = of_high[at] if side == "high" else 1 - of_high[at]
        which = "higher" if side == "high" else "lower"
        return int(learning.steps[at]), mismatch(
            output,
            "class_weighs_nothing",
            f"{number(100 * part)} % of the targets are of the {which} "
            f"classes, and they have {number(100 * weight)} % of all weight. "
            "So the model is not told of them.",
            [_unweighted(trace.run)],
            weight=float(weight),
            share=float(part),
        )
    return None


def _unweighted(run):
    return fit_without_weights(
        run,
        "Train without weights, or mend them",
        "A class of weight 0 is never learnt.",
    )
