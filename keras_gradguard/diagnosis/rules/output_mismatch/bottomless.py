"""Losses that have no lowest value.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.remedies.losses import by_usual_loss
from keras_gradguard.diagnosis.rules.output_mismatch.class_targets import (
    for_numbers,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import AWAY
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import BEYOND
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    BOTTOMLESS,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import FALLS_ON
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import FASTER


def bottomless(trace, output):
    """Judge whether the loss falls without end while the outputs run off."""
    learning = Learning.of(trace)
    if not len(learning):
        return None
    count = len(learning)
    with np.errstate(all="ignore"):
        size = np.fmax(
            np.abs(trace.data("output_min")[:count]),
            np.abs(trace.data("output_max")[:count]),
        )
        wanted = np.fmax(
            np.abs(trace.data("target_min")[:count]),
            np.abs(trace.data("target_max")[:count]),
        )
        far = size > BEYOND * np.fmax(wanted, 1e-6)
        far |= learning.crossentropy
        # One that has a floor falls more and more slowly.
        faster = _faster(trace, learning)
        far |= (size > np.fmax(wanted, 1e-6)) & faster
        fell = (learning.fallen > BOTTOMLESS) & (learning.late < -1)
        # Outputs that vary far more than the targets, and not with them.
        away = faster & (learning.contrast > AWAY["contrast"])
        away &= ~(learning.follows > AWAY["follows"])
        fell |= away & (learning.fallen > AWAY["fallen"]) & (learning.late < -1)
        far |= away
        # Faster and faster below 0, until nothing could be computed any more.
        ended = _ended_at(trace)
        ran_off = faster & (learning.late < -1) & (ended is not None)
        ran_off &= learning.fallen > AWAY["fallen"]
        # Faster and faster, or at least no slower.
        alone = fell & far & ~learning.stalled
        bad = alone | (ran_off & ~learning.stalled)
    # What runs off so plainly needs no hundred steps.
    plain = away & (learning.fallen > AWAY["plain"])
    wait = np.where(plain, AWAY["wait"], of_plan(trace, *FALLS_ON))
    seen = np.flatnonzero(bad & (learning.steps >= wait))
    if not len(seen):
        return None
    at = seen[0]
    step = int(learning.steps[at])
    grown = bool(size[at] > wanted[at])
    return step if alone[at] else max(step, ended or 0), mismatch(
        output,
        "no_floor",
        f"the loss falls without end, to {number(float(learning.late[at]))} "
        f"by step {step}. It has no lowest value for these targets"
        + (f", and the outputs run off to {number(float(size[at]))}" * grown)
        + ". A falling loss means nothing here.",
        [_with_floor(trace, output)],
        loss_now=float(learning.late[at]),
    )


def _with_floor(trace, output):
    """Return the remedy of a loss that has a lowest value."""
    facts = facts_of(trace)
    if output.loss_name is None and output.activation == "softmax":
        return by_usual_loss(
            trace.run,
            "Train by Keras's own loss",
            "It ends at 0. Where the sign of yours is turned, mend that.",
            facts,
        )
    return for_numbers(
        output,
        facts,
        "A squared error ends at 0, where the outputs are the targets.",
        loss="mean_squared_error",
    )


def _ended_at(trace):
    """Return the first step of a gradient that is not finite, or None."""
    bad = ~np.isfinite(trace.global_norms(0, len(trace.steps)))
    return int(trace.steps[bad.argmax()]) if bad.any() else None


def _faster(trace, learning):
    """Return (K,): the loss fell more in the last third than in the first."""
    progress, blocks = Progress.of(trace), trace.blocks()
    found = np.zeros(len(learning), bool)
    if not progress.per_batch:
        return found
    at = np.searchsorted(blocks.last_step, learning.steps, "right")
    for i, end in enumerate(at.tolist()):
        if end < 6:
            continue
        thirds = [
            part.mean() for part in np.array_split(progress.loss[:end], 3)
        ]
        found[i] = thirds[1] - thirds[2] > FASTER * (thirds[0] - thirds[1]) > 0
    return found
