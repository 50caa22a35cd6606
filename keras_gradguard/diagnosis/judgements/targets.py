"""Judges targets against the loss and the output layer."""

from keras_gradguard.diagnosis import changes
from keras_gradguard.diagnosis.judgements.facts import known
from keras_gradguard.diagnosis.judgements.pairing import BINARY
from keras_gradguard.diagnosis.judgements.pairing import CATEGORICAL
from keras_gradguard.diagnosis.judgements.pairing import mismatch

_SPARSE = ("sparse_categorical_crossentropy",)
# What an activation can give, and the share of the targets' range that may
# lie outside before anything is said: an overshoot of a scaler is no mistake.
_RANGES = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
    "softplus": (0.0, float("inf")),
    "exponential": (0.0, float("inf")),
    "relu6": (0.0, 6.0),
}
_OVERSHOOT = 0.1
# Rounding, label smoothing and the like.
_EPSILON = 1e-3
REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)


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
        found = _binary(output, data)
    elif loss in _SPARSE:
        found = _sparse(output, data)
    elif loss in CATEGORICAL:
        found = _categorical(output, data)
    elif loss in REGRESSION:
        found = _regression(output, data)
    else:
        found = None
    return [found] if found is not None else []


def _range(data):
    return f"{data.target_min:.4g} to {data.target_max:.4g}"


def _evidence(data):
    return {"target_min": data.target_min, "target_max": data.target_max}


def _columns(output, data):
    """Columns of output and targets, None where one is not known."""
    width = data.output_columns or output.units
    return width, data.target_columns


def _binary(output, data):
    low, high = data.target_min, data.target_max
    if low >= -_EPSILON and high <= 1 + _EPSILON:
        width, columns = _columns(output, data)
        if width == 1 and columns == 2 and data.target_row_sum_is_one:
            return mismatch(
                output,
                "one_hot_for_one_unit",
                "the targets have one column for each of two classes, but the "
                "output has one unit.",
                [
                    changes.output(
                        output,
                        "Two columns that exclude each other need two units.",
                        units=2,
                        activation="softmax",
                        loss="categorical_crossentropy",
                    ),
                    changes.words(
                        "Keep the column of the second class",
                        "One unit says how likely that class is.",
                        "y_train = y_train[:, 1:]",
                    ),
                ],
                target_columns=2,
            )
        return None
    if data.target_integer and low == -1 and high == 1:
        return mismatch(
            output,
            "signed_labels",
            f"{output.loss_name} needs labels of 0 and 1, but they go from "
            "-1 to 1: for -1 the loss has no lower end and pushes the output "
            "ever further.",
            [
                changes.words(
                    "Make the labels 0 and 1",
                    "Then the loss ends at 0.",
                    "y_train = (y_train + 1) / 2",
                ),
                changes.output(
                    output,
                    "Hinge is the loss for labels of -1 and 1.",
                    activation="tanh",
                    loss="hinge",
                ),
            ],
            **_evidence(data),
        )
    classes = int(high) + 1 if data.target_integer and low >= 0 else None
    width, columns = _columns(output, data)
    remedies = []
    if classes is not None and columns in (None, 1) and classes <= 10_000:
        remedies.append(
            changes.output(
                output,
                f"Labels up to {int(high)} are classes: one unit for each.",
                units=classes,
                activation="softmax",
                loss="sparse_categorical_crossentropy",
            )
        )
    if not data.target_integer:
        remedies.append(
            changes.output(
                output,
                "Numbers of any size are predicted without an activation.",
                activation="linear",
                loss="mean_squared_error",
            )
        )
    remedies.append(
        changes.words(
            "Scale the targets to 0 to 1",
            "The crossentropy compares probabilities.",
            "y_train = (y_train - y_train.min()) / (y_train.max() - "
            "y_train.min())",
        )
    )
    return mismatch(
        output,
        "targets_outside_probabilities",
        f"{output.loss_name} needs targets between 0 and 1, but they go from "
        f"{_range(data)}: the loss has no lower end and pushes the output "
        "ever further.",
        remedies,
        **_evidence(data),
    )


def _sparse(output, data):
    width, columns = _columns(output, data)
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
            f"the targets have one column for each of {columns} classes, but "
            f"{output.loss_name} takes the number of the class.",
            [
                changes.output(
                    output,
                    "It takes one column for each class.",
                    loss="categorical_crossentropy",
                    logits=True if output.from_logits else None,
                ),
                changes.words(
                    "Turn the columns into numbers",
                    "The loss takes the number of the class.",
                    "y_train = y_train.argmax(axis=-1)",
                ),
            ],
            target_columns=columns,
        )
    if data.target_integer is False:
        return mismatch(
            output,
            "fractions_for_classes",
            f"{output.loss_name} takes the number of a class, but the targets "
            f"({_range(data)}) are no whole numbers.",
            [
                changes.output(
                    output,
                    "Numbers of any size need one unit without activation.",
                    units=1,
                    activation="linear",
                    loss="mean_squared_error",
                )
            ],
            **_evidence(data),
        )
    if width is None or data.target_integer is None:
        return None
    low, high = int(data.target_min), int(data.target_max)
    # A negative label, and 255 in segmentation, mark what is to be ignored.
    if high < width or (high == 255 and width < 200):
        return None
    shift = f" {_range(data)} count from {low}" if low == 1 else ""
    remedies = [
        changes.output(
            output,
            f"The largest label is {high}, and classes count from 0.",
            units=high + 1,
        )
    ]
    if low == 1 and high == width:
        shifted = changes.words(
            "Count the classes from 0",
            f"Then the labels fit the {width} units.",
            "y_train = y_train - 1",
        )
        remedies.append(shifted)
    return mismatch(
        output,
        "too_few_units",
        f"{width} units are for labels 0 to {width - 1}, but the labels go "
        f"from {_range(data)}.{shift} Labels outside give NaN or a loss of "
        "nothing, depending on the backend.",
        remedies,
        target_classes=high + 1,
        **_evidence(data),
    )


