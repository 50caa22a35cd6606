"""Judges targets of regressions: what the output layer can reach of them."""

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    for_numbers,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OVERSHOOT
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import ROW_SUM
from keras_gradguard.trace.facts import columns_of
from keras_gradguard.trace.facts import known

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


def judge_numbers(output, data):
    """Judge targets that are numbers, of any size.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    width, columns = columns_of(output, data)
    if width is not None and columns is not None and width != columns:
        if width == 1 or columns == 1:
            return _broadcast(output, data, width, columns)
        return None
    if output.loss_name == _OF_SIZE and 0 in (data.target_min, data.target_max):
        return _of_zero(output, data)
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
    if max(under, over) <= OVERSHOOT:
        return _rows_of_softmax(output, data)
    far = (
        known(data.target_mean, data.target_std)
        and not reach[0] <= data.target_mean <= reach[1]
    )
    if output.activation in ("relu", "softplus", "exponential"):
        gives = "nothing below 0"
    else:
        gives = f"only {reach[0]:g} to {reach[1]:g}"
    remedies = [
        for_numbers(
            output,
            data,
            "For numbers of any size the last layer needs no activation.",
        )
    ]
    if known(data.target_mean, data.target_std) and reach[1] < float("inf"):
        remedies.append(
            model.words(
                f"Scale the targets to {reach[0]:g} to {reach[1]:g}",
                "Then the activation can reach them.",
                _scaled(*reach),
            )
        )
    return mismatch(
        output,
        "targets_out_of_reach",
        f"{output.activation} gives {gives}, but the targets go from "
        f"{data.target_range}: it cannot reach them.",
        remedies,
        severity="critical" if far or max(under, over) > 0.25 else "warning",
        reach=list(reach),
        **data.target_evidence,
    )


def _rows_of_softmax(output, data):
    """Judge a softmax over several units, whose outputs add up to 1."""
    _, columns = columns_of(output, data)
    if output.activation != "softmax" or (columns or 1) < 2:
        return None
    if data.target_row_sum_is_one or not known(data.target_mean):
        return None
    total = columns * data.target_mean
    if ROW_SUM["low"] <= total <= ROW_SUM["high"]:
        return None
    return mismatch(
        output,
        "rows_of_softmax",
        f"softmax gives {columns} numbers that add up to 1, but those of the "
        f"targets add up to {number(total, 2)} on average. It cannot reach "
        "them.",
        [
            model.output(
                output,
                "Then each number is free, from 0 to 1.",
                activation="sigmoid",
            )
        ],
        target_row_sum=total,
    )


_OF_SIZE = "mean_absolute_percentage_error"
# Losses that are for numbers above a limit, and why.
_FROM = {
    "poisson": (0.0, "counts, which are never negative"),
    "mean_squared_logarithmic_error": (0.0, "numbers from 0 on"),
}


def judge_counts(output, data):
    """Judge targets that a loss is not made for, whatever the outputs.

    Args:
        output: `Output`.
        data: `DataFacts`.

    Returns:
        `Finding` or None.
    """
    if output.loss_name not in _FROM:
        return None
    lowest, what = _FROM[output.loss_name]
    span = max(data.target_max - data.target_min, 1e-12)
    if (lowest - data.target_min) / span <= OVERSHOOT:
        return None
    return mismatch(
        output,
        "negative_targets",
        f"{output.loss_name} is for {what}, but the targets go from "
        f"{data.target_range}. Below that its least value lies elsewhere than "
        "at the targets, so the loss falls and the predictions get no better.",
        [
            for_numbers(
                output,
                data,
                "A squared error takes numbers of any sign.",
                loss="mean_squared_error",
            )
        ],
        **data.target_evidence,
    )


def _of_zero(output, data):
    return mismatch(
        output,
        "percentage_of_zero",
        f"{output.loss_name} divides by the target, and some targets are 0 "
        f"(they go from {data.target_range}). Keras divides by a ten-millionth "
        "there, so these rows make up all of the loss.",
        [
            for_numbers(
                output,
                data,
                "An absolute error takes targets of any size.",
                loss="mean_absolute_error",
            )
        ],
        **data.target_evidence,
    )


def _broadcast(output, data, width, columns):
    if columns == 1 and _are_numbers_of_classes(output, data, width):
        likely = output.activation == "softmax"
        return mismatch(
            output,
            "numbers_for_categorical",
            "the targets are the numbers of the classes "
            f"({data.target_range}), but {output.loss_name} compares them "
            f"with {width} {'probabilities' if likely else 'outputs'}.",
            [
                model.output(
                    output,
                    "It takes the number of the class.",
                    activation=None if likely else "softmax",
                    loss="sparse_categorical_crossentropy",
                )
            ],
            **data.target_evidence,
        )
    return mismatch(
        output,
        "columns",
        f"the targets have {count(columns, 'column')} and the output "
        f"{width}. Each column is compared with the same prediction.",
        [
            model.output(
                output,
                f"Give it {count(columns, 'unit')}, one for each column.",
                units=columns,
            )
        ],
        target_columns=columns,
    )


def _are_numbers_of_classes(output, data, width):
    """Whether whole numbers stand for as many classes as there are units."""
    if not data.target_integer:
        return False
    fits = data.target_min >= 0 and data.target_max < width
    return output.activation == "softmax" or (
        fits and data.target_max >= width / 2
    )


def _scaled(low, high):
    """Return code that brings the targets between two numbers."""
    times = "" if high - low == 1 else f"{high - low:g} * "
    sign = "-" if low < 0 else "+"
    plus = f" {sign} {abs(low):g}" if low else ""
    return f"y = {times}(y - y.min()) / (y.max() - y.min()){plus}"
