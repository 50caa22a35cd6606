"""Losses whose own arguments leave nothing of the task."""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import SHAPED

_SMOOTHED = ("categorical_crossentropy", "binary_crossentropy")
_FOCAL = {
    "binary_focal_crossentropy": "binary_crossentropy",
    "categorical_focal_crossentropy": "categorical_crossentropy",
}


def judge_shape(output):
    """Judge the smoothing of labels, and the focus of a focal loss.

    A smoothing of 1 leaves each class the same share. A focal loss multiplies
    what a row costs by `(1 - p) ** gamma`, where p is what its class gets.

    Args:
        output: `Output`.

    Returns:
        List of `Finding` of rule `"output_mismatch"`, at most one.
    """
    loss, smoothing, gamma = output.loss_name, output.smoothing, output.gamma
    logits = True if output.from_logits else None
    if loss in _SMOOTHED and smoothing >= SHAPED["smoothing"]:
        return [
            mismatch(
                output,
                "smoothed_away",
                f"label_smoothing={number(smoothing)} leaves each class the "
                "same share, so the labels tell nothing. It is the share that "
                "is taken from them: 0.1 is usual.",
                [
                    changes.output(
                        output,
                        "Without smoothing a label counts whole.",
                        loss=loss,
                        logits=logits,
                    )
                ],
                smoothing=smoothing,
            )
        ]
    classes = max(2, output.units or 2)
    left = (1 - 1 / classes) ** gamma if loss in _FOCAL else 1.0
    if left > SHAPED["left"]:
        return []
    return [
        mismatch(
            output,
            "focused_away",
            f"gamma={number(gamma)} multiplies the loss of a row that is "
            f"guessed by {number(left)}, and its gradient, too. So a guess "
            "costs nothing. A gamma of 2 is usual.",
            [
                changes.output(
                    output,
                    "Then each row counts, also one that is guessed.",
                    loss=_FOCAL[loss],
                    logits=logits,
                )
            ],
            gamma=gamma,
            left=left,
        )
    ]
