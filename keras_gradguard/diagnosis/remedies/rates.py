"""Which learning rates make sense, and how far to go from one at once."""

# name: (lowest, highest, usual). Wide on purpose: what lies outside works in
# no published recipe, what lies inside is left to the update ratios.
RANGES = {
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
# A learning rate is changed by no more at once.
AT_ONCE = 10.0
# No rate is advised that is so many times the usual one, though some work.
_BOLD = 100.0


def advised(optimizer, rate, to, at_once=AT_ONCE):
    """Return the rate to advise instead of a wanted one.

    It is at most tenfold away from the present one, and none that the rules
    themselves call hopeless. From a hopeless one the way leads to what is
    usual, however far that is.

    Args:
        optimizer: `OptimizerFacts`.
        rate: Float or None. The rate now.
        to: Float. The rate that is wanted.
        at_once: Float. The largest factor.

    Returns:
        Float.
    """
    low, high, usual = RANGES.get(optimizer.name, (0.0, float("inf"), None))
    further = _further(optimizer)
    low, high = low / further, high / further
    if usual is not None and rate and not low <= rate <= high:
        return usual
    if rate:
        to = min(max(to, rate / at_once), rate * at_once)
    if usual is not None:
        most = min(high, _BOLD * usual / further)
        # One that is bolder already is not called back by the way.
        to = min(max(to, low), max(most, min(rate or 0.0, high)))
    return float(f"{to:.2g}")


# A goal no further beyond tenfold needs no steps to get there.
_BEYOND = 1.5


def risen(optimizer, rate, to, at_once=AT_ONCE):
    """Return the rate to rise to where a change by tenfold is not enough.

    No further than what is usual, which no rule calls hopeless. From a hopeless
    rate `advised` leads there at once.

    Args:
        optimizer: `OptimizerFacts`.
        rate: Float or None. The rate now.
        to: Float. The rate that is wanted.
        at_once: Float. The largest factor.

    Returns:
        Float, or None where a change at once will do.
    """
    low, _, usual = RANGES.get(optimizer.name, (0.0, 0.0, None))
    if usual is None or not rate or at_once != AT_ONCE:
        return None
    goal = min(to, usual)
    if rate < low / _further(optimizer) or (goal <= _BEYOND * AT_ONCE * rate):
        return None
    return float(goal)


def _further(optimizer):
    """How many times as far SGD steps with its momentum as without."""
    momentum = optimizer.momentum if optimizer.name == "SGD" else 0.0
    return 1.0 / max(1e-6, 1.0 - (momentum or 0.0))
