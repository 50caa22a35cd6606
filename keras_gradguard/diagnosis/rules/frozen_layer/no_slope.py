"""A first gradient of exactly zero in every layer, before any training."""

import numpy as np

from keras_gradguard.diagnosis.rules.frozen_layer import cures
from keras_gradguard.diagnosis.rules.frozen_layer import no_gradient


def no_slope(rule, start):
    """Judge whether the loss depends on no weight, before the first step.

    Args:
        rule: The `Rule` that tells it.
        start: `Start`, with its first gradient.

    Returns:
        List of `Finding`, at most one.
    """
    first = start.gradient
    if not np.isfinite(first.loss) or first.loss == 0 or first.kernels:
        return []
    if np.any(first.norms):
        return []
    if len(first.zeros) > 1:
        return [
            rule.at_start(
                "critical",
                first.zeros,
                {"kind": "zero_factors", "grad_norm": 0.0, "threshold": 0.0},
                no_gradient.zero_factors(first.zeros),
                [no_gradient.for_zero_factors(layers=first.zeros)],
            )
        ]
    if not len(first.norms):
        return []
    seen = "The first gradient is exactly zero in every layer"
    return [flat(rule, seen, start.run, start.facts)]


def flat(rule, seen, run, facts=None):
    """Return the finding that the loss depends on no weight.

    Args:
        rule: The `Rule` that tells it.
        seen: Str. What shows it.
        run: `RunInfo` of the run or the model.
        facts: `DataFacts`. Defaults to None: nothing is known of the data.
    """
    return rule.at_start(
        "critical",
        [],
        {"kind": "no_dependence", "grad_norm": 0.0, "threshold": 0.0},
        f"{seen}: {no_gradient.WHY}",
        cures.for_no_slope(run, facts),
    )
