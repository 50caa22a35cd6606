"""Clip the norms that stand out from their running mean."""

from typing import Any

import keras

from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import NormClipper


@keras.saving.register_keras_serializable(package="keras_gradguard")
class ZScore(NormClipper):
    """Clips only spikes: norms far above the running mean of norms (ZClip).

    A norm `n` whose z-score `z = (n - mean) / deviation` is above
    `z_threshold` is brought to `mean + z_threshold**2 / z * deviation`: the
    larger the spike, the closer to the mean. All other steps stay as they
    are, so a healthy run is hardly touched. Mean and variance then take in
    the clipped norm, with exponential decay.

    Unlike the published code, it has no absolute constants (1e-6, and a cap
    of 1.0 on every norm): it gives the same at each scale of the loss. A
    deviation below 1 % of the mean counts as 1 %. Norms that are zero or not
    finite are not recorded.

    Args:
        z_threshold: Float > 0, standard deviations above the mean at which a
            norm is a spike. Larger clips less. Defaults to `2.5`, as in the
            paper.
        decay: Float in [0, 1], decay of mean and variance per step. Larger
            remembers longer. Defaults to `0.97`, as in the paper.
        warmup_steps: Int >= 1, steps at the start until there is a deviation
            to compare with. Defaults to `25`, as in the paper.
        warmup_ratio: Float > 1, multiple of the mean so far that a norm of
            the warm-up is clipped to. Larger clips less. `None` clips nothing
            in the warm-up, as in the paper: one spike there hides all later
            ones for about a hundred steps. Defaults to `4.0`.

    Example:
        >>> import keras_gradguard as kgg
        >>> optimizer = kgg.AutoClip("adam", clipper="zscore", z_threshold=3.0)
        >>> optimizer.clipper
        ZScore(z_threshold=3.0, decay=0.97, warmup_steps=25, warmup_ratio=4.0)

    References:
        - [ZClip: Adaptive Spike Mitigation for LLM Pre-Training,
          Kumar et al., 2025](https://arxiv.org/abs/2504.02507)
    """

    def __init__(
        self,
        z_threshold: float = 2.5,
        decay: float = 0.97,
        warmup_steps: int = 25,
        warmup_ratio: float = 4.0,
    ) -> None:
        self.z_threshold = check_number(
            "AutoClip",
            "z_threshold",
            z_threshold,
            above=0,
            hint="It counts standard deviations above the mean norm.",
        )
        self.decay = check_number(
            "AutoClip",
            "decay",
            decay,
            minimum=0,
            maximum=1,
            hint="It is the share of mean and variance kept per step.",
        )
        self.warmup_steps = check_int(
            "AutoClip",
            "warmup_steps",
            warmup_steps,
            minimum=1,
            hint="The first mean needs at least one norm.",
        )
        if warmup_ratio is not None:
            warmup_ratio = check_number(
                "AutoClip",
                "warmup_ratio",
                warmup_ratio,
                above=1,
                hint="Pass None to clip nothing in the warm-up.",
            )
        self.warmup_ratio = warmup_ratio

    def state_shapes(self, variables: list) -> dict:
        del variables
        return {"statistics": (3,)}

    def threshold(self, norm: Any, state: dict) -> tuple:
        threshold, statistics = functional.zscore_update(
            norm,
            state["statistics"],
            self.z_threshold,
            self.decay,
            self.warmup_steps,
            self.warmup_ratio,
        )
        return threshold, {"statistics": statistics}

    def get_config(self) -> dict:
        return {
            "z_threshold": self.z_threshold,
            "decay": self.decay,
            "warmup_steps": self.warmup_steps,
            "warmup_ratio": self.warmup_ratio,
        }
