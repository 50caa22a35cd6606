"""Outputs, losses and targets that do not belong together."""

import dataclasses

from keras_gradguard.diagnosis.evidence.ended import last_step
from keras_gradguard.diagnosis.evidence.harm import bad_at
from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.harm import ended_at
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import derived
from keras_gradguard.diagnosis.rules.output_mismatch import learnt
from keras_gradguard.diagnosis.rules.output_mismatch import one_label as labels
from keras_gradguard.diagnosis.rules.output_mismatch import validation
from keras_gradguard.diagnosis.rules.output_mismatch.added import (
    added_below_zero,
)
from keras_gradguard.diagnosis.rules.output_mismatch.axes import (
    judge_configuration,
)
from keras_gradguard.diagnosis.rules.output_mismatch.belied import belied
from keras_gradguard.diagnosis.rules.output_mismatch.below_zero import (
    below_zero,
)
from keras_gradguard.diagnosis.rules.output_mismatch.below_zero import (
    ended_outside,
)
from keras_gradguard.diagnosis.rules.output_mismatch.bottomless import (
    bottomless,
)
from keras_gradguard.diagnosis.rules.output_mismatch.broadcast import at_start
from keras_gradguard.diagnosis.rules.output_mismatch.broadcast import broadcast
from keras_gradguard.diagnosis.rules.output_mismatch.divergence import (
    divergence_below_zero,
)
from keras_gradguard.diagnosis.rules.output_mismatch.elsewhere import (
    leads_elsewhere,
)
from keras_gradguard.diagnosis.rules.output_mismatch.in_batch import (
    guesses_in_batch,
)
from keras_gradguard.diagnosis.rules.output_mismatch.mixed_rows import (
    mixed_rows,
)
from keras_gradguard.diagnosis.rules.output_mismatch.numbered_classes import (
    numbered_classes,
)
from keras_gradguard.diagnosis.rules.output_mismatch.own_step import (
    constant_of_own_step,
)
from keras_gradguard.diagnosis.rules.output_mismatch.rare_classes import (
    rare_classes,
)
from keras_gradguard.diagnosis.rules.output_mismatch.same_inputs import (
    one_batch,
)
from keras_gradguard.diagnosis.rules.output_mismatch.same_inputs import (
    same_inputs,
)
from keras_gradguard.diagnosis.rules.output_mismatch.sorted_rows import (
    sorted_rows,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    intended_output,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    judge_targets,
)
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import MANY
from keras_gradguard.diagnosis.rules.output_mismatch.unbounded import unbounded
from keras_gradguard.diagnosis.rules.output_mismatch.uncounted import (
    light_class,
)
from keras_gradguard.diagnosis.rules.output_mismatch.uncounted import uncounted
from keras_gradguard.diagnosis.rules.output_mismatch.unrelated import unrelated
from keras_gradguard.diagnosis.rules.rule import Rule

# Nobody has to wait for these: no training makes up for them.
_HOPELESS = (
    "softmax_one_unit",
    "softmax_over_samples",
    "softmax_over_positions",
    "cosine_of_one",
    "categorical_one_unit",
    "signed_labels",
    "fractions_for_classes",
    "too_few_units",
    "one_hot_for_sparse",
    "numbers_for_categorical",
    "one_hot_for_one_unit",
    "negative_targets",
    "dropped_output",
    "percentage_of_zero",
    "smoothed_away",
    "focused_away",
    "rows_of_softmax",
)
_OF_THE_COURSE = (
    divergence_below_zero,
    added_below_zero,
    broadcast,
    bottomless,
    labels.one_label,
    learnt.rare_class,
    rare_classes,
    uncounted,
    light_class,
    same_inputs,
    one_batch,
    mixed_rows,
    sorted_rows,
    belied,
    unbounded,
    guesses_in_batch,
    validation.foreign_labels,
    leads_elsewhere,
    learnt.constant_outputs,
    constant_of_own_step,
    unrelated,
)


