"""Batch normalization over one row, or two.

Each judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.code import put_layers
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_ALL
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import TWO_ROWS
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def of_one_row(trace):
    """Judge whether batch normalization over one row cuts layers off.

    A row less its own mean is 0, so what comes out is the offset of the
    normalization, and no gradient comes back.
    """
    need = of_plan(trace, OF_PLAN, *OF_ALL)
    if len(trace.steps) < need or not _all_of(trace, 1, need):
        return None
    norms = trace.layer_norms(0, need)
    with np.errstate(invalid="ignore"):
        zero = (norms == 0).all(axis=0)
    told = [
        str(trace.layers[at])
        for at in _normalizations(trace)
        if zero[:at].any()
    ]
    if not told:
        return None
    text = (
        f"{names(told)}: batch normalization over a batch of one row. A row "
        "less its own mean is 0, so the same comes out for every input, and "
        "the layers before it get no gradient."
    )
    return _finding(trace, "one_row", "critical", told, need, text)


def of_two_rows(trace):
    """Judge whether batch normalization over two rows leaves only signs.

    Of two numbers, less their mean and over their deviation, one is 1 and the
    other -1, however far they are apart. What a row is, by itself, is lost:
    only which of the two is larger gets through.
    """
    learning = Learning.of(trace)
    due = of_plan(trace, *TWO_ROWS["wait"])
    if len(trace.steps) < due or not len(learning):
        return None
    if not _all_of(trace, 2, due):
        return None
    told = [
        str(trace.layers[at])
        for at in _normalizations(trace)
        if at and trace.info(str(trace.layers[at - 1])).get("class") == "Dense"
    ]
    run = learning.steps - int(trace.steps[0]) + 1
    with np.errstate(invalid="ignore"):
        bad = (run >= due) & ~(learning.explained >= TWO_ROWS["explained"])
    seen = np.flatnonzero(bad)
    if not told or not len(seen):
        return None
    records = int(np.searchsorted(trace.steps, learning.steps[seen[0]])) + 1
    text = (
        f"{names(told)}: batch normalization over batches of two rows. Of two "
        "numbers one becomes 1 and the other -1, however far they are apart, "
        "so next to nothing of a row gets through."
    )
    return _finding(trace, "two_rows", "warning", told, records, text)


def _all_of(trace, rows, records):
    """Whether the batches measured within the first records have so many."""
    early = trace.activation_steps < int(trace.steps[0]) + records
    seen = trace.data("samples")[early]
    return bool(len(seen) and (seen == rows).all())


def _normalizations(trace):
    return [
        at
        for at, layer in enumerate(trace.layers)
        if trace.info(str(layer)).get("class") == "BatchNormalization"
    ]


def _finding(trace, kind, severity, layers, records, text):
    epochs = trace.run.epochs_planned or 10
    layer_norms = {
        layer: call("keras.layers.LayerNormalization", name=name_of(layer))
        for layer in layers
    }
    first, seen = int(trace.steps[0]), int(trace.steps[records - 1])
    evidence = {
        "kind": kind,
        "samples": 1 if kind == "one_row" else 2,
        "window": {"first_step": first, "last_step": seen},
    }
    if kind == "one_row":
        evidence |= {"grad_norm": 0.0, "threshold": 0.0}
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity=severity,
        layers=layers,
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence=evidence,
        message=text,
        remedies=[
            Remedy(
                "Train on larger batches",
                "Batch normalization compares the rows of a batch.",
                f"model.fit(x, y, epochs={epochs}, batch_size=32)",
            ),
            Remedy(
                "Use layer normalization",
                "It compares the numbers of one row, so one row is enough.",
                put_layers(trace.run, layer_norms),
            ),
        ],
    )
