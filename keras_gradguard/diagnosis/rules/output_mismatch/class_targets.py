"""Judges targets of crossentropies: labels, one-hot columns, probabilities."""

from keras_gradguard._text import count
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import EPSILON
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    FEW_CLASSES,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import LARGE
from keras_gradguard.trace.facts import columns_of
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms


def for_numbers(output, data, why, loss=None):
    """Return the remedy of an output for numbers of any size.

    Targets far from unit scale are brought to it as well.

    Args:
        output: `Output`.
        data: `DataFacts`.
        why: Str. The reason.
        loss: Str or None. A new loss.
    """
    plain = None if output.activation == "linear" else "linear"
    change = model.output(output, why, activation=plain, loss=loss)
    size = data.target_mean, data.target_std
    if not known(*size) or rms(*size) < LARGE or not data.target_std > 0:
        return change
    scaled = model.scale_targets("A network gives numbers of about 1.", *size)
    if plain is None and loss is None:
        return scaled
    return model.several([scaled, change], why)


def judge_binary(output, data):
    """Judge targets of a crossentropy that takes each output on its own.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    low, high = data.target_min, data.target_max
    if low >= -EPSILON and high <= 1 + EPSILON:
        width, columns = columns_of(output, data)
        if width == 1 and columns == 2 and data.target_row_sum_is_one:
            return mismatch(
                output,
                "one_hot_for_one_unit",
                "the targets have a column for each of two classes, but the "
                "output has one unit.",
                [
                    model.output(
                        output,
                        "Two columns that exclude each other need two units.",
                        units=2,
                        activation="softmax",
                        loss="categorical_crossentropy",
                    ),
                    model.words(
                        "Keep the column of the second class",
                        "One unit says how likely that class is.",
                        "y = y[:, 1:]",
                    ),
                ],
                target_columns=2,
            )
        if columns == 1 and (width or 1) > 1:
            return mismatch(
                output,
                "one_column_for_units",
                f"the output has {width} units, but the targets have one "
                f"column. {output.loss_name} compares unit by unit.",
                [
                    model.output(
                        output,
                        "One unit says how likely the second of two classes "
                        "is.",
                        units=1,
                        activation="sigmoid",
                    ),
                    model.output(
                        output,
                        "Numbers of classes go with a unit for each class.",
                        activation="softmax",
                        loss="sparse_categorical_crossentropy",
                    ),
                ],
                target_columns=1,
            )
        return None
    if data.target_integer and low == -1 and high == 1:
        return mismatch(
            output,
            "signed_labels",
            f"{output.loss_name} needs labels of 0 and 1, but they go from "
            "-1 to 1. For -1 the loss has no lower end and pushes the output "
            "ever further.",
            [
                model.words(
                    "Make the labels 0 and 1",
                    "Then the loss ends at 0.",
                    "y = (y + 1) / 2",
                ),
                model.output(
                    output,
                    "Hinge is the loss for labels of -1 and 1.",
                    activation="tanh",
                    loss="hinge",
                ),
            ],
            **data.target_evidence,
        )
    classes = int(high) + 1 if data.target_integer and low >= 0 else None
    width, columns = columns_of(output, data)
    remedies = []
    if classes is not None and columns in (None, 1) and classes <= 10_000:
        remedies.append(
            model.output(
                output,
                f"Labels up to {int(high)} are classes: one unit for each.",
                units=classes,
                activation="softmax",
                loss="sparse_categorical_crossentropy",
            )
        )
    # So many whole numbers are counts or prices rather than classes.
    counts = not remedies or (classes or 0) > FEW_CLASSES
    why = "Numbers of any size are predicted without an activation."
    if not counts:
        why = f"If they are counts and no classes: {why[0].lower()}{why[1:]}"
    remedies.insert(
        0 if counts else 1,
        for_numbers(output, data, why, loss="mean_squared_error"),
    )
    remedies.append(
        model.words(
            "Scale the targets to 0 to 1",
            "The crossentropy compares probabilities.",
            "y = (y - y.min()) / (y.max() - y.min())",
        )
    )
    return mismatch(
        output,
        "targets_outside_probabilities",
        f"{output.loss_name} needs targets between 0 and 1, but they go from "
        f"{data.target_range}. So the loss has no lower end and pushes the "
        "output ever further.",
        remedies,
        **data.target_evidence,
    )


def judge_sparse(output, data):
    """Judge targets of a crossentropy that takes the numbers of classes.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    width, columns = columns_of(output, data)
    one_hot = (
        columns is not None
        and columns > 1
        and columns == width
        and data.target_row_sum_is_one
    )
    if one_hot:
        return mismatch(
            output,
            "one_hot_for_sparse",
            f"the targets have {columns} columns, one a class, but "
            f"{output.loss_name} takes the number of the class.",
            [
                model.output(
                    output,
                    "It takes one column for each class.",
                    loss="categorical_crossentropy",
                    logits=True if output.from_logits else None,
                ),
                model.words(
                    "Turn the columns into numbers",
                    "The loss takes the number of the class.",
                    "y = y.argmax(axis=-1)",
                ),
            ],
            target_columns=columns,
        )
    if data.target_integer is False:
        return mismatch(
            output,
            "fractions_for_classes",
            f"{output.loss_name} takes the number of a class, but the targets "
            f"({data.target_range}) are no whole numbers.",
            [
                model.output(
                    output,
                    "Numbers of any size need one unit without activation.",
                    units=1,
                    activation="linear",
                    loss="mean_squared_error",
                )
            ],
            **data.target_evidence,
        )
    if width is None or data.target_integer is None:
        return None
    low, high = int(data.target_min), int(data.target_max)
    # A negative label, and 255 in segmentation, mark what is to be ignored.
    if high < width or (high == 255 and width < 200):
        return None
    shift = f" They count from {low}." if low == 1 else ""
    remedies = [
        model.output(
            output,
            f"The largest label is {high}, and classes count from 0.",
            units=high + 1,
        )
    ]
    if low == 1 and high == width:
        shifted = model.words(
            "Count the classes from 0",
            f"Then the labels fit the {width} units.",
            "y = y - 1",
        )
        remedies.append(shifted)
    return mismatch(
        output,
        "too_few_units",
        f"{count(width, 'unit')} can tell the labels 0 to {width - 1}, but the "
        f"labels go from {data.target_range}.{shift} Labels outside give NaN "
        "or are not counted, depending on the backend.",
        remedies,
        target_classes=high + 1,
        **data.target_evidence,
    )


