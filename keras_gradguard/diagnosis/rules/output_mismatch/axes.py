"""Judges what becomes of an output on its way to the loss.

Along which axis it is normalized, and what comes behind the probabilities.
That is known from the configuration alone.
"""

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.shape import judge_shape


def judge_configuration(output):
    """Judge an output layer against its loss, axes included.

    * A softmax over the positions of a sequence or an image, for a loss that
      takes the classes along the last axis.
    * A cosine of one number, which is its sign.
    * What `judge_pairing` finds, and `judge_shape`.
    * A dropout or a normalization behind the probabilities.

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
    found = judge_pairing(output) or judge_shape(output)
    probable = loss in (*CATEGORICAL, *BINARY) and not output.from_logits
    if not found and output.behind and probable:
        return [_changed_behind(output)]
    return found


def _changed_behind(output):
    name = output.behind.rsplit("/", maxsplit=1)[-1]
    drops = "Normalization" not in output.behind_kind
    if drops:
        text = (
            f"{name} comes behind the probabilities. It changes them at random "
            "in training, many of them to 0, and the crossentropy of a "
            "probability of 0 is as large as can be, or NaN, whatever was "
            "learnt."
        )
    else:
        text = (
            f"{name} comes behind the probabilities. What it gives is around "
            f"0 and as often below, so it is none, and {output.loss_name} cuts "
            "off what lies outside of 0 to 1."
        )
    return mismatch(
        output,
        "dropped_output" if drops else "normalized_output",
        text,
        [
            changes.leave_out(
                [output.behind],
                "It belongs in front of the last layer, if anywhere.",
            )
        ],
        behind=output.behind,
    )


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
