"""What the batches' data tell of learning, beside the loss."""

import dataclasses
import functools
from typing import Any

import numpy as np

from keras_gradguard.diagnosis.evidence import means
from keras_gradguard.diagnosis.evidence.baseline import target_spread
from keras_gradguard.diagnosis.evidence.baseline import unless_alike
from keras_gradguard.diagnosis.evidence.batch import batch_size
from keras_gradguard.diagnosis.evidence.batch import of_few_samples
from keras_gradguard.diagnosis.evidence.frequencies import constant_loss
from keras_gradguard.diagnosis.evidence.scores import belied_at
from keras_gradguard.diagnosis.evidence.scores import score_of
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.trace.facts import Output

# Outputs that differ by less between samples say nothing of the inputs.
_BLIND = 1e-3
_FAINT = 0.02
# A loss that lies no further below that of a constant prediction is none of a
# network that learnt.
_NO_GAIN = 0.02
# One that fell by so much of the first is low.
_LOW = 0.9
# Outputs that vary this much less than their correlation with the targets
# grants shrink to a constant: the best ones of a squared error vary by as much.
_SHRUNK = 0.25
# How much of the loss a correlation explains at least, and how far the size of
# the outputs may be from what it has them be.
_EXPLAINED = 0.2
_FITS = 0.5
_CLASSES = "crossentropy"
_COMPARED = ("squared", "absolute", "huber", "logcosh", "mse", "mae")
# Of fewer samples a batch may hold only one kind.
_FEWEST = 4