def _categorical(output, data):
    width, columns = _columns(output, data)
    low, high = data.target_min, data.target_max
    if columns == 1 and width is not None and width > 1 and data.target_integer:
        units = int(high) + 1 if high >= width else None
        return mismatch(
            output,
            "numbers_for_categorical",
            f"the targets are the numbers of the classes ({_range(data)}), "
            f"but {output.loss_name} needs one column for each.",
            [
                changes.output(
                    output,
                    "It takes the number of the class.",
                    units=units,
                    loss="sparse_categorical_crossentropy",
                    logits=True if output.from_logits else None,
                ),
                changes.words(
                    "Turn the numbers into columns",
                    "The loss needs one column for each class.",
                    f"y_train = keras.utils.to_categorical(y_train, {width})",
                ),
            ],
            **_evidence(data),
        )
    if low < -_EPSILON or high > 1 + _EPSILON:
        return mismatch(
            output,
            "targets_outside_probabilities",
            f"{output.loss_name} needs targets between 0 and 1, but they go "
            f"from {_range(data)}.",
            [
                changes.output(
                    output,
                    "Numbers of any size are predicted without an activation.",
                    activation="linear",
                    loss="mean_squared_error",
                )
            ],
            **_evidence(data),
        )
    several = data.target_row_sum_is_one is False
    if several and data.target_integer and columns is not None and columns > 1:
        return mismatch(
            output,
            "several_labels",
            "some samples belong to several classes, but "
            f"{output.loss_name} takes classes to exclude each other.",
            [
                changes.output(
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


def _regression(output, data):
    width, columns = _columns(output, data)
    if width is not None and columns is not None and width != columns:
        if width == 1 or columns == 1:
            return _broadcast(output, data, width, columns)
        return None
    reach = _RANGES.get(output.activation)
    if reach is None:
        return None
    low, high = data.target_min, data.target_max
    # Columns that an optimizer cannot serve: which side, by how much.
    span = max(high - low, 1e-12)
    if reach[1] - reach[0] < float("inf"):
        span = max(span, reach[1] - reach[0])
    under = max(0.0, reach[0] - low) / span
    over = max(0.0, high - reach[1]) / span
    if max(under, over) <= _OVERSHOOT:
        return None
    far = (
        known(data.target_mean, data.target_std)
        and not reach[0] <= data.target_mean <= reach[1]
    )
    if output.activation in ("relu", "softplus", "exponential"):
        gives = "nothing below 0"
    else:
        gives = f"only {reach[0]:g} to {reach[1]:g}"
    remedies = [
        changes.output(
            output,
            "For numbers of any size the last layer needs no activation.",
            activation="linear",
        )
    ]
    if known(data.target_mean, data.target_std) and reach[1] < float("inf"):
        remedies.append(
            changes.words(
                f"Scale the targets to {reach[0]:g} to {reach[1]:g}",
                "Then the activation can reach them.",
                f"y_train = {reach[0]:g} + {reach[1] - reach[0]:g} * (y_train "
                "- y_train.min()) / (y_train.max() - y_train.min())",
            )
        )
    return mismatch(
        output,
        "targets_out_of_reach",
        f"{output.activation} gives {gives}, but the targets go from "
        f"{_range(data)}: it cannot reach them.",
        remedies,
        severity="critical" if far or max(under, over) > 0.25 else "warning",
        **_evidence(data),
    )


def _broadcast(output, data, width, columns):
    if columns == 1 and data.target_integer and output.activation == "softmax":
        return mismatch(
            output,
            "numbers_for_categorical",
            f"the targets are the numbers of the classes ({_range(data)}), "
            f"but {output.loss_name} compares them with each of {width} "
            "probabilities.",
            [
                changes.output(
                    output,
                    "It takes the number of the class.",
                    loss="sparse_categorical_crossentropy",
                )
            ],
            **_evidence(data),
        )
    return mismatch(
        output,
        "columns",
        f"the targets have {columns} columns and the output {width}: each "
        "column is compared with the same prediction.",
        [
            changes.output(
                output,
                f"One unit for each of the {columns} columns.",
                units=columns,
            )
        ],
        target_columns=columns,
    )
