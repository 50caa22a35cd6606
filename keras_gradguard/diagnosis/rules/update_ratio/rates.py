"""Learning rates that no recipe uses, judged before the first step."""

import dataclasses

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import OF_RMSPROP
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    SMALL_EPSILON,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import USUAL
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import known


def of_others(run):
    """Judge the rates of optimizers beside the compiled one, as of a GAN."""
    found = []
    for name, optimizer in run.others.items():
        for finding in judge_learning_rate(optimizer):
            remedy = finding.remedies[-1]
            code = f"model.{name}.learning_rate = {remedy.arguments['value']:g}"
            told = dataclasses.replace(
                finding,
                message=f"{name}: {finding.message}",
                remedies=[Remedy(remedy.title, remedy.why, code)],
            )
            found.append(told)
    return found


def judge_learning_rate(optimizer):
    """Judge a learning rate that no schedule sets.

    Args:
        optimizer: `OptimizerFacts`. Unknown optimizers and schedules are not
            judged. The momentum counts for SGD, and for RMSprop whose epsilon
            is small, as it is by default.

    Returns:
        List of `Finding` of rule `"update_ratio"`, at most one.
    """
    rate = optimizer.learning_rate
    limits = RANGES.get(optimizer.name)
    if limits is None or not known(rate):
        return []
    low, high, usual = limits
    effective = optimizer.effective_rate if optimizer.name == "SGD" else rate
    if optimizer.name == "RMSprop" and _is_small(optimizer.epsilon):
        # Its steps have the size of the rate, and momentum sums them.
        summed = optimizer.effective_rate
        if summed > OF_RMSPROP:
            effective, high = summed, OF_RMSPROP
    if low <= effective <= high:
        return []
    name = optimizer.name
    momentum = ""
    if effective != rate:
        momentum = f" With its momentum it acts like {number(effective)}."
    if effective > high:
        effect = f"above {number(high)} the steps of {name} throw weights off"
    elif rate <= 0:
        effect = "no weight will change, unless a callback sets another"
    else:
        effect = f"below {number(low)} {name} moves no weight within a run"
    return [
        before_a_run(
            rule="update_ratio",
            severity="warning",
            layers=[],
            evidence={
                "kind": "learning_rate",
                "optimizer": name,
                "learning_rate": rate,
                "effective_rate": effective,
                "momentum": optimizer.momentum or 0.0,
                "threshold": high if effective > high else low,
            },
            message=f"The learning rate is {number(rate)}: {effect}.{momentum}",
            remedies=[
                *_of_momentum(optimizer, effective > high >= 10 * rate),
                training.learning_rate(
                    optimizer, f"{usual:g} is usual for {name}.", usual
                ),
            ],
        )
    ]


def _is_small(epsilon):
    return epsilon is not None and epsilon <= SMALL_EPSILON


def _of_momentum(optimizer, alone):
    """Return the remedy of a momentum, where it alone makes steps too large."""
    if not alone or not optimizer.momentum or optimizer.momentum <= USUAL:
        return []
    return [
        training.set_optimizer_arguments(
            f"Lower the momentum to {USUAL:g}",
            f"It sums gradients: {optimizer.momentum:g} makes of "
            f"{number(optimizer.learning_rate)} a rate of "
            f"{number(optimizer.effective_rate)}.",
            momentum=USUAL,
        )
    ]
