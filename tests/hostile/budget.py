"""How much is tried: a little in CI, ten times as much in scripts/test-hostile.

Every generator is seeded: the same budget tries the same cases.
"""

import os

import hypothesis

SCALE = int(os.environ.get("HOSTILE_BUDGET", "1"))


def examples(number):
    """Settings for a property that is tried `number` times, or tenfold."""
    return hypothesis.settings(
        max_examples=number * SCALE,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def share(cases, number):
    """About `number` of the cases, spread evenly; ten times as many there."""
    step = max(1, len(cases) // (number * SCALE))
    return cases[::step]