@dataclasses.dataclass(frozen=True)
class Learning:
    """Whether outputs follow the targets, at each measurement of activations.

    Only measurements whose records are complete count, so that what is said
    of a step stays true.

    Attributes:
        steps: Int array (K,). Steps of the measurements.
        follows: Float array (K,). Mean correlation of outputs and targets over
            the latest measurements, NaN if unknown or if the outputs hardly
            differ from sample to sample.
        contrast: Float array (K,). How much the outputs differ from sample to
            sample, against how much they should; NaN if unknown.
        fallen: Float array (K,). Share by which the loss lies below the first;
            negative if above; NaN if unknown.
        gain: Float array (K,). Share by which the loss lies below that of a
            constant prediction, or less than that; negative if above; NaN if
            unknown.
        late: Float array (K,). The loss of late, NaN if unknown.
        stalled: Bool array (K,). Whether the loss did not fall of late.
        falling: Bool array (K,). Whether the loss fell over the second half of
            the run so far, whatever it did of late.
        explained: Float array (K,). As `gain`, by the last quarter of the run.
        moved: Float array (K,). As `fallen`, by the last quarter of the run.
        related: Float array (K,). As `follows`, over the second half of the
            measurements; NaN where that is no more than chance.
        doubt: Float array (K,). Two standard errors of the targets' variance
            as measured so far, as a share of it.
        score: Float array (K,). Best score (accuracy or the like, in [0, 1])
            of the latest epochs that were over, NaN if none is logged.
        chance: Float. What guessing reaches of such a score, NaN if unknown.
        belied: Bool array (K,). Whether accuracy was far below what the loss
            grants, see `scores.belied`, or stayed at chance while a loss of
            classes fell.
        numbers: Bool. Whether the outputs are to have the targets' size.
        crossentropy: Bool. Whether the loss is a crossentropy, which is never
            below 0 where its targets are probabilities.
    """

    steps: np.ndarray
    follows: np.ndarray
    contrast: np.ndarray
    fallen: np.ndarray
    gain: np.ndarray
    late: np.ndarray
    stalled: np.ndarray
    falling: np.ndarray
    explained: np.ndarray
    moved: np.ndarray
    related: np.ndarray
    doubt: np.ndarray
    score: np.ndarray
    chance: float
    belied: np.ndarray
    numbers: bool
    crossentropy: bool

    @classmethod
    def of(cls, trace):
        """Return what a trace tells."""
        return trace.derive(cls._of)

    @classmethod
    def _of(cls, trace):
        blocks = trace.blocks()
        ready = trace.steps[-1] if len(trace.steps) else -1
        count = int(np.searchsorted(trace.activation_steps, ready, "right"))
        steps = trace.activation_steps[:count]
        progress = Progress.of(trace)
        at = np.searchsorted(blocks.last_step, steps, "right") - 1
        late, stalled = means.from_loss(progress, at)
        first, guess = first_loss(trace, progress), constant_loss(trace, count)
        with np.errstate(all="ignore"):
            fallen = (first - late) / abs(first)
            guess = unless_alike(guess, first, trace)
            gain = np.where(guess > 0, 1 - late / guess, np.nan)
        falling, settled = means.second_half(progress, at)
        with np.errstate(all="ignore"):
            explained = np.where(guess > 0, 1 - settled / guess, np.nan)
            moved = (first - settled) / abs(first)
        score, chance = score_of(trace, steps)
        contrast = _contrast(trace, count)
        follows = trace.data("output_correlation")[:count]
        with np.errstate(invalid="ignore"):
            # Chance makes outputs follow that hardly differ.
            follows = np.where(contrast < _FAINT, np.nan, follows)
        return cls(
            steps,
            means.recent(follows),
            contrast,
            fallen,
            gain,
            late,
            stalled,
            falling,
            explained,
            moved,
            means.related(follows, trace.data("samples")[:count]),
            means.doubt(trace.data("samples")[:count]),
            score,
            chance,
            belied_at(trace, steps, fallen > _LOW),
            _of_numbers(trace),
            _CLASSES in _loss_of(trace)[0],
        )

    @functools.cached_property
    def blind(self):
        """Bool array (K,): outputs were the same for every input so far."""
        with np.errstate(invalid="ignore"):
            large: Any = np.fmax.accumulate(self.contrast) if len(self) else []
            return np.asarray(large) < _BLIND

    @functools.cached_property
    def good(self):
        """Bool array (K,): the model has learnt a good part by then."""
        with np.errstate(invalid="ignore"):
            better = (self.score - self.chance) / max(1e-9, 1 - self.chance)
            low = np.nan_to_num(self.fallen, neginf=0) > _LOW
            low &= ~(self.gain < _NO_GAIN) & ~self.shrunk
            follows = (np.nan_to_num(self.follows) > 0.6) & ~self.shrunk
            # Outputs that have become the same do not follow any more.
            follows &= ~(self.contrast < _FAINT)
            return ((follows | low) & ~self.belied) | (better > 0.5)

    @functools.cached_property
    def shrunk(self):
        """Bool array (K,): outputs vary far less than the targets they follow.

        The best predictions of a squared error vary as much less than the
        targets as their correlation with them is below 1.
        """
        if not self.numbers:
            return np.zeros(len(self), bool)
        with np.errstate(invalid="ignore"):
            return self.contrast < _SHRUNK * np.maximum(self.follows, 0.2)

    @functools.cached_property
    def at_ceiling(self):
        """Bool array (K,): the loss is where the outputs' correlation has it.

        Of noisy targets a part can be explained, and no more.
        """
        with np.errstate(invalid="ignore"):
            known = self.related**2
            explained = self.explained > _EXPLAINED * known
            moved = self.moved > _EXPLAINED * known
            if self.numbers:
                # The best predictions vary as their correlation has it.
                size = self.contrast / self.related
                fits = (size > _FITS) & (size < 1 / _FITS)
                near = self.explained > 0.5 * known - self.doubt
                explained, moved = explained | (fits & near), moved | fits
        return (self.related > 0) & explained & moved & ~self.shrunk

    @functools.cached_property
    def unrelated(self):
        """Bool array (K,): outputs follow the targets no more than by chance.

        That is over the second half of the measurements, and of late.
        """
        return np.isnan(self.related) & (self.follows <= means.FAINTLY)

    def __len__(self):
        return len(self.steps)

    def little(self, share):
        """Return (K,): the loss says that little or nothing was learnt.

        It lies where it began, or no lower than that of a constant prediction.

        Args:
            share: Float. Share of the first loss.
        """
        with np.errstate(invalid="ignore"):
            return (self.fallen < share) | (self.gain < _NO_GAIN)

    def idle(self, share=0.15, follows=0.35):
        """Return (K,): the loss stalls and little was learnt.

        That is, the loss says so and the outputs do not follow the targets, or
        the outputs are the same for every input.

        Args:
            share: Float. Share of the first loss.
            follows: Float. Correlation of outputs and targets.
        """
        with np.errstate(invalid="ignore"):
            little = self.little(share) & ~(self.follows >= follows)
            same = self.contrast < _BLIND
            # A mean over more batches is less of a draw.
            little &= ~((self.moved >= share) & ~(self.explained < _NO_GAIN))
        calm = self.stalled & ~self.falling & ~self.at_ceiling
        return calm & (little | same) & ~self.good

    def by_block(self, blocks):
        """Return bool arrays (B,): `good` and `blind` by each block.

        At least four measurements are wanted before a run counts as blind.
        """
        at = np.searchsorted(self.steps, blocks.last_step, "right") - 1
        good, blind = np.zeros((2, len(blocks)), bool)
        if len(self):
            seen = at >= 0
            good[seen] = self.good[at[seen]]
            blind[seen] = self.blind[at[seen]] & (at[seen] >= 3)
        return good, blind

    def at(self, step):
        """Return the index of the latest measurement up to a step, or -1."""
        return int(np.searchsorted(self.steps, step, "right")) - 1


