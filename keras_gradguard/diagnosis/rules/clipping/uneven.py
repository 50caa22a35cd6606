"""A threshold that fits most batches, and takes the gradient of the others.

The judgement takes a `Trace` and arrays, and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.remedies.clippers import for_uneven
from keras_gradguard.diagnosis.rules.clipping.thresholds import MEASUREMENTS
from keras_gradguard.diagnosis.rules.clipping.thresholds import UNEVEN_LEFT
from keras_gradguard.diagnosis.rules.clipping.thresholds import UNEVEN_SHARE
from keras_gradguard.diagnosis.rules.clipping.thresholds import WINDOW
from keras_gradguard.findings.build import in_a_run


def uneven(trace, steps, threshold, norm):
    """Judge whether one kind of batch is cut to next to nothing.

    Args:
        trace: `Trace` of the run.
        steps: Int array (n,). Updates that were applied.
        threshold: Float array (n,). Of the global norm.
        norm: Float array (n,). Global norm before clipping.
    """
    learning = Learning.of(trace)
    if len(steps) < WINDOW or len(learning) < MEASUREMENTS:
        return None
    hard = threshold < UNEVEN_LEFT * norm
    total = np.concatenate([[0], np.cumsum(hard)])
    idle = learning.little(0.15) & ~learning.good & ~learning.at_ceiling
    for at in range(MEASUREMENTS - 1, len(learning)):
        stop = int(np.searchsorted(steps, learning.steps[at], "right"))
        start = stop - WINDOW
        if start < 0 or not idle[at - MEASUREMENTS + 1 : at + 1].all():
            continue
        count = int(total[stop] - total[start])
        if count >= UNEVEN_SHARE * WINDOW:
            part = slice(start, stop)
            return _finding(
                trace, steps[part], threshold[part], norm[part], hard[part]
            )
    return None


def _finding(trace, steps, threshold, norm, hard):
    first, last = int(steps[0]), int(steps[-1])
    limit, large = float(np.median(threshold)), float(np.median(norm[hard]))
    count = int(hard.sum())
    return in_a_run(
        trace,
        rule="clipping",
        severity="warning",
        layers=[],
        first_step=first,
        last_step=last,
        evidence={
            "kind": "uneven",
            "clipped_fraction": float(np.mean(threshold < norm)),
            "hard_fraction": count / len(steps),
            "grad_norm": large,
            "clip_threshold": limit,
            "threshold": UNEVEN_SHARE,
            "window": {"first_step": first, "last_step": last},
        },
        message=(
            f"{count} of {len(steps)} updates from step {first} on lost more "
            "than nine tenths of their gradient to AutoClip. The threshold is "
            f"{number(limit)}, and their norms are about {number(large)}. So "
            "many are no outliers. What one kind of batch says, such as those "
            "with a rare class, is lost, and nothing was learnt."
        ),
        remedies=for_uneven(trace.run),
    )
