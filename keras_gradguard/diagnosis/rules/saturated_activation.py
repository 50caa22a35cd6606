"""Finds layers whose units sit in the flat ends of their activation."""

import dataclasses

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import large_biases
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.offsets import start_at_zero
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.remedies.training import lower_rate
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms

_SHARE = 0.8
_MEASURED = 4
_SPAN = 20
# Nothing passes: of the outputs; share of the plan, fewest and most steps that
# have no gradient at all.
_SHUT, _NO_GRADIENT = 0.999, (0.04, 10, 100)
# Of such steps many had none; answers that are sure, and a loss that is wrong.
_MANY, _SURE, _WRONG = 0.4, 1e-6, 1.0
_SURE_OVER, _LARGE = (0.05, 20, 100), 10.0
_OF_CLASSES = ("softmax", "sigmoid", "hard_sigmoid")
_STALLS = "the loss does not fall"
_NOTHING = "the layer got a gradient of exactly zero all along"

# Before the first step nearly all outputs must be where the slope is below a
# thousandth, of rows that tell something.
_AT_START, _FEWEST_ROWS = 0.95, 16
_FLAT = {
    "tanh": (-0.9995, 0.9995),
    "sigmoid": (0.001, 0.999),
    "hard_sigmoid": (0.0, 1.0),
    "softsign": (-0.97, 0.97),
}


