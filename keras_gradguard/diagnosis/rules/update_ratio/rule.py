"""Rules on updates: layers that do not move, steps too large or small.

Longer than 350 lines, since one rule is one class, and a third its words.
"""

import dataclasses
import math

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import mean_known
from keras_gradguard.diagnosis.evidence.stretches import median_known
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.remedies import huber
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.diagnosis.rules.update_ratio.averaged import averaged_away
from keras_gradguard.diagnosis.rules.update_ratio.constrained import constrained
from keras_gradguard.diagnosis.rules.update_ratio.constrained import (
    constraint_at_start,
)
from keras_gradguard.diagnosis.rules.update_ratio.decay import decay_at_start
from keras_gradguard.diagnosis.rules.update_ratio.dropped import dropout_of
from keras_gradguard.diagnosis.rules.update_ratio.dropped import dropped
from keras_gradguard.diagnosis.rules.update_ratio.first_steps import (
    thrown_at_start,
)
from keras_gradguard.diagnosis.rules.update_ratio.first_steps import too_wide
from keras_gradguard.diagnosis.rules.update_ratio.half import half_precision
from keras_gradguard.diagnosis.rules.update_ratio.light import light_weights
from keras_gradguard.diagnosis.rules.update_ratio.never_updated import (
    never_updated,
)
from keras_gradguard.diagnosis.rules.update_ratio.one_side import one_side_won
from keras_gradguard.diagnosis.rules.update_ratio.outvoted import outvoted
from keras_gradguard.diagnosis.rules.update_ratio.outweighed import outweighed
from keras_gradguard.diagnosis.rules.update_ratio.over_time import ended_early
from keras_gradguard.diagnosis.rules.update_ratio.over_time import lost_again
from keras_gradguard.diagnosis.rules.update_ratio.over_time import never_begins
from keras_gradguard.diagnosis.rules.update_ratio.rates import (
    judge_learning_rate,
)
from keras_gradguard.diagnosis.rules.update_ratio.rates import of_others
from keras_gradguard.diagnosis.rules.update_ratio.reach import short_of_reach
from keras_gradguard.diagnosis.rules.update_ratio.summed import summed
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADAPTIVE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import DROPPED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import MEASURED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import REPLACED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import RULE_LOST
from keras_gradguard.diagnosis.rules.update_ratio.uncleared import uncleared
from keras_gradguard.findings.build import in_a_run

_OF_THE_COURSE = (
    half_precision,
    outweighed,
    dropped,
    thrown_at_start,
    ended_early,
    never_begins,
    lost_again,
    one_side_won,
    outvoted,
    light_weights,
)


