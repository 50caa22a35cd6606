"""Remedies for a class too rare to count."""

import numpy as np

from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.findings.remedy import Remedy


def for_rare(trace, rare, share, places, numbers):
    """Return the remedies for one of two classes that is too rare.

    Weights are advised where the run has none, or where those it has make the
    rare class count for less than the other.

    Args:
        trace: `Trace`.
        rare: Int. The class, 0 or 1.
        share: Float. Its share of the targets.
        places: Bool. Whether a row has a target for each of its places.
        numbers: Bool. Whether the loss takes numbers of classes.
    """
    run = trace.run
    if run.data.weighted and not _turned(trace, rare):
        found = [
            Remedy(
                "Show the rare class as often, without weights",
                "Large weights on few samples make few large steps. The same "
                "samples shown more often make many small ones.",
                _shown_more_often(run, rare),
            )
        ]
    else:
        weights = {1 - rare: 1.0, rare: float(f"{min(100, 0.5 / share):.2g}")}
        found = [
            Remedy(
                "Weigh the rare class, or show it more often",
                "Both classes then count alike.",
                _weighed(run, weights, places, numbers),
            )
        ]
    return found


def _turned(trace, rare):
    """Whether a target of the rare class weighs less than one of the other."""
    low, high = (
        trace.data(name).astype(np.float64)
        for name in ("weight_of_low", "weight_of_high")
    )
    known = np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return False
    low, high = (float(np.median(values[known])) for values in (low, high))
    return bool(high < low) if rare == 1 else bool(low < high)


def _weighed(run, weights, places, numbers):
    """Return the code that gives a rare class its weight."""
    fit = f"model.fit(x, y, epochs={run.epochs_planned or 10}"
    if not places:
        return f"{fit}, class_weight={weights})"
    if not numbers:
        return compile_with(run, None, call("keras.losses.Dice"))
    # Keras takes no weights of classes where a row has several targets.
    axes = len(run.data.output_shape or ())
    return (
        "import numpy as np\n"
        f"weights = np.where(y == 1, {weights[1]}, {weights[0]})\n"
        f"weights = weights.reshape(y.shape[:{axes}])\n"
        f"{fit}, sample_weight=weights)"
    )


def _shown_more_often(run, rare):
    """Return the code that repeats the rows which hold a rare class."""
    rows = "x[rows]"
    if run.several_inputs:
        rows = "keras.tree.map_structure(lambda v: v[rows], x)"
    return (
        "import numpy as np\n"
        "draw = np.random.default_rng(0)\n"
        f"has = (y.reshape(len(y), -1) == {rare}).any(axis=1)\n"
        "rows, missing = np.arange(len(y)), (~has).sum() - has.sum()\n"
        "more = draw.choice(rows[has], max(0, missing))\n"
        "rows = draw.permutation(np.concatenate([rows, more]))\n"
        f"model.fit({rows}, y[rows], epochs={run.epochs_planned or 10})"
        "  # without class_weight and sample_weight"
    )
