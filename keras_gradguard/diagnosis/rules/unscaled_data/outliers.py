"""A few targets that are far larger than the rest."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import OUTLIERS
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import REGRESSION


def judge_outliers(trace, output):
    """Judge whether a few targets make up the whole of the loss.

    Of the batches that were measured, most have targets of one size, and in
    some the largest is many times that: a squared error of these rows alone
    drives each step.

    Args:
        trace: `Trace`.
        output: `Output` of its one output.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    if output.loss_name not in REGRESSION:
        return []
    low, high, mean, std = told = [
        trace.data(f"target_{part}").astype(np.float64)
        for part in ("min", "max", "mean", "std")
    ]
    known = np.isfinite(told).all(axis=0)
    if known.sum() < OUTLIERS["batches"]:
        return []
    size = np.sqrt(np.square(mean[known]) + np.square(std[known]))
    usual = float(np.quantile(size, 0.25))
    largest = float(np.maximum(np.abs(low), np.abs(high))[known].max())
    some = float(np.mean(size > OUTLIERS["ratio"] * usual))
    far = largest > OUTLIERS["ratio"] * max(usual, 1.0)
    if not far or some > OUTLIERS["share"]:
        return []
    return [
        before_a_run(
            rule="unscaled_data",
            severity="critical",
            layers=output.layers,
            evidence={
                "kind": "outliers",
                "of": "targets",
                "rms": usual,
                "largest": largest,
                "threshold": OUTLIERS["ratio"],
            },
            message=(
                f"A few targets are far larger than the rest: {number(largest)}"
                f", where others are around {number(usual)}. The loss is that "
                "of these rows, and so is each step."
            ),
            remedies=[
                changes.words(
                    "Look at these rows, and bring them in",
                    "A missing value that was filled in, another unit or a "
                    "wrong entry look like this.",
                    "import numpy as np\n"
                    "low, middle, high = np.percentile(y, [25, 50, 75])\n"
                    "span = 10 * (high - low) + 1e-7\n"
                    "print(np.flatnonzero(np.abs(y - middle) > span))\n"
                    "y = np.clip(y, middle - span, middle + span)",
                )
            ],
        )
    ]
