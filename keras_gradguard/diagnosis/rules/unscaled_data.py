"""Rules on data: outputs that do not fit the targets, scales that hurt.

Longer than 350 lines, since a rule stands in one file with its thresholds, its
check before the first step and its remedies.
"""

import dataclasses
from typing import Any

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.evidence.soon import flat_at
from keras_gradguard.diagnosis.evidence.soon import out_of_reach_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    intended_output,
)
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms

# Single digits train everywhere.
_HUGE_INPUT = 1000.0
_SMALL_INPUT = 2e-3
# A common part so many times larger than what varies hides it.
_OFFSET = 30.0
# Pixels from 0 to 255, dark ones too.
_PIXEL_MAX, _PIXEL_RMS = 200.0, 10.0
# One feature drowns the rest: so many times larger, and large by itself.
_FEATURE_RATIO, _FEATURE_LARGE = 100.0, 20.0
# A first step of plain SGD that moves the output by this many times its
# natural scale of 1, for targets that are large.
_FIRST_STEP, _FIRST_STEP_TARGET = 2.0, 10.0
# Their gradient grows with the error.
_QUADRATIC = ("mean_squared_error", "mean_squared_logarithmic_error")
_BOUNDED = ("sigmoid", "softmax", "tanh", "softsign", "hard_sigmoid")


