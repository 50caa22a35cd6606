"""Numbers of classes that are learnt as sizes, by one unit.

The judgement takes a `Trace` and an `Output` and returns a finding, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    MANY_CLASSES,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import NUMBERED
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import known

_ACCURACY = ("accuracy", "acc")


def numbered_classes(trace, output):
    """Judge whether targets are classes, by their numbers.

    Accuracy is a measure of classes, so who watches it takes them for such.
    With one unit Keras compares each output, above a half or not, with the
    number, so a class from 2 on never counts as right.
    """
    facts = facts_of(trace)
    if output.loss_name not in REGRESSION or output.units != 1:
        return None
    if not facts.target_integer or facts.target_columns not in (None, 1):
        return None
    if not known(facts.target_min, facts.target_max):
        return None
    if facts.target_min < 0 or not 2 <= facts.target_max < MANY_CLASSES:
        return None
    watched = [trace.logs[name] for name in _ACCURACY if name in trace.logs]
    late = watched[0][-NUMBERED["epochs"] :] if watched else []
    late = np.asarray(late, dtype=np.float64)
    if len(late) < NUMBERED["epochs"] or not late.max() < NUMBERED["accuracy"]:
        return None
    classes = int(facts.target_max) + 1
    return mismatch(
        output,
        "numbered_classes",
        f"the targets are whole numbers, {facts.target_range}, and accuracy is "
        f"watched, so they are classes. {output.loss_name} takes them for "
        "sizes, as if a class lay between its neighbours. Accuracy is "
        f"{number(100 * float(late.max()))} % at best of late. If they are "
        "sizes, leave accuracy out: it says nothing of them.",
        [
            model.output(
                output,
                f"Labels up to {classes - 1} are classes: one unit for each.",
                units=classes,
                activation="softmax",
                loss="sparse_categorical_crossentropy",
            )
        ],
        severity="warning",
        accuracy=float(late.max()),
        **facts.target_evidence,
    )
