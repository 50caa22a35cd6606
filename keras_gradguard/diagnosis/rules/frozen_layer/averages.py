"""Averages of BatchNormalization that too few updates have moved.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import averaging
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.scores import both_scores
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import EPOCHS
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import KEPT
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import LEFT
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def stale_averages(trace):
    """Judge whether validation runs on averages that are still the first ones.

    Of their start, averages keep `momentum ** updates`. Reported where that is
    over a twentieth at the planned end, too, so that the run cannot outgrow
    it, and where training has learnt and validation has not.

    References:
        - [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167), 3.1.
    """
    layers, momentum = averaging(trace)
    plan = planned_steps(trace)
    if not layers or plan is None or momentum**plan < KEPT:
        return None
    if not len(trace.steps):
        return None
    bad = _apart(trace)
    seen = np.flatnonzero(count_within(bad, EPOCHS) == EPOCHS)
    if not len(seen):
        return None
    first, stop = int(trace.steps[0]), int(trace.epoch_steps[seen[0]])
    late = int(trace.epoch_steps[np.flatnonzero(bad)[-1]])
    updates = stop - first + 1
    kept = momentum**updates
    moved = count(updates, "update has", "updates have")
    text = (
        f"Training is sound, validation is not: {names(layers)} validate with "
        f"averages that {moved} hardly moved. They keep "
        f"{number(100 * kept)} % of their start, at a momentum of "
        f"{momentum:g}."
    )
    if len(layers) == 1:
        text = text.replace(" validate with", " validates with", 1)
    fast = float(f"{max(0.5, 1 - 10 / plan):.2g}")
    fixes = [
        Remedy(
            "Let the averages follow sooner",
            f"With a momentum of {fast:g} they are those of the data within "
            "the planned updates. Set it before `compile`.",
            "for layer in model.layers:\n"
            "    if isinstance(layer, keras.layers.BatchNormalization):\n"
            f"        layer.momentum = {fast:g}",
        ),
        Remedy(
            "Take more updates",
            "Each batch moves the averages once: smaller batches or more "
            "epochs.",
            "model.fit(x, y, batch_size=32, "
            f"epochs={10 * (trace.run.epochs_planned or 10)})",
        ),
    ]
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=late,
        evidence={
            "kind": "averages",
            "kept": kept,
            "momentum": momentum,
            "threshold": KEPT,
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=fixes,
    )


def _apart(trace):
    """Return (E,): training has learnt by then, and validation has not."""
    for _, score, held_out, chance in both_scores(trace):
        with np.errstate(invalid="ignore"):
            good = score - chance > 0.5 * (1 - chance)
            return good & (held_out - chance < LEFT * (score - chance))
    loss, held_out = trace.logs.get("loss"), trace.logs.get("val_loss")
    learning = Learning.of(trace)
    if loss is None or held_out is None or not len(learning):
        return np.zeros(len(trace.epochs), bool)
    at = np.searchsorted(learning.steps, trace.epoch_steps, "right") - 1
    first = trace.extra.get("loss", loss[:1])[:1]
    with np.errstate(invalid="ignore"):
        good = (loss < 0.5 * first) & (at >= 0) & (first > 0)
        return good & (held_out > (1 - LEFT) * first)
