"""Learning rates over a run, as a schedule or a callback sets them."""

import numpy as np

# So many times what it was before is no warm-up any more.
_RISEN = 3.0


def rates_of(trace):
    """Return steps and learning rates, of a schedule or of the epochs' logs.

    Args:
        trace: `Trace`.
    """
    pairs = trace.run.optimizer.schedule
    if pairs:
        table = np.array([pair[:2] for pair in pairs], np.float64)
        return table[:, 0], table[:, 1]
    logged = trace.logs.get("learning_rate")
    first = trace.run.learning_rate
    if logged is not None and first is not None:
        # It is in the logs from when it first was another.
        before = np.cumsum(np.isfinite(logged)) == 0
        logged = np.where(before, first, logged)
    if (
        logged is None
        or not np.isfinite(logged).all()
        or not (logged > 0).any()
    ):
        return np.zeros(0), np.zeros(0)
    # An epoch's rate holds from the end of the one before.
    ends = np.concatenate([trace.steps[:1], trace.epoch_steps[:-1]])
    return ends.astype(np.float64), logged


def risen_by(trace, step):
    """Return what the rate was in most steps before it rose, or None.

    A rate that warms up from zero has been half of what it is then in half of
    the steps, so it is not reported.

    Args:
        trace: `Trace`.
        step: Int. What comes after it does not count.

    Returns:
        Float, or None where it was a third of the largest rate, or more.
    """
    steps, rates = rates_of(trace)
    known = steps <= step
    steps, rates = steps[known], rates[known]
    top = int(np.argmax(rates)) if len(rates) else 0
    if top < 2:
        return None
    spans = np.diff(steps[: top + 1])
    order = np.argsort(rates[:top], kind="stable")
    half = np.searchsorted(np.cumsum(spans[order]), spans.sum() / 2)
    usual = float(rates[order[half]])
    return usual if 0 < usual < rates[top] / _RISEN else None
