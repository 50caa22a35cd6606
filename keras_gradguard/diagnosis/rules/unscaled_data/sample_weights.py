"""Weights of samples or classes that drown the task.

The judgement takes a `Trace` and returns a list of findings, at most one.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.baseline import most_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies.training import fit_without_weights
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import HEAVY
from keras_gradguard.findings.build import in_a_run


def heavy_weights(trace):
    """Judge whether weights of samples make the loss hundreds of times larger.

    The outputs of the first batch bound what its loss may be where each sample
    weighs 1. What the loss is beyond that, the weights are on average.
    """
    learning, loss = Learning.of(trace), trace.extra.get("loss")
    if not trace.run.data.weighted or loss is None or not len(learning):
        return []
    first = loss[: HEAVY["records"]].astype(np.float64)
    most = most_of(trace, weighted=True)
    with np.errstate(all="ignore"):
        mean = float(np.mean(first) / most)
    if not HEAVY["mean"] <= mean < np.inf:
        return []
    start = int(trace.steps[0])
    run = learning.steps - start
    bad = run >= of_plan(trace, *HEAVY["wait"])
    with np.errstate(invalid="ignore"):
        # That the loss falls says little: it has so far to go.
        better = learning.score - learning.chance > 0.5 * (1 - learning.chance)
        bad &= ~(learning.follows >= HEAVY["follows"]) & ~better
        bad &= learning.late > most
    if not bad.any():
        return []
    seen = int(learning.steps[bad.argmax()])
    return [
        in_a_run(
            trace,
            rule="unscaled_data",
            severity="warning",
            layers=[],
            first_step=start,
            last_step=int(learning.steps[np.flatnonzero(bad)[-1]]),
            evidence={
                "kind": "sample_weights",
                "of": "weights",
                "mean": mean,
                "threshold": HEAVY["mean"],
                "window": {"first_step": start, "last_step": seen},
            },
            message=(
                "The weights of samples or classes are far too large: they "
                f"average {number(mean)} or more, by the loss of the first "
                f"{len(first)} records. Those that weigh most are all that "
                "counts, and each gradient is that much too large. Weights "
                "that average 1 are usual."
            ),
            remedies=[
                fit_without_weights(
                    trace.run,
                    "Train without weights, or with smaller ones",
                    "A class weighs `samples / (classes * samples of it)` "
                    "where all classes are to count alike.",
                )
            ],
        )
    ]