class UpdateRatio(Rule):
    """Finds updates far too large or too small for the weights.

    Before the first step the learning rate is judged, where no schedule sets
    it. One that no published recipe for the optimizer comes near is reported.
    So is an update that takes the gradients of more batches than the run has.

    About 1e-3 of the weights per step is usual. Layers with kernels are
    judged, in 5 measurements in a row:

    * the median over the layers is above 0.1 for at least 20 steps, and from
      then on the loss stalls without having fallen by 15 % since the start;
    * none is above 1e-6 from the first step on for at least 50 steps, and the
      loss stalls likewise. Small steps later on are a schedule, or a run that
      has converged.

    Where next to nothing was learnt, more is reported:

    * all planned updates, if they went in one direction, would move the
      weights by less than 0.15 of their size. The limit is 0.015, if the
      steps have grown since the start, as with momentum. This is reported
      after 2 % of the plan and 16 steps, unless the steps grow, as in a
      warm-up; after 10 steps where it is a hundredth of that under Adam and
      its like;
    * a penalty or a weight decay under which the weights shrank to a third,
      or an added loss under which the outputs are a constant;
    * a constraint that leaves less than a fifth of the weights' norm behind
      the first step, or makes them five times as large, so that units saturate;
    * dropout of 0.8 or more;
    * a schedule that takes the learning rate away in the first third of the
      run, or whose warm-up takes longer than the run. One that ends within 40
      steps, and a tenth of the run, is told before it does;
    * weights in float16 under an epsilon that is nothing there;
    * on torch, a train step of one's own that clears no gradients, where their
      norm grows from the first step on;
    * a loss that is the sum over a batch, where plain steps are large by it;
    * first steps that change the weights by 0.2, where the outputs are the
      same for every input since;
    * one output of several whose loss is below a thousandth of the sum and
      does not fall, while others' does;
    * one of two networks that train each other has won, by the logs of their
      losses;
    * weights of samples that average less than 0.02, by the first losses, where
      plain steps go nowhere;
    * averages of the weights that are put in their place so soon that they
      hold less than a twentieth of what was learnt since.

    A run that had learnt is reported if its loss lies by the first again for
    50 records.

    Without a recorded loss nothing is said: large steps of a run that learns
    are no problem.

    References:
        - [Braiek and Khomh, TheDeepChecker](https://github.com/thedeepchecker/thedeepchecker),
          which wants 1e-4 to 1e-1.
        - [Wardat et al., DeepDiagnosis, ICSE 2022](https://github.com/DeepDiagnosis/ICSE2022),
          which wants 1e-5 to 1e-1.
    """

    id = "update_ratio"
    effects = (
        "oscillating_loss",
        "slow_convergence",
        "loss_plateau",
    )
    thresholds = ADJUSTABLE

    def check(self, trace):
        """See `Rule.check`."""
        for other in (never_updated, uncleared, averaged_away, constrained):
            held = other(trace)
            if held is not None:
                return [held]
        found = self._configured(trace)
        if found:
            return found
        judged = [judge(trace) for judge in _OF_THE_COURSE]
        found = [finding for finding in judged if finding is not None]
        if (by_sum := summed(trace, found)) is not None:
            return [by_sum]
        slow = short_of_reach(trace, self.limit("reach"))
        if slow and not found:
            return slow
        found += self._measured(trace)
        # The earliest is reported, also when more is known later.
        return sorted(found, key=_told_at)[:1]

    def _configured(self, trace):
        first = began(trace)
        return [
            dataclasses.replace(
                finding,
                first_step=first,
                last_step=max([first, *trace.steps[-1:].tolist()]),
                epoch=trace.epoch_of(first),
            )
            for finding in [
                *judge_learning_rate(trace.run.optimizer),
                *of_others(trace.run),
            ][:1]
        ]

    def _measured(self, trace):
        blocks = trace.blocks()
        progress = Progress.of(trace)
        steps, ratio = trace.measured("update_ratio")
        if not progress.known or not len(blocks):
            return []
        done = int(np.searchsorted(steps, blocks.last_step[-1], "right"))
        steps = steps[:done]
        ratio = columns(ratio[:done], judged_layers(trace))
        unknown = np.isnan(ratio)
        if unknown.any():
            known = ~unknown.all(axis=1)
            steps, ratio = steps[known], ratio[known]
        if len(steps) < MEASURED or not ratio.shape[1]:
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            middle = median_known(ratio, infinite=True)
        largest = np.fmax.reduce(ratio, axis=1)
        window = max(10, progress.window)
        idle = progress.stalled(window, 0.02)
        idle &= progress.not_learned(window, 0.15)
        with np.errstate(invalid="ignore"):
            large = (middle > self.limit("high")) & np.isfinite(middle)
            small = (largest < self.limit("low")) & (largest > 0)
        found = []
        for kind, mask in (("large", large), ("small", small)):
            found += self._first(
                trace, steps, ratio, middle, mask, blocks.last_step[idle], kind
            )
        return found

    def _first(self, trace, steps, ratio, middle, mask, idle, kind):
        """Return the first stretch of `mask` after which the loss idles.

        `idle` holds the steps at which the loss was seen to stall.
        """
        span = 20 if kind == "large" else 50
        enough = count_within(mask, MEASURED) == MEASURED
        for last in np.flatnonzero(enough):
            start = stretch_start(mask, int(last), MEASURED)
            if steps[last] - steps[start] < span:
                continue
            if kind == "small" and start > 0:
                return []
            after = idle[idle >= steps[last]]
            if not len(after):
                return []
            first, stop = int(steps[start]), int(steps[last])
            seen = int(after[0])
            value = float(np.median(middle[start : last + 1]))
            limit = self.limit("high" if kind == "large" else "low")
            means = mean_known(ratio[start : last + 1])
            order = np.argsort(-np.nan_to_num(means), kind="stable")
            guilty = [i for i in order if means[i] > self.limit("high")]
            names_of = trace.layers[judged_layers(trace)]
            layers = [str(names_of[i]) for i in guilty]
            side = "above" if kind == "large" else "below"
            why = (
                "each step throws away what the weights had learned"
                if kind == "large"
                else "at this pace the weights stay where they began"
            )
            return [
                in_a_run(
                    trace,
                    rule=self.id,
                    severity="warning",
                    layers=layers,
                    first_step=first,
                    last_step=int(steps[stretch_end(mask, int(last))]),
                    evidence={
                        "update_ratio": value,
                        "threshold": limit,
                        "window": {"first_step": first, "last_step": seen},
                    },
                    message=(
                        f"One update changes the weights by {number(value)} "
                        f"of their size, {side} {limit:g}. That is the median "
                        f"over layers from step {first} to {stop}. The loss "
                        f"does not fall: {why}."
                        + (huber.in_words(trace.run) * (kind == "small"))
                    ),
                    remedies=training.for_update_ratio(trace.run, value / 1e-3),
                )
            ]
        return []

    def check_start(self, start):
        """Judge the size of the first step, or else the learning rate."""
        told = ("vanishing_gradient", "exploding_gradient")
        found = []
        if start.gradient is not None and not start.tells(*told):
            found = self._first_step(start)
        found = found or judge_learning_rate(start.run.optimizer)
        decay = None if found else decay_at_start(start.run)
        if decay is not None:
            found = [self.at_start("critical", [], *decay)]
        if found:
            return found
        told = constraint_at_start(start.run)
        told = told or dropout_of(start.run, DROPPED["hopeless"])
        return [] if told is None else [self.at_start("warning", *told)]

    def _first_step(self, start):
        optimizer = start.run.optimizer
        rate, gradient = optimizer.learning_rate, start.gradient
        judged = np.isfinite(gradient.loss) and start.learns_in_principle
        if not rate or not judged or start.tells("nonfinite_gradient"):
            return []
        if optimizer.name in ADAPTIVE:
            steps = [rate * math.sqrt(n) / w for w, _, n in gradient.kernels]
        elif optimizer.plain:
            steps = [rate * g / w for w, g, _ in gradient.kernels]
        else:
            return []
        if not steps:
            return []
        middle, largest = float(np.median(steps)), float(max(steps))
        # The weights of a lone layer start where it does not matter.
        if middle >= REPLACED and len(gradient.kernels) > 1:
            size, usual, limit = middle, 1e-2, REPLACED
            text = "replaces the weights"
        elif largest < RULE_LOST:
            size, usual, limit = largest, 1e-3, RULE_LOST
            text = "does not change the weights"
        else:
            return []
        layers, cause, cures = too_wide(start, limit == REPLACED)
        return [
            self.at_start(
                "critical" if middle >= 10 else "warning",
                layers,
                {
                    "kind": "first_step",
                    "update_ratio": size,
                    "threshold": limit,
                    "learning_rate": rate,
                },
                f"The learning rate is {number(rate)}, and the first step of "
                f"{optimizer.name} {text}. The step is {number(size)} times as "
                f"large as they are. About 1e-3 is usual.{cause}"
                + (huber.in_words(start.run) * (limit == RULE_LOST)),
                cures + training.for_update_ratio(start.run, size / usual),
            )
        ]


def _told_at(finding):
    return finding.evidence["window"]["last_step"]
