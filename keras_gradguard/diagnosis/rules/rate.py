"""Judges a learning rate by the optimizer it is for."""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.findings.finding import Finding
from keras_gradguard.trace.run_info import known

# name: (lowest, highest, usual). Wide on purpose: what lies outside works in
# no published recipe, what lies inside is left to the update ratios.
_RANGES = {
    "Adam": (1e-7, 0.2, 1e-3),
    "AdamW": (1e-7, 0.2, 1e-3),
    "Nadam": (1e-7, 0.2, 1e-3),
    "Adamax": (1e-7, 0.4, 2e-3),
    "RMSprop": (1e-7, 0.2, 1e-3),
    "Lion": (1e-8, 0.05, 1e-4),
    "Lamb": (1e-7, 1.0, 2e-3),
    "Adafactor": (1e-7, 1.0, 1e-2),
    "Adagrad": (1e-6, 10.0, 1e-2),
    "Adadelta": (1e-5, 100.0, 1.0),
    "Ftrl": (1e-6, 10.0, 1e-2),
    "SGD": (1e-7, 20.0, 1e-2),
}


def judge_learning_rate(optimizer):
    """Judge a learning rate that no schedule sets.

    Args:
        optimizer: `OptimizerFacts`. Unknown optimizers and schedules are not
            judged; for SGD the momentum counts.

    Returns:
        List of `Finding` of rule `"update_ratio"`, at most one.
    """
    rate = optimizer.learning_rate
    limits = _RANGES.get(optimizer.name)
    if limits is None or not known(rate):
        return []
    low, high, usual = limits
    effective = optimizer.effective_rate if optimizer.name == "SGD" else rate
    if low <= effective <= high:
        return []
    name = optimizer.name
    momentum = ""
    if effective != rate:
        momentum = f" (with its momentum, {number(effective)})"
    if effective > high:
        effect = f"above {number(high)} the steps of {name} throw weights off"
    elif rate <= 0:
        effect = "no weight will change, unless a callback sets another"
    else:
        effect = f"below {number(low)} {name} moves no weight within a run"
    return [
        Finding(
            rule="update_ratio",
            severity="warning",
            layers=[],
            first_step=0,
            last_step=0,
            epoch=None,
            evidence={
                "kind": "learning_rate",
                "optimizer": name,
                "learning_rate": rate,
                "effective_rate": effective,
                "threshold": high if effective > high else low,
            },
            message=f"The learning rate is {number(rate)}{momentum}: {effect}.",
            remedies=[
                training.learning_rate(
                    name, rate, f"{usual:g} is usual for {name}.", usual
                )
            ],
        )
    ]