def planned_steps(trace):
    """Return how many steps the run was to take, None if that is unknown.

    One that sums the gradients of several batches takes a step for all.
    """
    epochs = trace.run.epochs_planned
    per_epoch = trace.run.steps_per_epoch
    every = trace.run.optimizer.accumulates
    if epochs is not None and per_epoch and per_epoch >= every > 1:
        return epochs * per_epoch // every
    if per_epoch is None and len(trace.epoch_steps) and len(trace.steps):
        per_epoch = int(trace.epoch_steps[0]) - int(trace.steps[0]) + 1
    if epochs is None or not per_epoch or per_epoch < 1:
        return None
    return epochs * per_epoch


def still_short(trace, share, wait):
    """Return (K,): by then little was learnt, though it is late enough.

    Args:
        trace: The `Trace`.
        share: Float. Of the first loss, what has to be gone.
        wait: Int. Steps until then.
    """
    learning = Learning.of(trace)
    late = learning.steps - int(trace.steps[0]) >= wait
    return late & learning.little(share) & ~learning.good


def of_plan(trace, share, least, most):
    """Return how many records plain evidence has to hold for.

    Args:
        trace: The `Trace`.
        share: Float. Of the planned steps.
        least: Int. Never fewer than that.
        most: Int. Never more than that; where the plan is not known, that.
    """
    plan = planned_steps(trace)
    return most if plan is None else int(min(most, max(least, share * plan)))


def first_loss(trace, progress):
    """Return the loss before anything was learnt, NaN if it is not known.

    That of the first batch, since the next may be thrown far off; of a batch
    under 8 samples it says little, and the first ten records serve.
    """
    loss = trace.extra.get("loss")
    told = loss is not None and len(loss) and np.isfinite(loss[0])
    if not told or of_few_samples(trace):
        return progress.first
    return float(loss[0])


def _contrast(trace, count):
    spread = trace.data("output_spread")[:count].astype(np.float64)
    if batch_size(trace) < _FEWEST:
        return np.full(count, np.nan)
    loss, output = _loss_of(trace)
    with np.errstate(all="ignore"):
        if _CLASSES in loss:
            if output.from_logits or output.activation is None:
                return spread
            scale = np.abs(trace.data("output_mean")[:count])
        else:
            scale = target_spread(trace, count)
        return spread / np.where(scale > 0, scale, np.nan).astype(np.float64)


def _of_numbers(trace):
    """Whether the loss compares outputs with targets, number by number."""
    name = _loss_of(trace)[0]
    return name == "" or any(word in name for word in _COMPARED)


def _loss_of(trace):
    """Return the name of the loss without signs, and the first `Output`."""
    run = trace.run
    output = run.outputs[0] if run.outputs else Output(activation=None)
    loss = (output.loss or run.loss_name or "").lower()
    return loss.replace("_", ""), output
