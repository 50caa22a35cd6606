"""Averages that an optimizer puts in place of the weights.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AVERAGED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AVERAGED_AT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    USUAL_MOMENTUM,
)
from keras_gradguard.findings.build import in_a_run


def averaged_away(trace):
    """Judge whether averages of the weights are put in their place too soon.

    Each time the averages overwrite the weights, all but a small share of what
    the steps since have changed is lost.
    """
    optimizer = trace.run.optimizer
    every = optimizer.argument("ema_overwrite_frequency")
    momentum = optimizer.argument("ema_momentum")
    momentum = USUAL_MOMENTUM if momentum is None else momentum
    numbers = isinstance(every, int) and isinstance(momentum, int | float)
    if not optimizer.argument("use_ema") or not numbers or every < 1:
        return None
    left = _left(float(momentum), every)
    learning = Learning.of(trace)
    if left >= AVERAGED or not len(learning) or not len(trace.steps):
        return None
    start = int(trace.steps[0])
    due = learning.steps - start >= of_plan(trace, *AVERAGED_AT)
    bad = due & learning.little(0.3) & ~learning.good
    if not bad.any():
        return None
    seen = int(learning.steps[bad.argmax()])
    steps = "each step" if every == 1 else f"each {every} steps"
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="warning",
        layers=[],
        first_step=start,
        last_step=not_learnt_until(trace, seen),
        evidence={
            "kind": "averaged_away",
            "ema_momentum": float(momentum),
            "ema_overwrite_frequency": every,
            "share": left,
            "threshold": AVERAGED,
            "window": {"first_step": start, "last_step": seen},
        },
        message=(
            f"After {steps} the optimizer puts averages in place of the "
            f"weights. They hold {number(100 * left)} % of what was learnt "
            "since; the rest is lost, so the weights stay where they began."
        ),
        remedies=[
            training.set_optimizer_arguments(
                "Keep the averages beside the weights",
                "Keras then puts them in place once, at the end.",
                ema_overwrite_frequency=None,
            ),
            training.set_optimizer_arguments(
                "Use no averages of the weights",
                "The weights are then those that the steps lead to.",
                use_ema=False,
                ema_overwrite_frequency=None,
            ),
        ],
    )


def _left(momentum, every):
    """Return the share of a steady walk that averages hold after so many steps.

    The averages are a geometric mean of what the weights were at each step.
    """
    if not 0 < momentum < 1:
        return 1.0 if momentum <= 0 else 0.0
    total = momentum * (1 - momentum**every) / (1 - momentum)
    return 1 - total / every
