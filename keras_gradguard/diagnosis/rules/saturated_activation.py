"""Finds layers whose units sit in the flat ends of their activation."""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.activations import site_info
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.remedies import of_layers
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.finding import Finding

_SHARE = 0.8
_MEASURED = 4
_SPAN = 20


class SaturatedActivation(Rule):
    """Finds units that sit in the flat ends of sigmoid, tanh and the like.

    Where the slope is under a hundredth of its largest, next to no gradient
    comes back. Saturation alone is no sickness: in healthy nets nine of ten
    inputs of a tanh may lie beyond 5, and an output that is sure of itself is
    saturated by right. So: at least 80 % of a layer's outputs are in the flat
    ends in 4 measurements in a row, over 20 steps, while the loss stalls,
    hardly fell since the start and the outputs do not follow the targets.

    References:
        - [Rakitianskaia and Engelbrecht, 2015](https://doi.org/10.1109/SSCI.2015.202)
        - [Amazon SageMaker Debugger, SaturatedActivation](https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html)
    """

    id = "saturated_activation"

    def check(self, trace):
        """See `Rule.check`."""
        learning = Learning.of(trace)
        sites = [
            at
            for at, site in enumerate(trace.sites)
            if site_info(trace, site).get("saturates") is True
        ]
        if not len(learning) or not sites:
            return []
        flat = trace.activation("saturated_fraction")[: len(learning), sites]
        with np.errstate(invalid="ignore"):
            high = flat >= _SHARE
        full = count_within(high, _MEASURED) == _MEASURED
        full &= learning.idle()[:, None]
        steps = learning.steps
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


def _finding(trace, steps, flat, sites, guilty, starts, last):
    named = [str(trace.sites[sites[at]]) for at in guilty]
    layers = layers_of(trace, named)
    first, stop = int(steps[min(starts)]), int(steps[last])
    share = float(flat[last, guilty].max())
    kinds = {site_info(trace, site).get("activation") for site in named}
    kind = " and ".join(sorted(str(kind) for kind in kinds))
    end = max(stretch_end(flat[:, at] >= _SHARE, last) for at in guilty)
    return Finding(
        rule=SaturatedActivation.id,
        severity="warning",
        layers=layers,
        first_step=first,
        last_step=int(steps[end]),
        epoch=trace.epoch_of(first),
        evidence={
            "saturated_fraction": {
                site: float(flat[last, at])
                for site, at in zip(named, guilty, strict=True)
            },
            "threshold": _SHARE,
            "window": {"first_step": first, "last_step": stop},
        },
        message=(
            f"{names(named)}: {number(100 * share)} % of the outputs are in "
            f"the flat ends of {kind} from step {first} to {stop}, where next "
            "to no gradient comes back, and the loss does not fall."
        ),
        remedies=of_layers.for_saturated(trace, layers),
    )