def judge_categorical(output, data):
    """Judge targets of a crossentropy that takes a column for each class.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    width, columns = columns_of(output, data)
    low, high = data.target_min, data.target_max
    if columns == 1 and width is not None and width > 1 and data.target_integer:
        units = int(high) + 1 if high >= width else None
        return mismatch(
            output,
            "numbers_for_categorical",
            "the targets are the numbers of the classes "
            f"({data.target_range}), but {output.loss_name} needs one column "
            "for each.",
            [
                model.output(
                    output,
                    "It takes the number of the class.",
                    units=units,
                    loss="sparse_categorical_crossentropy",
                    logits=True if output.from_logits else None,
                ),
                model.words(
                    "Turn the numbers into columns",
                    "The loss needs one column for each class.",
                    f"y = keras.utils.to_categorical(y, {width})",
                ),
            ],
            **data.target_evidence,
        )
    if low < -EPSILON or high > 1 + EPSILON:
        return mismatch(
            output,
            "targets_outside_probabilities",
            f"{output.loss_name} needs targets between 0 and 1, but they go "
            f"from {data.target_range}.",
            [
                model.output(
                    output,
                    "Numbers of any size are predicted without an activation.",
                    activation="linear",
                    loss="mean_squared_error",
                )
            ],
            **data.target_evidence,
        )
    several = data.target_row_sum_is_one is False
    if several and data.target_integer and columns is not None and columns > 1:
        return mismatch(
            output,
            "several_labels",
            "some samples belong to several classes, but for "
            f"{output.loss_name} each has one.",
            [
                model.output(
                    output,
                    "Then each class is judged on its own.",
                    activation="linear" if output.from_logits else "sigmoid",
                    loss="binary_crossentropy",
                    logits=True if output.from_logits else None,
                )
            ],
            severity="warning",
            target_columns=columns,
        )
    return None
