"""A few targets that are far larger than the rest.

`judge_outliers` returns a list of findings; `spikes_at` a step, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
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


def spikes_at(trace):
    """Return the step by which single batches made up the loss, or None.

    Under a squared error the loss of such a batch is thousands of times that
    of the others, and steps of Adam stay small for long after it. Where the
    outputs follow the targets all the same, no harm was done.

    Args:
        trace: `Trace`.
    """
    output, loss = trace.run.output, trace.extra.get("loss")
    square = output is not None and output.loss_name == "mean_squared_error"
    if not square or loss is None or trace.clipped.any():
        return None
    learning = Learning.of(trace)
    few = of_plan(trace, *OUTLIERS["wait"])
    late = learning.steps - int(trace.steps[0]) + 1 >= few
    for at in np.flatnonzero(late & ~learning.good):
        so_far = loss[: int(np.searchsorted(trace.steps, learning.steps[at]))]
        known = so_far[np.isfinite(so_far)].astype(np.float64)
        if len(known) and known.max() > OUTLIERS["spike"] * np.median(known):
            return int(learning.steps[at])
    return None