class SaturatedActivation(Rule):
    """Finds units that sit in the flat ends of sigmoid, tanh and the like.

    Where the slope is under a hundredth of its largest, next to no gradient
    comes back. Saturation alone is no sickness: in healthy nets nine of ten
    inputs of a tanh may lie beyond 5, and an output that is sure of itself is
    saturated by right. So two things must hold. At least 80 % of a layer's
    outputs are in the flat ends in 4 measurements in a row, over 20 steps. And
    the loss stalls, hardly fell since the start, and the outputs do not follow
    the targets. Where all outputs are from the start on, and the layer has got
    a gradient of exactly zero for 4 % of the plan, 10 to 100 steps, the loss is
    not waited for. So it is with an output that gives 0 and 1 alone from the
    start on, most of them wrong: a crossentropy cuts such numbers off, and no
    gradient is left.

    References:
        - [Rakitianskaia and Engelbrecht, 2015](https://doi.org/10.1109/SSCI.2015.202)
        - [Amazon SageMaker Debugger, SaturatedActivation](https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html)
    """

    id = "saturated_activation"
    # Of the outputs of a layer.
    thresholds = {"share": _SHARE}  # noqa: RUF012
    effects = (
        "dead_relu",
        "vanishing_gradient",
        "update_ratio",
        "frozen_layer",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        sure = _sure_output(trace)
        if sure is not None:
            return [sure]
        learning = Learning.of(trace)
        sites = [
            at
            for at, site in enumerate(trace.sites)
            if trace.run.site(site).get("saturates") is True
        ]
        if not len(learning) or not sites:
            return []
        flat = trace.activation("saturated_fraction")[: len(learning), sites]
        with np.errstate(invalid="ignore"):
            high = flat >= self.limit("share")
        full = count_within(high, _MEASURED) == _MEASURED
        full &= learning.idle()[:, None]
        steps = learning.steps
        shut = _shut(trace, steps, flat, sites)
        if shut is not None:
            guilty, last = shut
            starts = [0] * len(guilty)
            told = _finding(
                trace, steps, flat, sites, guilty, starts, last, _NOTHING
            )
            # What is behind may learn all the same.
            return [
                dataclasses.replace(
                    told, evidence={**told.evidence, "soon": True}
                )
            ]
        for last in np.flatnonzero(full.any(axis=1)):
            guilty = np.flatnonzero(full[last])
            starts = [
                stretch_start(high[:, at], int(last), _MEASURED)
                for at in guilty
            ]
            if steps[last] - steps[min(starts)] < _SPAN:
                continue
            return [
                _finding(trace, steps, flat, sites, guilty, starts, int(last))
            ]
        return []

    def check_start(self, start):
        """Find bounded units that sit in their flat ends.

        Only hidden layers count, and only where nearly all outputs do: a half
        may well train.
        """
        if start.tells("unscaled_data", "exploding_gradient"):
            return []
        found = {}
        for layer in start.layers:
            flat = _FLAT.get(layer.activation)
            values = layer.output
            if flat is None or layer.last or layer.loops:
                continue
            if len(values) < _FEWEST_ROWS:
                continue
            ends = float(((values <= flat[0]) | (values >= flat[1])).mean())
            if ends >= _AT_START:
                found[layer.path] = ends
        if not found:
            return []
        layers = list(found)
        return [
            self.at_start(
                "warning",
                layers,
                {
                    "kind": "saturated_at_start",
                    "saturated_fraction": found,
                    "threshold": _AT_START,
                },
                f"{names(layers)}: {number(100 * found[layers[0]])} % of the "
                "outputs are saturated. They are at the flat ends of the "
                "activation before any training, and hardly any gradient "
                "passes there.",
                for_saturated(start.run, layers),
            )
        ]


def _shut(trace, steps, flat, sites):
    """Return the sites that let nothing pass, and the measurement, or None."""
    need = of_plan(trace, *_NO_GRADIENT)
    due = np.flatnonzero(steps - trace.steps[:1] >= need)
    if len(trace.steps) <= need or not len(due):
        return None
    last = int(due[0])
    loss, norms = trace.extra.get("loss"), trace.layer_norms(0, need)
    if loss is None or not (loss[:need] != 0).all():
        return None  # nothing may be left to learn
    output, guilty = trace.run.output, []
    for at, site in enumerate(sites):
        if output is not None and trace.sites[site] in output.layers:
            continue
        owners = layers_of(trace, [str(trace.sites[site])])
        own = norms[:, np.isin(trace.layers, owners)]
        closed = np.nan_to_num(flat[: last + 1, at]) >= _SHUT
        if own.shape[1] and (own == 0).all() and closed.all():
            guilty.append(at)
    return (guilty, last) if guilty else None


def _sure_output(trace):
    """Return the finding of an output that is sure of wrong answers, or None.

    Keras cuts probabilities off near 0 and 1, so that their logarithm is
    finite. Beyond, the loss is flat.
    """
    need, output = of_plan(trace, *_SURE_OVER), trace.run.output
    loss, low, high = (
        trace.extra.get("loss"),
        trace.data("output_min")[:1],
        trace.data("output_max")[:1],
    )
    if output is None or loss is None or len(trace.steps) <= need:
        return None
    crossed = "crossentropy" in (output.loss_name or "")
    if not crossed or output.activation not in _OF_CLASSES or not len(low):
        return None
    facts = facts_of(trace)
    size = facts.input_mean, facts.input_std
    if known(*size) and rms(*size) > _LARGE:
        return None  # the inputs are why
    ends = low[0] <= _SURE and high[0] >= 1 - _SURE
    none = (trace.layer_norms(0, need) == 0).all(axis=1)
    level, share = float(np.mean(loss[:need])), float(none.mean())
    wrong = ends and level >= _WRONG
    if output.from_logits or not wrong or share < _MANY:
        return None
    first, last = int(trace.steps[0]), int(trace.steps[need - 1])
    factor = ""
    if abs(output.scale) > 1:
        factor = f" They are multiplied by {number(output.scale)} before."
    return in_a_run(
        trace,
        rule=SaturatedActivation.id,
        severity="warning",
        layers=output.layers,
        first_step=first,
        last_step=int(trace.steps[np.flatnonzero(none)[-1]]),
        evidence={
            "kind": "sure_output",
            "soon": True,
            "without_gradient": share,
            "threshold": _MANY,
            "window": {"first_step": first, "last_step": last},
        },
        message=(
            f"{output.layer}: what goes into {output.activation} is so large "
            f"that it gives 0 and 1 alone.{factor} Most of these answers are "
            f"wrong: the loss is {number(level, 3)}. It "
            "cuts off such numbers, so no gradient is left in "
            f"{number(100 * share)} % of the first {need} steps."
        ),
        remedies=[
            changes.output(
                output,
                "It takes what goes into the activation, of any size, and its "
                "gradient does not end.",
                activation="linear",
                loss=output.loss_name,
                logits=True,
            ),
            changes.normalize_inputs(
                "Large inputs make large outputs, and sure ones."
            ),
        ],
    )


def _finding(trace, steps, flat, sites, guilty, starts, last, why=_STALLS):
    named = [str(trace.sites[sites[at]]) for at in guilty]
    layers = layers_of(trace, named)
    first, stop = int(steps[min(starts)]), int(steps[last])
    share = float(flat[last, guilty].max())
    kinds = {trace.run.site(site).get("activation") for site in named}
    kind = " and ".join(sorted(str(kind) for kind in kinds))
    end = max(stretch_end(flat[:, at] >= _SHARE, last) for at in guilty)
    return in_a_run(
        trace,
        rule=SaturatedActivation.id,
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=int(steps[end]),
        evidence={
            "saturated_fraction": {
                site: float(flat[last, at])
                for site, at in zip(named, guilty, strict=True)
            },
            "threshold": _SHARE,
            "window": {"first_step": first, "last_step": stop},
        },
        message=(
            f"{names(named)}: {number(100 * share)} % of the outputs are at "
            f"the flat ends of {kind}. Next to no gradient passes there. It "
            f"was so from step {first} to {stop}, and {why}."
        ),
        remedies=for_saturated(trace.run, layers, large_biases(trace)),
    )


def for_saturated(run, layers, large=()):
    """Return remedies for units in the flat ends of their activation.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Their paths.
        large: Paths of layers whose biases started large.
    """
    hidden = [
        changes.convert(
            "he_relu",
            "ReLU does not saturate, and He's initializer keeps its size from "
            "layer to layer.",
        ),
        changes.convert(
            "glorot_tanh",
            "Normalization brings what goes into the activation back to where "
            "it is steep.",
            normalization="batch",
        ),
    ]
    if recurrent_layers(run, layers):
        gates = "Its gates keep the state where it is not flat."
        hidden = for_recurrent(run, layers, gates)
    return [
        *start_at_zero(run, layers, large),
        *hidden,
        changes.normalize_inputs(
            "Large inputs saturate the first layer, and it the next."
        ),
        lower_rate(run, 10, "Large steps drive units into the flat ends."),
    ]
