"""Judges a Kullback-Leibler divergence: it compares shares that add up to 1."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    for_numbers,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import BELOW
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import EPSILON
from keras_gradguard.trace.facts import columns_of

DIVERGENCE = "kl_divergence"


def judge_divergence(output, data):
    """Judge targets of a divergence: they are shares, between 0 and 1.

    Keras cuts both sides to that range. So what a teacher gives before its
    softmax becomes mostly zeros and ones, and a logarithm of a share 0.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    low, high = data.target_min, data.target_max
    if low >= -EPSILON and high <= 1 + EPSILON:
        return None
    width, columns = columns_of(output, data)
    if columns == 1 and (width or 1) > 1 and data.target_integer:
        remedies = [
            model.output(
                output,
                "It takes the number of the class.",
                activation="softmax",
                loss="sparse_categorical_crossentropy",
            )
        ]
    else:
        sizes = for_numbers(
            output,
            data,
            "A squared error compares numbers of any size: so a student learns "
            "what its teacher gives before the softmax (Ba and Caruana, 2014).",
            loss="mean_squared_error",
        )
        remedies = [sizes]
        if output.activation == "softmax":
            # Shares alone are not enough where the outputs are none.
            remedies.insert(0, _shares(low, high))
    return mismatch(
        output,
        "targets_outside_probabilities",
        f"{output.loss_name} compares shares of 1, but the targets go from "
        f"{data.target_range}. Keras cuts them to 0 and 1, and little is left "
        "of what they say.",
        remedies,
        **data.target_evidence,
    )


def _shares(low, high):
    """Return the remedy that makes shares of targets with this range."""
    if high <= EPSILON:
        return model.words(
            "Take the exponential of the targets",
            "Logarithms of shares become shares.",
            "import numpy as np\ny = np.exp(y)",
        )
    if low >= 0:
        return model.words(
            "Divide the targets by their sum",
            "Then each row adds up to 1.",
            "y = y / y.sum(axis=-1, keepdims=True)",
        )
    return model.words(
        "Put the targets through a softmax",
        "What a network gives before its softmax becomes shares.",
        "import keras\ny = keras.ops.convert_to_numpy(keras.ops.softmax(y))",
    )


def divergence_below_zero(trace, output):
    """Judge whether a divergence is below 0: its outputs are no shares of 1.

    Of two distributions it is 0 at least. Outputs that do not add up to 1 make
    it smaller the larger they are, so it falls though nothing is learnt.
    """
    loss, units = trace.extra.get("loss"), output.units
    if output.loss_name != DIVERGENCE or loss is None or units == 1:
        return None
    if output.activation == "softmax":
        return None
    with np.errstate(invalid="ignore"):
        below = np.flatnonzero(loss < -BELOW)
    if not len(below):
        return None
    low = float(loss[below[0]])
    fits = model.output(
        output,
        "Its outputs add up to 1, and are the shares that the loss compares.",
        activation="softmax",
    )
    return int(trace.steps[below[0]]), mismatch(
        output,
        "no_floor",
        f"the loss is below 0, {number(low)}. A divergence compares shares "
        "that add up to 1, and is 0 at least. The outputs do not add up to 1: "
        "the larger they are the lower it falls, though nothing is learnt.",
        [fits],
        loss_now=low,
    )
