"""First steps so large that the weights are thrown away.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.thrown import FIRST
from keras_gradguard.diagnosis.evidence.thrown import moved_first
from keras_gradguard.diagnosis.evidence.thrown import thrown_at
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.initialization import for_initialization
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import DIFFERED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    FIRST_STEPS_PATIENCE,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import HALF
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import LEFT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import MOVED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SAME
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SAME_AT_ONCE
from keras_gradguard.findings.build import in_a_run

# Its first step sets the weights anew, whatever the rate: it is for linear
# models of sparse data.
_ANEW = ("Ftrl",)


# Weights that start too large, alone or one behind the other.
_WIDE = ("too_wide", "exploding_stack")


def too_wide(start, large):
    """Return layers, words and remedies for weights that make a step large.

    Larger weights make a larger gradient, and the rate may be the usual one.

    Args:
        start: `Start`.
        large: Bool. Whether the step is too large.
    """
    wide = [p for p in start.weights if p.kind in _WIDE]
    if not wide or not large:
        return [], "", []
    layers = list(dict.fromkeys(p.layer for p in wide))
    text = f" {wide[0].message} That is what makes the step so large."
    return layers, text, for_initialization(start.run, layers, wide[0].preset)


def thrown_at_start(trace):
    """Judge whether the first steps threw the weights away.

    The loss then stays far above its first, or the outputs become the same for
    every input: deep networks and Transformers lie where no gradient gets
    through, and do not come back. That it vanishes follows from it.

    References:
        - [Xiong et al., 2020](https://arxiv.org/abs/2002.04745), on why
          Transformers need a learning rate that warms up.
    """
    learning = Learning.of(trace)
    # What a weight decay takes off is reported as such.
    decay = trace.run.optimizer.weight_decay or 0.0
    decay *= trace.run.learning_rate or 0.0
    moved = moved_first(trace) - FIRST * decay
    if not moved >= MOVED or not len(learning) or not len(trace.steps):
        return None
    start = int(trace.steps[0])
    if int(learning.steps[0]) != start or start > 0:
        return None
    anew = trace.run.optimizer.name in _ANEW
    text = (
        f"The first steps are too large: {FIRST} of them changed the weights "
        f"by {number(moved)} of their size. "
    )
    if anew:
        text = (
            f"The first step of {trace.run.optimizer.name} sets the weights "
            "anew, near 0, whatever they start from. Layers of such weights "
            "pass on next to nothing. "
        )
    seen, thrown = _same_since(trace, learning, start, moved), thrown_at(trace)
    if thrown is not None and (seen is None or thrown.last_step < seen):
        seen = thrown.last_step
        text += (
            f"The loss went from {number(thrown.loss_first, 3)} to "
            f"{number(thrown.loss, 3)} and was still there at step {seen}."
        )
    elif (
        seen is None
        and moved >= HALF
        and (idle := _idle_since(learning, start))
    ):
        seen = idle
        text += f"Nothing was learnt up to step {seen}."
    elif seen is not None:
        text += (
            "Since then the outputs are nearly the same for every input, and "
            "hardly any gradient gets through."
        )
    else:
        return None
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=[],
        first_step=start,
        last_step=not_learnt_until(trace, seen),
        evidence={
            "kind": "first_steps",
            "update_ratio": moved,
            "threshold": MOVED,
            "window": {"first_step": start, "last_step": seen},
        },
        message=text,
        remedies=[
            training.adam("It starts from the weights as they were drawn.")
            if anew
            else training.lower_rate(
                trace.run,
                10,
                "The first steps then leave most of the weights as they are. "
                "Transformers also want a rate that warms up.",
            )
        ],
    )


def _idle_since(learning, start):
    """Return the step by which a net that let the signal through idles."""
    late = learning.steps - start >= FIRST_STEPS_PATIENCE
    seen = np.flatnonzero(late & learning.idle(0.1))
    if not float(learning.contrast[0]) >= DIFFERED or not len(seen):
        return None
    return int(learning.steps[seen[0]])


def _same_since(trace, learning, start, moved):
    """Return the step by which all inputs were seen to give the same."""
    before = float(learning.contrast[0])
    with np.errstate(invalid="ignore"):
        same = learning.contrast < LEFT * before
    run = learning.steps - start
    # At once: under a penalty they come nearer to one another by and by.
    if not before >= DIFFERED or not same[run < FIRST_STEPS_PATIENCE].any():
        return None
    late = (run >= FIRST_STEPS_PATIENCE) & same & learning.idle(0.1)
    if moved >= HALF:
        # Nothing is left of what was drawn: three measurements are enough.
        fewest = of_plan(trace, *SAME_AT_ONCE)
        gone = count_within(same & (learning.contrast < SAME), 3) == 3
        late |= (run + 1 >= fewest) & gone
    seen = np.flatnonzero(late)
    return int(learning.steps[seen[0]]) if len(seen) else None
