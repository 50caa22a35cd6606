"""Judges along which axis an output or its loss is normalized.

That is known from the configuration alone.
"""

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch


def judge_configuration(output):
    """Judge an output layer against its loss, axes included.

    * A softmax over the positions of a sequence or an image, for a loss that
      takes the classes along the last axis.
    * A cosine of one number, which is its sign.
    * What `judge_pairing` finds.

    Args:
        output: `Output`.

    Returns:
        List of `Finding` of rule `"output_mismatch"`, at most one.
    """
    loss, activation = output.loss_name, output.activation
    if activation == "softmax_over_positions" and loss in CATEGORICAL:
        return [_over_positions(output)]
    if loss == "cosine_similarity" and output.units == 1:
        return [_cosine_of_one(output)]
    return judge_pairing(output)


def _over_positions(output):
    return mismatch(
        output,
        "softmax_over_positions",
        "the softmax runs over the positions, and not over the last axis, "
        f"that of the classes. But {output.loss_name} takes the classes of one "
        "position as probabilities, which then do not add up to 1.",
        [
            changes.output(
                output,
                "Over the last axis the classes of each position add up to 1.",
                units=output.units,
                activation="softmax",
            )
        ],
    )


def _cosine_of_one(output):
    return mismatch(
        output,
        "cosine_of_one",
        "the cosine of one number with another is 1 or -1, whatever their "
        "size. It has no slope, so the loss says next to nothing to the "
        "weights. It compares directions, and needs several numbers a sample.",
        [
            changes.output(
                output,
                "A squared error compares numbers.",
                activation=None if output.activation == "linear" else "linear",
                loss="mean_squared_error",
            )
        ],
    )
