"""A first gradient of exactly zero in every layer, before any training."""

import numpy as np

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
    evidence = {"kind": "no_dependence", "grad_norm": 0.0, "threshold": 0.0}
    if len(first.zeros) > 1:
        return [
            rule.at_start(
                "critical",
                first.zeros,
                {**evidence, "kind": "zero_factors"},
                no_gradient.zero_factors(first.zeros),
                [no_gradient.for_zero_factors(layers=first.zeros)],
            )
        ]
    if not len(first.norms):
        return []
    return [
        rule.at_start(
            "critical",
            [],
            evidence,
            "The first gradient is exactly zero in every layer: "
            f"{no_gradient.WHY}",
            no_gradient.for_no_slope(start.run, start.facts),
        )
    ]
