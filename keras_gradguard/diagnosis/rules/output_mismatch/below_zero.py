"""Losses below zero, where none of them can be for targets that fit.

`below_zero` takes a `Trace` and returns the step by which it was seen and a
finding, or None. Models with several outputs are judged, too. `ended_outside`
takes the output as well, and returns a finding or None.
"""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.ended import ended
from keras_gradguard.diagnosis.evidence.ended import label_beyond
from keras_gradguard.diagnosis.evidence.ended import outside_of_probabilities
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    NEVER_BELOW,
)
from keras_gradguard.findings.remedy import Remedy


def below_zero(trace):
    """Judge whether a crossentropy has targets outside of 0 to 1."""
    outputs, loss = trace.run.outputs, trace.extra.get("loss")
    known = [output.loss_name in NEVER_BELOW for output in outputs]
    guilty = [
        output
        for output in outputs
        if output.loss_name in ("binary_crossentropy", NEVER_BELOW[-2])
    ]
    if not outputs or not all(known) or not guilty:
        return None
    series = {} if loss is None else {"the loss": (trace.steps, loss)}
    # Another part may be so large that the whole stays above 0.
    series |= {
        name: (trace.epoch_steps, part)
        for name, part in trace.logs.items()
        if name.endswith("_loss") and not name.startswith("val_")
    }
    seen = [(*_first_below(*both), name) for name, both in series.items()]
    step, low, name = min(seen, default=(np.inf, 0.0, ""))
    if not step < np.inf:
        return None
    layers = [output.layer for output in guilty if output.layer]
    where = f" of {names(layers)}" if layers else ""
    found = mismatch(
        guilty[0],
        "no_floor",
        f"{name} is below 0, {number(low)} at step {step}. "
        f"None of its parts can be where the targets fit: those{where} lie "
        "outside of 0 to 1. Such a loss has no lower end, and falls though "
        "nothing is learnt.",
        [
            Remedy(
                "Look at the range of the targets",
                "A crossentropy takes probabilities. Counts and prices want a "
                "squared error, and an output without activation.",
                "print(keras.tree.map_structure("
                "lambda part: (part.min(), part.max()), y))",
            )
        ],
        loss_now=low,
    )
    return step, found


def ended_outside(trace, output):
    """Judge whether a run stopped with an error at targets that do not fit."""
    label = label_beyond(trace)
    if label is not None and label >= 0 and output.loss_name in CATEGORICAL:
        return _beyond(output, label, ended(trace))
    if output.loss_name not in BINARY or not outside_of_probabilities(trace):
        return None
    return mismatch(
        output,
        "targets_outside_probabilities",
        f"{output.loss_name} needs targets between 0 and 1, and some lie "
        f"outside. That ended {ended(trace)} with an error.",
        [
            Remedy(
                "Scale the targets to 0 to 1",
                "The crossentropy compares probabilities.",
                "y = (y - y.min()) / (y.max() - y.min())",
            ),
            Remedy(
                "Ask which loss fits",
                "`check` sees the targets: for classes or for numbers of any "
                "size it names another loss and the output that goes with it.",
                "import keras_gradguard as kgg\nprint(kgg.check(model, x, y))",
            ),
        ],
    )


def _beyond(output, label, where):
    units = f": it has {count(output.units, 'unit')}" if output.units else ""
    return mismatch(
        output,
        "too_few_units",
        f"no unit of the output is for the label {label}{units}. That ended "
        f"{where} with an error.",
        [
            model.output(
                output,
                f"One of the labels is {label}, and classes count from 0.",
                units=label + 1,
            ),
            Remedy(
                "Count the classes from 0",
                "Labels that begin at 1 leave the first unit without a class.",
                "y = y - y.min()",
            ),
        ],
        target_classes=label + 1,
    )


def _first_below(steps, loss):
    """Return the first step at which a loss is far below 0, and that loss."""
    with np.errstate(invalid="ignore"):
        first = float(loss[0]) if len(loss) else np.nan
        below = np.flatnonzero(loss < -max(1.0, first))
    if not len(below):
        return np.inf, 0.0
    return int(steps[below[0]]), float(loss[below[0]])
