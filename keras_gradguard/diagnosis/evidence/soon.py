"""Harm that is plain in the first records, before the loss can show it."""

import numpy as np

from keras_gradguard.diagnosis.evidence.activations import hidden_sites
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps

# Outputs that differ from input to input by less than this share of what they
# should, and units that are flat by this share, in all measurements so far.
_ALIKE, _FLAT = 0.02, 0.9
_FOLLOWS = 0.35
_MEASURED = 4
# Records by which a healthy start has shown itself.
_OF_PLAN, _FEWEST, _MOST = 0.015, 5, 17
# How much faster than so far outputs may yet come to large targets.
_FASTER = 10.0


def alike_at(trace):
    """Return the step by which all inputs gave the same all along, or None.

    Args:
        trace: `Trace` of the run.
    """
    learning = Learning.of(trace)
    with np.errstate(invalid="ignore"):
        return _all_along(trace, learning.contrast < _ALIKE)


def flat_at(trace):
    """Return the step by which a hidden layer was flat all along, or None.

    Args:
        trace: `Trace` of the run.
    """
    learning = Learning.of(trace)
    sites = hidden_sites(trace, "saturates")
    if not len(sites):
        return None
    share = trace.activation("saturated_fraction")[: len(learning), sites]
    with np.errstate(invalid="ignore"):
        flat = np.fmax.reduce(share, axis=1) >= _FLAT
    seen = _all_along(trace, flat)
    if seen is None or learning.follows[learning.at(seen)] >= _FOLLOWS:
        return None
    return seen


def out_of_reach_at(trace, size):
    """Return the step by which outputs were too slow for targets, or None.

    Args:
        trace: `Trace` of the run.
        size: Float. How large the targets are.
    """
    learning, plan = Learning.of(trace), planned_steps(trace)
    if plan is None:
        return None
    count = len(learning)
    mean, std = (trace.data(f"output_{n}")[:count] for n in ("mean", "std"))
    with np.errstate(all="ignore"):
        came = np.hypot(mean.astype(np.float64), std.astype(np.float64))
        # Outputs that differ from the start on come no nearer by that.
        grown = np.abs(came - came[:1])
        run = learning.steps - int(trace.steps[0]) + 1
        reached = came[:1] + _FASTER * plan * grown / run
        # By then outputs differ from batch to batch by more than they move.
        return _all_along(trace, (reached < size) | (run < _MEASURED))


def _all_along(trace, shown):
    """Return the measurement's step by which `shown` held from the first on."""
    learning = Learning.of(trace)
    few = of_plan(trace, _OF_PLAN, _FEWEST, _MOST)
    held = np.logical_and.accumulate(shown)
    run = learning.steps - int(trace.steps[0]) + 1
    enough = (run >= few) & (np.arange(1, len(learning) + 1) >= _MEASURED)
    seen = np.flatnonzero(held & enough)
    return int(learning.steps[seen[0]]) if len(seen) else None
