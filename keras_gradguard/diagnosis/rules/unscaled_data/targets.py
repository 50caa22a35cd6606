"""The scale of the targets of a regression."""

from typing import Any

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import FIRST_STEP
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import (
    FIRST_STEP_TARGET,
)
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import (
    SMALL_TARGET,
)
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms

# Their gradient grows with the error.
_QUADRATIC = ("mean_squared_error", "mean_squared_logarithmic_error")
_BOUNDED = ("sigmoid", "softmax", "tanh", "softsign", "hard_sigmoid")


def judge_target_scale(
    output, data, optimizer=None, large=ADJUSTABLE["targets"]
):
    """Judge the scale of regression targets.

    The gradient of a squared error grows with the targets: plain SGD takes a
    first step of about `2 * rate * targets`. Adam, and any clipped gradient,
    takes steps that do not grow, and needs very long to reach large targets.

    Args:
        output: `Output`.
        data: `DataFacts`. `target_*` is read.
        optimizer: `OptimizerFacts`, or None if nothing is known.
        large: Float. As for inputs.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    loss = output.loss_name
    if loss not in REGRESSION or output.activation in _BOUNDED:
        return []
    if not known(data.target_mean, data.target_std):
        return []
    # What the network itself has to give, before a rescaling of its output.
    scale = abs(output.scale) or 1.0
    size = rms(
        (data.target_mean - output.offset) / scale, data.target_std / scale
    )
    rate = optimizer.effective_rate if optimizer else None
    step: Any = None
    if optimizer and optimizer.plain and loss in _QUADRATIC and rate:
        step = 2.0 * rate * size
    overshoots = (
        step is not None and step >= FIRST_STEP and size >= FIRST_STEP_TARGET
    )
    far = size >= large and "percentage" not in loss
    far &= "logarithmic" not in loss
    tiny = 0 < size <= SMALL_TARGET
    if not (overshoots or far or tiny):
        return []
    large = SMALL_TARGET if tiny else large
    side = "tiny" if tiny else "large"
    text = f"The targets are {side}: typically {number(size)}"
    if known(data.target_min, data.target_max):
        text += f", from {data.target_range}"
    if overshoots:
        effect = (
            f"With a learning rate of {number(optimizer.learning_rate)} the "
            f"first step moves a prediction by about {number(step)}, and "
            "hidden weights by as much. Such steps overshoot and blow up."
        )
    elif tiny:
        effect = (
            "An untrained network gives numbers of about 1. So the loss falls "
            "far while the outputs only shrink, and says nothing of what was "
            "learnt."
        )
    else:
        effect = (
            "An untrained network gives numbers of about 1. So its gradients "
            "are that much too large, or its steps that much too small."
        )
    std = data.target_std if data.target_std > 0 else abs(data.target_mean)
    remedies = [
        changes.scale_targets(
            "A network gives numbers of about 1. Undo the scaling on "
            "predictions.",
            data.target_mean if data.target_std > 0 else 0.0,
            std,
        )
    ]
    if overshoots:
        to = optimizer.learning_rate / max(2.0, step)
        remedies.append(
            training.learning_rate(
                optimizer,
                "Then the first step is no larger than an output.",
                to,
            )
        )
        remedies.append(
            training.clip(
                "It bounds the step, whatever the targets.", threshold=1.0
            )
        )
    return [
        before_a_run(
            rule="unscaled_data",
            severity="critical" if overshoots else "warning",
            layers=output.layers,
            evidence={
                "kind": "tiny_targets" if tiny else "targets",
                "of": "targets",
                "rms": size,
                "min": data.target_min,
                "max": data.target_max,
                "first_step_size": step,
                "threshold": FIRST_STEP if overshoots else large,
            },
            message=f"{text}. {effect}",
            remedies=remedies,
        )
    ]