class UnscaledData(Rule):
    """Finds inputs or targets far from unit scale where they do harm.

    What enters the first layer with weights is judged, so a normalization in
    front counts; and the targets of a regression. These are unscaled:

    * inputs of a root mean square over 50, or with a mean 30 times as large as
      what varies;
    * features that differ 100-fold, and pixels up to 255;
    * targets of over 1000, or of over 10 where the first step of plain SGD
      overshoots.

    Many nets learn from such data all the same. A run is reported only if
    it has not learnt after 30 records, or its loss or gradient ran away. The
    first 17 records, fewer of a short plan, may show that it cannot. Outputs
    are the same for every input all along, or a hidden layer is flat, or the
    outputs come no nearer to the targets.
    """

    id = "unscaled_data"
    # Root mean squares. Initializers keep the scale of the inputs; some tens
    # saturate or multiply all gradients. Targets of a thousand take an
    # optimizer that rescales gradients very long to reach.
    thresholds = {"inputs": 50.0, "targets": 1000.0}  # noqa: RUF012
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
        if output is not None:
            optimizer = trace.run.optimizer
            found += judge_target_scale(
                output, facts, optimizer, self.limit("targets")
            )
        inputs = judge_inputs(
            facts,
            [layer] if layer else [],
            large=self.limit("inputs"),
            rescaling=trace.run.rescaling,
        )
        if trace.run.data.several_inputs:
            inputs = [_without_actions(finding) for finding in inputs]
        found += inputs
        if not found:
            return []
        # One finding a rule: the graver, targets before inputs.
        found.sort(key=lambda f: f.severity != "critical")
        harmed, soon = harmed_at(trace), _plain_at(trace, found[0])
        seen = [step for step in (harmed, soon) if step is not None]
        if not seen:
            return []
        told = dated(trace, found[0], int(trace.steps[0]), min(seen))
        if harmed is None:
            # It may learn all the same.
            told = dataclasses.replace(
                told, evidence={**told.evidence, "soon": True}
            )
        return [told]

    def check_start(self, start):
        """Judge what comes into the first layers, and the targets."""
        found = []
        if start.inputs is not None:
            given = start.inputs
            found = judge_inputs(
                given.facts,
                given.layers,
                given.mean,
                given.std,
                rescaling=start.run.rescaling,
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
                found += judge_target_scale(output, head.facts, optimizer)
        return found


def _plain_at(trace, finding):
    """Return the step by which the harm was plain from the start, or None."""
    if finding.evidence["of"] == "targets":
        return out_of_reach_at(trace, finding.evidence["rms"])
    found = [alike_at(trace)]
    if finding.evidence["kind"] in ("large", "offset", "uneven"):
        found.append(flat_at(trace))
    return min((step for step in found if step is not None), default=None)


def _without_actions(finding):
    """Several inputs: nothing says which of them to change."""
    return dataclasses.replace(finding, remedies=[changes.normalize_each()])


def judge_inputs(
    data, layers=(), mean=None, std=None, large=None, rescaling=None
):
    """Judge the scale of what comes into the first layers with weights.

    A model that begins with a normalization or rescales its inputs has
    nothing to be judged: pass what comes out of that, or do not call this.

    Args:
        data: `DataFacts`. `input_*` and `feature_scale_*` are read.
        layers: List of str. Paths of the layers that take the inputs.
        mean: List of a mean per feature for the remedy, or None.
        std: List of a standard deviation per feature, or None.
        large: Float. A root mean square that is too large. Defaults to the
            threshold of the rule.
        rescaling: Paths of layers of the model that rescale, or None.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    large = UnscaledData.thresholds["inputs"] if large is None else large
    if not known(data.input_mean, data.input_std):
        return []
    size = rms(data.input_mean, data.input_std)
    ranged = known(data.input_min, data.input_max)
    pixels = (
        ranged
        and data.input_min >= 0
        and _PIXEL_MAX <= data.input_max <= 255
        and size >= _PIXEL_RMS
    )
    span = ""
    if ranged:
        span = (
            f" ({number(data.input_min, 4)} to {number(data.input_max, 4)}, "
            f"typically {number(size)})"
        )
    features = known(data.feature_scale_min, data.feature_scale_max)
    ratio = (
        data.feature_scale_max / max(data.feature_scale_min, 1e-12)
        if features
        else 1.0
    )
    uneven = (
        features
        and data.feature_scale_max >= _FEATURE_LARGE
        and ratio >= _FEATURE_RATIO
    )
    normalize = changes.normalize_inputs(
        "Initializers and learning rates are made for inputs of mean 0 and "
        "standard deviation 1.",
        mean if mean is not None else data.input_mean,
        std if std is not None else data.input_std,
    )
    remedies = [normalize]
    if pixels:
        kind, severity = "pixels", "warning"
        text = f"The inputs look like pixels that were not scaled{span}"
        why = "Pixels from 0 to 1 suit every initializer."
        remedies.insert(0, changes.rescale_inputs(why, 1 / 255))
    elif uneven:
        kind, severity = "uneven", "warning"
        text = (
            f"One input feature varies {number(ratio)} times as much as "
            f"another: by {number(data.feature_scale_max)} and by "
            f"{number(data.feature_scale_min)}"
        )
    elif size >= large:
        kind = "large"
        severity = "critical" if size >= _HUGE_INPUT else "warning"
        text = f"The inputs are large{span}"
    elif features and abs(data.input_mean) > _OFFSET * data.feature_scale_max:
        kind, severity = "offset", "warning"
        text = (
            f"The inputs lie around {number(data.input_mean)}, and no feature "
            f"varies by more than {number(data.feature_scale_max)}"
        )
    elif 0 < size <= _SMALL_INPUT:
        kind, severity = "small", "warning"
        # Also where the model itself has scaled them down before.
        why = "Their size is then about 1 where they reach the weights."
        remedies.insert(0, changes.rescale_inputs(why, 1 / size))
        if rescaling and size * 255 >= 10 * _SMALL_INPUT:
            why = "The inputs are scaled once too often."
            remedies.insert(0, changes.leave_out(rescaling[-1:], why))
        text = f"The inputs are tiny{span}"
    else:
        return []
    if kind == "small":
        effect = "The signal is lost among the biases, and learning is slow."
    elif kind == "offset":
        effect = (
            "All samples look nearly the same to the network: what tells them "
            "apart is small against what they share."
        )
    elif kind == "uneven":
        effect = "The network sees little but the larger one."
    else:
        effect = "Units saturate or blow up, and so do the gradients."
    return [
        before_a_run(
            rule="unscaled_data",
            severity=severity,
            layers=[str(layer) for layer in layers],
            evidence={
                "kind": kind,
                "of": "inputs",
                "rms": size,
                "min": data.input_min,
                "max": data.input_max,
                "feature_scale_min": data.feature_scale_min,
                "feature_scale_max": data.feature_scale_max,
                "threshold": _SMALL_INPUT if kind == "small" else large,
            },
            message=f"{text}. {effect}",
            remedies=remedies,
        )
    ]


def judge_target_scale(output, data, optimizer=None, large=None):
    """Judge the scale of regression targets.

    The gradient of a squared error grows with the targets: plain SGD takes a
    first step of about `2 * rate * targets`. Adam, and any clipped gradient,
    takes steps that do not grow, and needs very long to reach large targets.

    Args:
        output: `Output`.
        data: `DataFacts`. `target_*` is read.
        optimizer: `OptimizerFacts`, or None if nothing is known.
        large: Float. As for inputs.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    loss = output.loss_name
    if loss not in REGRESSION or output.activation in _BOUNDED:
        return []
    if not known(data.target_mean, data.target_std):
        return []
    # What the network itself has to give, before a rescaling of its output.
    scale = abs(output.scale) or 1.0
    size = rms(
        (data.target_mean - output.offset) / scale, data.target_std / scale
    )
    rate = optimizer.effective_rate if optimizer else None
    step: Any = None
    if optimizer and optimizer.plain and loss in _QUADRATIC and rate:
        step = 2.0 * rate * size
    overshoots = (
        step is not None and step >= _FIRST_STEP and size >= _FIRST_STEP_TARGET
    )
    large = UnscaledData.thresholds["targets"] if large is None else large
    far = size >= large and "percentage" not in loss
    far &= "logarithmic" not in loss
    if not (overshoots or far):
        return []
    text = f"The targets are large: typically {number(size)}"
    if known(data.target_min, data.target_max):
        text += f", from {data.target_range}"
    if overshoots:
        effect = (
            f"With a learning rate of {number(optimizer.learning_rate)} the "
            f"first step moves a prediction by about {number(step)}, and "
            "hidden weights by as much. Such steps overshoot and blow up."
        )
    else:
        effect = (
            "An untrained network gives numbers of about 1. So its gradients "
            "are that much too large, or its steps that much too small."
        )
    std = data.target_std if data.target_std > 0 else abs(data.target_mean)
    remedies = [
        changes.scale_targets(
            "A network gives numbers of about 1. Undo the scaling on "
            "predictions.",
            data.target_mean if data.target_std > 0 else 0.0,
            std,
        )
    ]
    if overshoots:
        to = optimizer.learning_rate / max(2.0, step)
        remedies.append(
            training.learning_rate(
                optimizer,
                "Then the first step is no larger than an output.",
                to,
            )
        )
        remedies.append(
            training.clip(
                "It bounds the step, whatever the targets.", threshold=1.0
            )
        )
    return [
        before_a_run(
            rule="unscaled_data",
            severity="critical" if overshoots else "warning",
            layers=output.layers,
            evidence={
                "kind": "targets",
                "of": "targets",
                "rms": size,
                "min": data.target_min,
                "max": data.target_max,
                "first_step_size": step,
                "threshold": _FIRST_STEP if overshoots else large,
            },
            message=f"{text}. {effect}",
            remedies=remedies,
        )
    ]
