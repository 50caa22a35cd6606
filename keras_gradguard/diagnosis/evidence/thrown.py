"""First steps so large that the weights were thrown away."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import first_loss
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import derived
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known

# Measured updates that tell how large the first steps are, and by how much of
# the weights they move them together where that is too much.
FIRST, MOVED = 5, 0.3
_KERNELS = ("kernel", "embeddings", "recurrent_kernel")
# A loss so many times its first, for so many records and share of the plan.
_ABOVE, _RECORDS, _SHARE = 1.5, 30, 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Thrown:
    """What the first steps did.

    Attributes:
        moved: Float. Sum of the first updates, of the weights.
        first_step: Int.
        last_step: Int. By which the loss was still high.
        loss_first: Float.
        loss: Float. By the last step.
    """

    moved: float
    first_step: int
    last_step: int
    loss_first: float
    loss: float


def no_kernel_trains(trace):
    """Return whether there are kernels, and all of them are untrainable.

    Args:
        trace: `Trace`.
    """
    known = [
        bool(trace.has_gradient[at])
        for at, path in enumerate(trace.variables.tolist())
        if path.rsplit("/", maxsplit=1)[-1] in _KERNELS
    ]
    return bool(known) and not any(known)


def moved_first(trace):
    """Return how far the first updates moved the weights, NaN if not known.

    Args:
        trace: `Trace`.
    """
    if no_kernel_trains(trace):
        # Offsets start at 0, so any step is large beside them.
        return float("nan")
    ratio = columns(trace.measured("update_ratio")[1], judged_layers(trace))
    known = np.isfinite(ratio).any(axis=1) if ratio.shape[1] else []
    if np.count_nonzero(known) < FIRST:
        return float("nan")
    return float(np.nansum(median_known(ratio[known][:FIRST])))


@derived
def thrown_at(trace):
    """Return the `Thrown` of first steps that a loss did not recover from.

    Args:
        trace: `Trace`.

    Returns:
        `Thrown`, or None: the loss came down again, or the steps were small.
    """
    blocks, progress = trace.blocks(), Progress.of(trace)
    moved = moved_first(trace)
    if not moved >= MOVED or not progress.per_batch or not len(blocks):
        return None
    first = first_loss(trace, progress)
    with np.errstate(invalid="ignore", over="ignore"):
        high = progress.loss - first > (_ABOVE - 1) * abs(first)
    mask = judged_layers(trace)
    idle = (columns(blocks.zero, mask) > 0.5).all(axis=1)
    if mask.any():
        with np.errstate(invalid="ignore"):
            high |= idle & (progress.loss > 0.5 * progress.first)
    plan = planned_steps(trace) or 0
    window = int(max(_RECORDS, _SHARE * plan) // 10)
    full = count_within(high, window) >= 0.8 * window
    full &= ~Learning.of(trace).by_block(blocks)[0]
    if not full.any():
        return None
    last = int(np.argmax(full))
    now = float(np.mean(progress.loss[last - window + 1 : last + 1]))
    start, stop = int(trace.steps[0]), int(blocks.last_step[last])
    return Thrown(moved, start, stop, first, now)
