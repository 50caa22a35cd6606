"""Finds inputs and targets at a scale that hurts."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.no_slope import never_any
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.evidence.soon import flat_at
from keras_gradguard.diagnosis.evidence.soon import out_of_reach_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.exploding_gradient.at_once import at_once
from keras_gradguard.diagnosis.rules.frozen_layer.features import (
    behind_own_layers,
)
from keras_gradguard.diagnosis.rules.frozen_layer.features import in_front
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    intended_output,
)
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.diagnosis.rules.unscaled_data.columns_apart import (
    columns_apart,
)
from keras_gradguard.diagnosis.rules.unscaled_data.frozen_ends import (
    frozen_ends,
)
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import alike
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import judge_inputs
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import judge_looked_up
from keras_gradguard.diagnosis.rules.unscaled_data.other_inputs import (
    judge_other_inputs,
)
from keras_gradguard.diagnosis.rules.unscaled_data.outliers import (
    judge_outliers,
)
from keras_gradguard.diagnosis.rules.unscaled_data.outliers import spikes_at
from keras_gradguard.diagnosis.rules.unscaled_data.sample_weights import (
    heavy_weights,
)
from keras_gradguard.diagnosis.rules.unscaled_data.several import (
    judge_one_of_several,
)
from keras_gradguard.diagnosis.rules.unscaled_data.targets import (
    judge_target_scale,
)
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import FAR_TARGET
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import NO_GRADIENT
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms


class UnscaledData(Rule):
    """Finds inputs or targets far from unit scale where they do harm.

    What enters the first layer with weights is judged, so a normalization in
    front counts; and the targets of a regression. These are unscaled:

    * inputs of a root mean square over 50, under 0.002, or under 1/255 if
      none is over 0.04, or with a mean 30 times as large as what varies;
    * four columns or more that lie far apart, of which none varies by a
      quarter of that;
    * features that differ 100-fold, and pixels up to 255;
    * targets of over 1000, or of over 10 where the first step of plain SGD
      overshoots, or of under 0.01;
    * a few targets a thousand times as large as the rest;
    * targets of one output of several that is a regression, by the first loss;
    * one input of several that varies by over 1000, by what comes into a layer
      that no layer before it gives;
    * inputs that are all one number, in all measured batches, or samples that
      are all the same;
    * inputs that drive a frozen layer into the flat ends of its activation;
    * weights of samples or classes that average over 100, by the first losses.

    Many nets learn from such data all the same. A run is reported only if
    it has not learnt after 30 records, or its loss or gradient ran away. The
    first 17 records, fewer of a short plan, may show that it cannot. Outputs
    are the same for every input all along, or a hidden layer is flat, or the
    outputs come no nearer to the targets. Targets from 10 on count as large
    then, others from 1,000 on.
    """

    id = "unscaled_data"
    thresholds = ADJUSTABLE
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
        if not len(Learning.of(trace)) or not len(trace.steps):
            return []
        facts = facts_of(trace)
        layer = trace.run.data.input_layer
        found = []
        output = trace.run.output
        if never_any(trace, of_plan(trace, *NO_GRADIENT)):
            pass  # that targets are large makes no gradient zero
        elif output is not None:
            optimizer = trace.run.optimizer
            # To divide by a spread that is that of a few cures nothing.
            found += judge_outliers(trace, output) or judge_target_scale(
                output, facts, optimizer, self._large(trace, facts)
            )
        else:
            found += judge_one_of_several(trace, self.limit("targets"))
        of_inputs = judge_inputs(
            facts,
            [layer] if layer else [],
            large=self.limit("inputs"),
            rescaling=trace.run.rescaling,
            shape=trace.run.data.input_shape,
        )
        of_inputs = of_inputs or columns_apart(trace, facts)
        if not _always_one_number(trace) or _behind_a_table(trace.run):
            of_inputs = [
                f for f in of_inputs if f.evidence["kind"] != "constant"
            ]
        if not _always_alike(trace):
            of_inputs = [f for f in of_inputs if f.evidence["kind"] != "alike"]
        if in_front(trace.run):
            # That frozen layers give the same is theirs to answer for.
            same = ("offset", "constant", "alike", "columns")
            of_inputs = [f for f in of_inputs if f.evidence["kind"] not in same]
        if behind_own_layers(trace.run):
            of_inputs = []  # what was measured is not what the model is given
        if trace.run.data.several_inputs:
            of_inputs = [_without_actions(finding) for finding in of_inputs]
        found += of_inputs or judge_other_inputs(trace)
        if not found:
            return frozen_ends(trace) or heavy_weights(trace)
        # One finding a rule: the graver, targets before inputs.
        found.sort(key=lambda f: f.severity != "critical")
        harmed, soon = harmed_at(trace), _plain_at(trace, found[0])
        if found[0].evidence["of"] == "inputs":
            # That a signal explodes at once needs no proof by the loss.
            exploded = at_once(trace)
            if exploded is not None:
                soon = exploded.told_at
        seen = [step for step in (harmed, soon) if step is not None]
        if not seen:
            return frozen_ends(trace) or heavy_weights(trace)
        told = dated(trace, _together(found), int(trace.steps[0]), min(seen))
        if harmed is None:
            # It may learn all the same.
            told = dataclasses.replace(
                told, evidence={**told.evidence, "soon": True}
            )
        return [told]

    def _large(self, trace, facts):
        """Return from where on targets are large: less, if far from reach."""
        limit, size = (
            self.limit("targets"),
            (facts.target_mean, facts.target_std),
        )
        if not known(*size) or not FAR_TARGET <= rms(*size) < limit:
            return limit
        far = out_of_reach_at(trace, rms(*size)) is not None
        return FAR_TARGET if far else limit

    def check_start(self, start):
        """Judge what comes into the first layers, and the targets."""
        found = judge_looked_up(start.same_row)
        if start.inputs is not None and not found:
            given = start.inputs
            found = judge_inputs(
                given.facts,
                given.layers,
                given.mean,
                given.std,
                rescaling=start.run.rescaling,
                shape=given.shape,
            )
            if given.several:
                found = [_without_actions(finding) for finding in found]
            if start.trained and found:
                start.notes.append(
                    f"{found[0].message} The weights were trained, though, "
                    "and may expect that: prepare inputs as in that training."
                )
                found = []
        for head in start.heads:
            if head.facts is not None:
                output = intended_output(head.output, head.facts)
                optimizer = start.run.optimizer
                told = judge_target_scale(output, head.facts, optimizer)
                # Steps of Adam learn tiny ones all the same.
                found += [
                    f
                    for f in told
                    if f.evidence["kind"] == "targets" or optimizer.plain
                ]
        return found


def _together(found):
    """Return the first finding, whose first remedy scales all that is not.

    Each alone leaves the other as it was.
    """
    firsts = [finding.remedies[0] for finding in found]
    if len(found) < 2 or any(remedy.action is None for remedy in firsts):
        return found[0]
    both = changes.several(firsts, "Both are far from unit scale.")
    return dataclasses.replace(found[0], remedies=[both, *found[0].remedies])


def _always_one_number(trace):
    """Whether all measured batches held the same one number.

    A batch of one row, or of few, may be all zeros where others are not.
    """
    low, high = trace.data("input_min"), trace.data("input_max")
    seen = np.isfinite(low) & np.isfinite(high)
    return bool(seen.any() and low[seen].min() == high[seen].max())


def _always_alike(trace):
    """Whether in no measured batch a feature differed, of several rows."""
    scale, std = trace.data("feature_scale_max"), trace.data("input_std")
    seen = np.isfinite(scale) & np.isfinite(std)
    same = alike(scale[seen], std[seen]) & (trace.data("samples")[seen] > 1)
    return bool(seen.any() and same.all())


def _plain_at(trace, finding):
    """Return the step by which the harm was plain from the start, or None."""
    if finding.evidence["kind"] == "outliers":
        return spikes_at(trace)
    if finding.evidence["of"] == "targets":
        return out_of_reach_at(trace, finding.evidence["rms"])
    found = [alike_at(trace)]
    if finding.evidence["kind"] in ("large", "offset", "uneven"):
        found.append(flat_at(trace))
    return min((step for step in found if step is not None), default=None)


def _without_actions(finding):
    """Several inputs: nothing says which of them to change."""
    return dataclasses.replace(finding, remedies=[changes.normalize_each()])


def _behind_a_table(run):
    """Whether what was measured comes out of an embedding.

    All zeros are not the data's then: something in between makes them.
    """
    front = run.data.input_layer
    for path, info in run.layers.items():
        if path == front:
            return False
        if info.get("class") == "Embedding":
            return True
    return False
