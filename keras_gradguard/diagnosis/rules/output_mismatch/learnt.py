"""What the course of a run tells of its outputs and its loss.

Each judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.added import weaken_what_layers_add
from keras_gradguard.diagnosis.remedies.weights import for_rare
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import COLLAPSED
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import CONSTANT
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import FEWEST
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import GAIN
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OF_SHORT
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import PATIENCE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import RARE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import RARE_SOON
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import SAME
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    SAME_SHARE,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import UNRELATED
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import WEIGHED
from keras_gradguard.findings.remedy import Remedy


def rare_class(trace, output):
    """Judge whether one of two classes is too rare to count."""
    shape = trace.run.data.output_shape
    learning = Learning.of(trace)
    # Numbers of two classes have the same mean as one of 0 and 1.
    numbers = output.loss_name == "sparse_categorical_crossentropy"
    if not shape or shape[-1] != (2 if numbers else 1):
        return None
    if output.loss_name not in BINARY and not numbers:
        return None
    count = len(learning)
    mean = trace.data("target_mean")[:count].astype(np.float64)
    samples = np.arange(1, count + 1)
    with np.errstate(all="ignore"):
        mean = np.cumsum(np.nan_to_num(mean)) / samples
        # Batches that were measured may hold none of them.
        unseen = (mean == 0) | (mean == 1)
        missed = missed_by_accuracy(trace, learning, numbers)
        mean = np.where(unseen, np.abs(mean - missed), mean)
        share = np.minimum(mean, 1 - mean)
        gain = learning.gain
        guess = of_share(mean)
        # The batches that were measured may hold more of them than others.
        alike = (missed > SAME_SHARE * mean) & (mean > missed)
        guess = np.where(numbers & alike, of_share(missed), guess)
        weight = loss_weight(trace) or np.nan
        gain = np.where(
            numbers | unseen, 1 - learning.late / (weight * guess), gain
        )
        stuck = (gain < GAIN) & ~(learning.follows >= 0.35)
    run = learning.steps - int(trace.steps[0])
    late = run >= waits(trace)
    # Accuracy that stays as it is shows it sooner.
    soon = max(RARE_SOON[0], RARE_SOON[1] * (planned_steps(trace) or np.inf))
    late |= (run >= soon) & np.isfinite(missed)
    weighted = trace.run.data.weighted
    with np.errstate(invalid="ignore"):
        rare = (share > 0) & (share < (WEIGHED if weighted else RARE))
        if weighted:
            # The loss says nothing of the classes then.
            one = count_within(_one_sided(trace, count), 3) == 3
            stuck = one & (learning.follows < UNRELATED["follows"])
    seen = np.flatnonzero(late & rare & stuck & (learning.fallen > -1))
    if not len(seen) or count < 5:
        return None
    at = seen[0]
    part = float(share[at])
    fewer = 0 if mean[at] > 0.5 else 1
    return int(learning.steps[at]), mismatch(
        output,
        "rare_class",
        f"only {number(100 * part)} % of the targets are {fewer}, and the "
        f"model gives {1 - fewer} for every input. That costs next to nothing. "
        "Accuracy does not show it."
        + (" The sample weights do not bring it back." if weighted else ""),
        for_rare(trace, fewer, part, len(shape) > 1, numbers),
        share=part,
    )


def of_share(share):
    """Return the crossentropy of who knows nothing but a class's share."""
    return -share * np.log(share) - (1 - share) * np.log1p(-share)


def missed_by_accuracy(trace, learning, numbers):
    """Return (K,): the share that accuracy misses if one class is given.

    Where all outputs of an epoch lie at one side of a half, or accuracy stays
    the same over two, what is missing to 1 is the share of the other class.
    """
    found = np.full(len(learning), np.nan)
    series = trace.logs.get("accuracy", trace.logs.get("binary_accuracy"))
    if series is None:
        return found
    count = len(learning)
    one = _one_sided(trace, count)
    ends = trace.epoch_steps
    for at, step in enumerate(learning.steps):
        done = int(np.searchsorted(ends, step, "right"))
        last = series[max(0, done - 2) : done]
        if not len(last) or not np.isfinite(last).all():
            continue
        miss = 1 - float(last[-1])
        same = bool(abs(float(last[0]) - float(last[-1])) <= SAME * miss)
        same &= len(last) > 1 and (numbers or bool(one[at]))
        if not numbers:
            begin = ends[done - 2] if done > 1 else -1
            within = (learning.steps > begin) & (
                learning.steps <= ends[done - 1]
            )
            # All of an epoch: its accuracy is the share of the other class.
            many = int(np.count_nonzero(within)) > 1
            same = same or (many and bool(one[within].all()))
        if miss > 0 and same:
            found[at] = miss
    return found


def _one_sided(trace, count):
    """Return (count,): all outputs of a batch lay at one side of a half."""
    low = trace.data("output_min")[:count]
    high = trace.data("output_max")[:count]
    with np.errstate(invalid="ignore"):
        return (high < 0.5) | (low > 0.5)


def constant_outputs(trace, output):
    """Judge whether the outputs have become the same for every input.

    No cause that is known explains it, so this is what is left to be reported.
    """
    learning = Learning.of(trace)
    if not len(learning) or not learning.numbers:
        return None
    run = learning.steps - int(trace.steps[0])
    plan = planned_steps(trace)
    due = max(FEWEST, OF_PLAN * (plan or 4 * FEWEST))
    if plan is not None and plan <= FEWEST:
        # So short a run is over soon. Some begin with outputs that differ,
        # and lose that; others are only slow, and get more time.
        with np.errstate(invalid="ignore"):
            widest = np.fmax.accumulate(learning.contrast)
            lost = learning.contrast < COLLAPSED * widest
        due = np.where(lost, OF_PLAN, OF_SHORT) * plan
    with np.errstate(invalid="ignore"):
        small = learning.contrast < CONSTANT
        small &= ~(learning.gain >= 0.02) & ~learning.good
    seen = np.flatnonzero(
        (run >= due) & small & learning.stalled & ~learning.at_ceiling
    )
    if not len(seen):
        return None
    at = seen[0]
    part = float(learning.contrast[at])
    return int(learning.steps[at]), mismatch(
        output,
        "constant_outputs",
        "the outputs are nearly the same for every input. They vary by "
        f"{number(100 * part)} % of what they should, and the loss is "
        + (
            "far above that of a constant. The model has not even come near "
            "the mean of the targets."
            if learning.gain[at] < -1
            else "no lower than that of a constant. The model has learnt the "
            "mean of the targets, and nothing about the inputs."
        ),
        [
            *weaken_what_layers_add(trace.run),
            *_of_like_size(trace.run),
            few_first(),
        ],
        severity="warning",
        contrast=part,
    )


def _of_like_size(run):
    """Return the remedy for plain steps, which are small on a plateau."""
    if run.optimizer.name != "SGD":
        return []
    return [
        training.adam(
            "Its steps are of like size however small the gradient is, so it "
            "leaves such a plateau sooner."
        )
    ]


def few_first():
    """Return the remedy for a run of which the cause is not known."""
    return Remedy(
        "Fit a few samples first",
        "If a model cannot learn 16 samples by heart, something in it is "
        "connected wrongly, or its loss leads elsewhere.",
        "model.fit(x[:16], y[:16], epochs=500)",
    )


def waits(trace):
    """Return how many steps to wait until a rare class should be learnt.

    Args:
        trace: `Trace`.
    """
    plan = planned_steps(trace)
    if not plan:
        return PATIENCE
    return max(min(PATIENCE, 0.3 * plan), 0.2 * plan)
