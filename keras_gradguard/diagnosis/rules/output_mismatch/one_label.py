"""Targets of classes that are all one.

The judgement of a run takes a `Trace` and an `Output` and returns a finding
with the step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import ONE_LABEL
from keras_gradguard.findings.remedy import Remedy

_SEEN = ("mean", "min", "max")
_ACCURACY = ("accuracy", "acc", "sparse_categorical_accuracy")


def one_label(trace, output):
    """Judge whether all rows of an epoch and more have the same target.

    Whatever the inputs are, one answer is right then. A class that is rare
    shows in the accuracy of an epoch, or in one of many rows.
    """
    if not len(trace.epoch_steps) or len(trace.run.outputs) != 1:
        return None
    rows = trace.data("samples")
    spread = trace.data("target_spread")
    level = np.stack([trace.data(f"target_{name}") for name in _SEEN], axis=1)
    if len(rows) < ONE_LABEL["batches"] or not np.isfinite(level).all():
        return None
    # Spread says nothing of a batch of one row.
    if (spread != 0).any() or (level != level[0]).any() or (rows < 2).any():
        return None
    logged = [trace.logs[name] for name in _ACCURACY if name in trace.logs]
    right = bool(logged) and len(logged[0]) and float(logged[0][-1]) == 1.0
    enough = ONE_LABEL["rows" if right else "unscored"]
    if float(rows.sum()) < enough or not _trains_on_classes(trace.run, output):
        return None
    seen = f"All {int(rows.sum()):,} targets that were measured"
    told = _finding(output, seen)
    return int(trace.activation_steps[-1]), told


def at_start(start, head):
    """Judge the targets of an output that `check` has read whole.

    Args:
        start: `Start`.
        head: `HeadStart` of the output.

    Returns:
        List of `Finding`, at most one.
    """
    alone = head.alike and len(start.heads) == 1
    if not alone or not _trains_on_classes(start.run, head.output):
        return []
    return [_finding(head.output, "All targets")]


def _trains_on_classes(run, output):
    """Whether an output is trained to tell classes.

    A generator is trained through a judge that is held, to whom all of its
    work is to be of one class.
    """
    known = output.loss_name in (*BINARY, *CATEGORICAL)
    return known and run.info(output.layer).get("trainable") is not False


def _finding(output, targets):
    found = mismatch(
        output, "one_label", "", [_count_them()], severity="warning"
    )
    text = (
        f"{targets} are the same. One answer is right "
        "whatever the inputs are, so there is nothing to learn. A low loss and "
        "a high accuracy mean nothing here. Look at how the labels are made."
    )
    return dataclasses.replace(found, message=text, layers=[])


def _count_them():
    return Remedy(
        "Count the labels",
        "There should be rows of each class. Labels that were converted twice, "
        "or read from the wrong column, are often all the same.",
        "labels, rows = np.unique(y, axis=0, return_counts=True)\n"
        "print(labels, rows)",
    )
