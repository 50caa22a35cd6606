"""Finds a loss that is thrown about."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import batch_size
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.thrown import FIRST
from keras_gradguard.diagnosis.evidence.thrown import MOVED
from keras_gradguard.diagnosis.evidence.thrown import thrown_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training as changes_of_training
from keras_gradguard.diagnosis.remedies.training import change_rate
from keras_gradguard.diagnosis.remedies.training import falling_rate
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

# A step of this share of the weights is usual.
_USUAL = 1e-3
# The gradient of fewer samples points elsewhere in each step.
_FEW = 8
_LARGE = 32

_SWINGS = {"units": 20, "up": 0.1, "ups": 3, "net": 0.2}


class OscillatingLoss(Rule):
    """Finds a loss that is thrown about instead of falling.

    * Thrown: the first five updates add up to over 0.3 of the weights. The
      loss then stays 1.5 times above its start, or no gradient is left while
      the loss is high, for 30 records and 1 % of the planned steps.
    * Swinging: the loss changes by over 5 % from one epoch to the next, for
      twenty epochs (or stretches of 100 records where an epoch is longer). It
      goes up by over 10 % three times, and is not a fifth lower in the end.

    A run that has learnt may swing as it likes: its outputs follow the targets,
    its score is good, or its loss fell by nine tenths. So may one whose loss is
    as low as noisy targets let it be. Stretches that cut epochs into parts
    differ by the batches in them: such changes do not count.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
        - [Bengio, Practical recommendations, 2012](https://arxiv.org/abs/1206.5533)
    """

    id = "oscillating_loss"
    # Of the loss, from one epoch or stretch to the next.
    thresholds = {"change": 0.05}  # noqa: RUF012
    effects = ("loss_plateau",)

    def check(self, trace):
        """See `Rule.check`."""
        blocks = trace.blocks()
        progress = Progress.of(trace)
        if not len(blocks) or not progress.per_batch:
            return []
        learning = Learning.of(trace)
        hits = [
            hit
            for hit in (
                _thrown(trace),
                _swings(
                    trace, blocks, progress, learning, self.limit("change")
                ),
            )
            if hit is not None
        ]
        if not hits:
            return []
        first, stop, evidence, text = min(hits, key=lambda hit: hit[1])
        evidence["window"] = {"first_step": first, "last_step": stop}
        return [
            in_a_run(
                trace,
                rule=self.id,
                severity="warning",
                layers=[],
                first_step=first,
                last_step=not_learnt_until(trace, stop),
                evidence=evidence,
                message=text,
                remedies=for_oscillating(
                    trace, evidence.get("update_ratio", 0.0) / FIRST
                ),
            )
        ]


def _thrown(trace):
    hit = thrown_at(trace)
    if hit is None:
        return None
    evidence = {
        "update_ratio": hit.moved,
        "loss_first": hit.loss_first,
        "loss": hit.loss,
        "threshold": MOVED,
    }
    text = (
        f"The first steps took the loss from {number(hit.loss_first, 3)} to "
        f"{number(hit.loss, 3)}, where it still was at step {hit.last_step}. "
        f"The first five updates changed the weights by {number(hit.moved)} "
        "of their size."
    )
    return hit.first_step, hit.last_step, evidence, text


def _swings(trace, blocks, progress, learning, limit):
    per_epoch = trace.run.steps_per_epoch
    size = 10
    if per_epoch is not None and per_epoch <= 1000:
        size = max(1, round(per_epoch / 10))
        size = size * -(-10 // (10 * size))
    count = len(blocks) // size
    units = _SWINGS["units"]
    if count < units:
        return None
    loss = progress.loss[: count * size].reshape(count, size)
    with np.errstate(all="ignore"):
        mean = loss.mean(axis=1)
        noise = loss.std(axis=1) / np.sqrt(size) / np.abs(mean)
        if per_epoch is not None and per_epoch <= 1000:
            noise = _of_parts(trace, 10 * size, per_epoch) / np.abs(mean)
        change = np.diff(mean) / np.minimum(np.abs(mean[1:]), np.abs(mean[:-1]))
        large = np.abs(change) > np.maximum(limit, 2 * noise[1:])
        up = change > np.maximum(_SWINGS["up"], 2 * noise[1:])
    ends = blocks.last_step[size - 1 :: size][:count]
    good = (learning.by_block(blocks)[0] | _at_ceiling(learning, blocks))[
        size - 1 :: size
    ][:count]
    between = units - 1
    many = count_within(large, between) > 0.5 * between
    many &= count_within(up, between) >= _SWINGS["ups"]
    for last in np.flatnonzero(many):
        early = mean[last - between + 1 : last - between + 4].mean()
        late = mean[last - 1 : last + 2].mean()
        if early - late > _SWINGS["net"] * abs(early) or good[last + 1]:
            continue
        if progress.first - late > 0.9 * abs(progress.first):
            continue
        part = change[last - between + 1 : last + 1]
        typical = float(np.median(np.abs(part)))
        start = int(blocks.first_step[(last - between + 1) * size])
        stop = int(ends[last + 1])
        evidence = {
            "change": typical,
            "ups": int((part > _SWINGS["up"]).sum()),
            "threshold": limit,
        }
        text = (
            f"The loss goes up and down by {number(100 * typical)} % and gets "
            f"no lower. That is from one stretch of {size * 10} updates to the "
            f"next, from step {start} to {stop}: {number(mean[last], 3)} to "
            f"{number(mean[last + 1], 3)} at the end. The steps are too large, "
            "or the batches too small."
        )
        return start, stop, evidence, text
    return None


def _of_parts(trace, size, per_epoch):
    """Return by how much stretches differ that cut epochs into parts.

    Whole epochs have all samples in them. Of an epoch of n batches, a part
    differs from the whole by no more than half of it, drawn at random, does.

    Args:
        trace: The `Trace`.
        size: Int. Records of a stretch.
        per_epoch: Int. Batches of an epoch.
    """
    if size % per_epoch == 0:
        return 0.0
    change = np.diff(trace.extra["loss"].astype(np.float64))
    change = np.abs(change[np.isfinite(change)])
    if not len(change):
        return 0.0
    # From the median of normal differences to the deviation of one batch.
    batch = float(np.median(change)) / 0.954
    return batch * np.sqrt(min(size, per_epoch / 2)) / size


def _at_ceiling(learning, blocks):
    """Return (B,): the loss is as low as the outputs' correlation has it."""
    at = np.searchsorted(learning.steps, blocks.last_step, "right") - 1
    reached = np.zeros(len(blocks), bool)
    if len(learning):
        reached[at >= 0] = learning.at_ceiling[at[at >= 0]]
    return reached


def for_oscillating(trace, moved=None):
    """Return remedies for steps that throw the loss about.

    Args:
        trace: The `Trace`.
        moved: Float or None. Share of the weights that one of the first
            updates changed, where that was too much.
    """
    name = trace.run.optimizer.name
    why = "Smaller steps do not jump across the valley."
    if moved is not None and moved > 10 * _USUAL:
        why = (
            f"One update changed the weights by {number(moved)} of their "
            "size; about 1e-3 is usual."
        )
    lower = change_rate(trace, 0.1, why)
    found = []
    batch = batch_size(trace)
    if 0 < batch < _FEW:
        average = changes_of_training.accumulate(
            -(-_LARGE // batch),
            f"The gradient of {batch} samples points elsewhere in each step.",
        )
        why = (
            f"Steps are too large, and with {batch} samples in a batch each "
            "points elsewhere."
        )
        found.append(changes.several([lower, average], why))
    found.append(lower)
    if trace.run.learning_rate:
        falls = falling_rate(trace)
        why = "Smaller steps at once, and smaller ones still to settle."
        found.append(changes.several([lower, falls], why))
    if name != "Adam":
        why = "It takes steps of even size, whatever the gradient."
        found.append(changes_of_training.adam(why))
    found.append(
        changes.words(
            "Use a larger batch",
            "The gradient of few samples points elsewhere in each step.",
            "model.fit(x, y, batch_size=32, "
            f"epochs={trace.run.epochs_planned or 10})",
        )
    )
    return found
