"""Inputs that drive frozen layers into the flat ends of their activation.

The judgement takes a `Trace` and returns a list of findings, at most one.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.frozen_layer.features import in_front
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import FROZEN_ENDS
from keras_gradguard.findings.build import in_a_run


def frozen_ends(trace):
    """Judge whether frozen layers get numbers far larger than they can use.

    A layer that was trained has its activation where it bends. What drives it
    far into the flat ends from the first batch on is not what it was trained
    with, such as bytes in place of shares. The layers behind it can learn from
    signs alone, and the frozen one never adapts.
    """
    learning = Learning.of(trace)
    front = in_front(trace.run)
    places = [
        at
        for at, site in enumerate(trace.sites)
        if str(site) in front
        and trace.run.site(str(site)).get("saturates") is True
    ]
    if not places or not len(learning):
        return []
    at = places[0]  # the others follow from the first
    came = trace.activation("input_std")[: len(learning), at]
    flat = trace.activation("saturated_fraction")[: len(learning), at]
    start = int(trace.steps[0])
    with np.errstate(invalid="ignore"):
        bad = (came >= FROZEN_ENDS["std"]) & (flat >= FROZEN_ENDS["share"])
    run = learning.steps - start
    bad &= (run >= of_plan(trace, *FROZEN_ENDS["wait"])) & ~learning.good
    if not bad.any():
        return []
    seen = int(bad.argmax())
    layer, size = str(trace.sites[at]), float(came[seen])
    return [
        in_a_run(
            trace,
            rule="unscaled_data",
            severity="warning",
            layers=[layer],
            first_step=start,
            last_step=int(learning.steps[np.flatnonzero(bad)[-1]]),
            evidence={
                "kind": "frozen_ends",
                "of": "inputs",
                "std": size,
                "saturated_fraction": float(flat[seen]),
                "threshold": FROZEN_ENDS["std"],
                "window": {
                    "first_step": start,
                    "last_step": int(learning.steps[seen]),
                },
            },
            message=(
                f"{layer} is frozen, and its inputs are too large for it: "
                f"what comes into its activation varies by {number(size)}. So "
                f"{number(100 * flat[seen])} % of its outputs are flat. It was "
                "trained on other numbers, such as shares in place of bytes, "
                "or never. What is behind it sees little more than signs."
            ),
            remedies=[
                changes.rescale_inputs(
                    "They are best prepared as in the training of these "
                    "layers. By this factor the activation is where it bends.",
                    1 / size,
                )
            ],
        )
    ]
