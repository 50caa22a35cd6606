"""A gradient that grew without bound: which, when and how that shows."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.stretches import judged_layers


@dataclasses.dataclass(frozen=True, slots=True)
class Growth:
    """One way in which gradients were seen to grow without bound.

    Attributes:
        layers: List of str. Layers concerned, the culprit first.
        first_step: Int. Where it began.
        last_step: Int. Up to where it went on.
        evidence: Dict. The numbers, their threshold and the `"window"`: the
            steps that were needed to tell.
        message: Str. It in words.
        severity: Str. As of a `Finding`. Defaults to `"critical"`.
    """

    layers: list
    first_step: int
    last_step: int
    evidence: dict
    message: str
    severity: str = "critical"

    @property
    def told_at(self):
        """Int. Step from which on it could be seen."""
        return self.evidence["window"]["last_step"]


def layers_by(trace, size):
    """Return the judged layers, that of the largest `size` first.

    Args:
        trace: The `Trace`.
        size: Float array (L,), without NaN.
    """
    mask = judged_layers(trace)
    order = np.argsort(-size, kind="stable")
    return [str(trace.layers[i]) for i in order if mask[i]]
