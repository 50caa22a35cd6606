"""Learning rates that no recipe uses, judged before the first step."""

import dataclasses

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import known


def of_others(run):
    """Judge the rates of optimizers beside the compiled one, as of a GAN."""
    found = []
    for name, optimizer in run.others.items():
        for finding in judge_learning_rate(optimizer):
            (remedy,) = finding.remedies
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
            judged; for SGD the momentum counts.

    Returns:
        List of `Finding` of rule `"update_ratio"`, at most one.
    """
    rate = optimizer.learning_rate
    limits = RANGES.get(optimizer.name)
    if limits is None or not known(rate):
        return []
    low, high, usual = limits
    effective = optimizer.effective_rate if optimizer.name == "SGD" else rate
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
                "threshold": high if effective > high else low,
            },
            message=f"The learning rate is {number(rate)}: {effect}.{momentum}",
            remedies=[
                training.learning_rate(
                    optimizer, f"{usual:g} is usual for {name}.", usual
                )
            ],
        )
    ]
