"""Judges targets against the loss and the output layer."""

import dataclasses

from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    judge_binary,
)
from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    judge_categorical,
)
from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    judge_sparse,
)
from keras_gradguard.diagnosis.rules.output_mismatch.divergence import (
    DIVERGENCE,
)
from keras_gradguard.diagnosis.rules.output_mismatch.divergence import (
    judge_divergence,
)
from keras_gradguard.diagnosis.rules.output_mismatch.number_targets import (
    judge_counts,
)
from keras_gradguard.diagnosis.rules.output_mismatch.number_targets import (
    judge_numbers,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import known

_SPARSE = ("sparse_categorical_crossentropy",)


def judge_targets(output, data):
    """Judge targets against the loss and what the output layer can give.

    Args:
        output: `Output`.
        data: `DataFacts`. `target_*` and, where known, `output_columns`.

    Returns:
        List of `Finding` of rule `"output_mismatch"`, at most one.
    """
    if not known(data.target_min, data.target_max):
        return []
    loss = output.loss_name
    if loss in BINARY:
        found = judge_binary(output, data)
    elif loss in _SPARSE:
        found = judge_sparse(output, data)
    elif loss in CATEGORICAL:
        found = judge_categorical(output, data)
    elif loss == DIVERGENCE:
        found = judge_divergence(output, data)
    elif loss in REGRESSION:
        found = judge_numbers(output, data) or judge_counts(output, data)
    else:
        found = judge_counts(output, data)
    return [found] if found is not None else []


def intended_output(output, facts):
    """Return an output as it has to be for numbers that are no probabilities.

    Args:
        output: `Output`.
        facts: `DataFacts` of its targets.

    Returns:
        `output`; without its activation where that is a softmax over one unit
        for targets beyond 0 to 1.
    """
    one = output.activation == "softmax" and output.units == 1
    if not one or output.loss_name not in REGRESSION:
        return output
    if facts.target_max is None:
        return output
    if facts.target_max > 1.1 or facts.target_min < -0.1:
        return dataclasses.replace(output, activation="linear")
    return output