class OutputMismatch(Rule):
    """Finds outputs, losses and targets that do not belong together.

    The configuration of the last layer and of the loss is judged before the
    first step, the range of the targets with the first batch. What no training
    makes up for (a softmax over one unit, labels outside the classes) is
    reported at once. So are a smoothing of labels of 1, a focal loss that
    leaves a guess a millionth, and a softmax for rows that add up to 3 and
    more, or to 0.3 and less. The rest (ReLU before a crossentropy,
    targets that the activation cannot reach) waits until the run has had 30
    records and has not learnt. Or it stalls after 100 without having learnt a
    good part, or its loss is not finite. A shorter run is judged at its planned
    end. Of models with several outputs it is only judged whether the loss is
    below 0, where none of its parts can be. Where a backend stops the run with
    an error, since targets are no probabilities or a label has no unit, that
    is said.

    The course of the run shows more:

    * a loss of one's own that falls by half, while the outputs shrink to a
      constant or go against targets that trivial learners explain. Or sigmoids
      of many places that go against shares of 0 to 1;
    * whole numbers of classes under a loss for sizes, where accuracy is watched
      and stays below 60 % for three epochs;
    * targets (n,) that meet outputs (n, 1) in a loss of one's own. `check` sees
      that such a loss stays the same when targets change places;
    * a loss that falls without end, or a divergence below 0, or an error that
      is below 0 by what a layer adds to the loss;
    * targets of classes that are all the same;
    * a class that 3 % of the targets belong to, or all classes but one of
      several, where nothing else was learnt; where samples are weighted, 20 %;
    * a weighted loss of next to nothing, though outputs deny a class that
      many targets belong to: that class weighs nothing. Or its targets are
      10 % of all, have 1 % of the weight, and are not learnt;
    * outputs beyond 0 and 1, where the targets are 0 and 1 and a loss of one's
      own neither bounds them nor takes them for logits;
    * a loss of one's own that stays at the logarithm of the rows of a batch,
      as a guess among them has it;
    * batches that all hold the same inputs, with other targets each time;
    * batches that are all the same one, where validation is far behind;
    * rows of a batch that all get the same outputs, to the last digits, though
      the gradient reaches the first layer: something mixes them;
    * batches of one class each, where rows of classes are sorted;
    * a loss of classes that grants twice as much as accuracy shows, over two
      epochs;
    * outputs that have become the same for every input, where no other cause
      is found; in a train step of one's own, what a last layer of one unit
      gives;
    * outputs that have nothing to do with the targets, where the weights moved
      by half of their size. Or trivial learners get hardly anything out of the
      rows, and after half of the plan the loss is within 10 % of a constant's;
    * a score of validation below half of chance, beside a good one of
      training. In the first six epochs half of that one is enough. The loss of
      validation then has to be above that of a constant, and to rise. One
      epoch is enough where none since the first, of three, got near chance.

    Notes:
        The loss is not trusted: Keras computes a crossentropy from what goes
        into a softmax or sigmoid, so that it may fall while the predictions
        stay as they are.
    """

    id = "output_mismatch"
    effects = (
        "dead_relu",
        "saturated_activation",
        "exploding_gradient",
        "vanishing_gradient",
        "nonfinite_gradient",
        "frozen_layer",
        "update_ratio",
        "oscillating_loss",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        output = trace.run.output
        first = began(trace)
        if output is None:
            told = below_zero(trace) if len(trace.steps) else None
            return (
                [] if told is None else [dated(trace, told[1], first, told[0])]
            )
        found, seen = _configured(trace)
        if found and seen is not None:
            return [dated(trace, f, first, seen) for f in found]
        told = ended_outside(trace, output)
        if told is not None:
            return [dated(trace, told, first, max(first, last_step(trace)))]
        if not len(trace.steps):
            return []
        for judgement in _OF_THE_COURSE:
            told = judgement(trace, output)
            if told is not None:
                return [dated(trace, told[1], first, told[0])]
        return []

    def notes(self, trace):
        """Say what does not belong together where it has done no harm yet."""
        output, learning = trace.run.output, Learning.of(trace)
        if output is None or not len(learning):
            return []
        found, seen = _configured(trace)
        if seen is not None:
            return []
        if learning.good[-1]:
            return [f"{f.message} This run learns all the same." for f in found]
        return [
            " ".join([f.message, *(f"{r.title}." for r in f.remedies[:1])])
            for f in found
        ]

    def check_start(self, start):
        """Judge each output by its loss and its targets."""
        found = []
        for head in start.heads:
            found += self._of_head(head.output, head.facts)
            found += labels.at_start(start, head) if not found else []
        return found or [
            told for h in start.heads for told in at_start(start, h.output)
        ]

    def _of_head(self, output, facts):
        pairing = judge_configuration(output)
        if facts is None:
            return pairing
        if all(
            f.evidence["trains"] or f.severity == "warning" for f in pairing
        ):
            # The labels decide: then what the pairing suggested is moot.
            return judge_targets(output, facts) or pairing
        if intended_output(output, facts) is not output:
            # The last layer needs no activation, and only that.
            return [
                dataclasses.replace(f, remedies=f.remedies[::-1])
                for f in pairing
            ]
        return pairing


@derived
def _configured(trace):
    """Judge the output by its loss and its targets.

    Returns:
        List of `Finding`, and the step by which the first was seen to do
        harm, or None.
    """
    output, facts = trace.run.output, facts_of(trace)
    found = judge_targets(output, facts)
    found = found or judge_configuration(output)
    found = [f for f in found if not f.evidence.get("trains")]
    classes = numbered_classes(trace, output) if len(trace.steps) else None
    if classes is not None:
        # Whatever else is wrong, a unit for each class is what is meant.
        meant = classes.remedies
        found = [
            dataclasses.replace(f, remedies=[*meant, *f.remedies])
            for f in found
        ] or [classes]
    if not found or _hopeless(found[0], facts):
        return found, began(trace)
    proof = belied(trace, output) if len(trace.steps) else None
    told = [bad_at(trace), None if proof is None else proof[0]]
    seen = min((step for step in told if step is not None), default=None)
    return found, ended_at(trace) if seen is None else seen


def _hopeless(finding, facts):
    """Whether no training makes up for what was found."""
    kind = finding.evidence.get("kind")
    if kind == "no_probabilities":
        # The larger a logarithm, the smaller its share of their sum.
        return finding.evidence["activation"] == "log_softmax"
    if kind == "targets_outside_probabilities":
        return facts.target_max > 1.5 or facts.target_min < -0.5
    if kind == "targets_out_of_reach":
        low, high = finding.evidence.get("reach", (0.0, 1.0))
        if facts.target_std is None or facts.target_mean is None:
            return False
        # Not some that lie apart, but many.
        most = MANY * facts.target_std
        below = facts.target_mean - most < low
        above = facts.target_mean + most > high
        outside = max(low - facts.target_min, facts.target_max - high, 0.0)
        span = facts.target_max - facts.target_min
        return (below or above) and outside >= 0.2 * span > 0
    return kind in _HOPELESS
