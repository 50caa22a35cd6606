"""Clip only what the run's own gradient norms have hardly ever reached."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard import stats
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import NormClipper

# Multiple of the threshold up to which a spike is recorded.
_KEPT = 2.0


@keras.saving.register_keras_serializable(package="keras_gradguard")
class Spikes(NormClipper):
    """Clips spikes, and leaves alone what the data often gives.

    A norm that at least a `share` of the last `window` steps reached is common:
    it is the data's. The threshold is `ratio` times the largest common norm,
    and only what is above it is clipped. So batches that hold a rare class,
    and have gradients thirty times those of the others, stay as they are.

    A norm `k` times the threshold is brought down to `1 / k` of it, but to no
    less than the median of the norms: the further off a batch is, the more
    likely it is corrupt, and it then moves the weights as far as a usual one.

    The current norm is not among those it is compared with, and a single norm
    is never common once there are two: neither the second update nor one after
    a first spike lets a spike pass. The first update is not clipped, as there
    is nothing to compare it with. A spike is recorded as no more than twice the
    threshold. So a few corrupt batches in a row do not raise it much, and
    a lasting rise is followed in a few rounds. Norms that are zero or not
    finite are not recorded. What matters and comes in fewer steps than
    `share`, such as a reward in one batch of a hundred, cannot be told from a
    corrupt batch by its norm: lower `share`, or raise `ratio`.

    Args:
        ratio: Float >= 1, multiple of the largest common norm at which a norm
            is a spike. Larger clips less. Defaults to `4.0`.
        share: Float in (0, 0.5], share of the last steps that must have
            reached a norm to make it common. It is larger than the share of
            corrupt batches, and smaller than that of batches which matter.
            Defaults to `0.03`.
        window: Int >= 2, how many norms to remember. Defaults to `512`.

    Example:
        >>> import keras_gradguard as kgg
        >>> kgg.AutoClip("adam").clipper
        Spikes(ratio=4.0, share=0.03, window=512)
    """

    def __init__(
        self, ratio: float = 4.0, share: float = 0.03, window: int = 512
    ) -> None:
        self.ratio = check_number(
            "AutoClip",
            "ratio",
            ratio,
            minimum=1,
            hint="It is a multiple of the largest common norm: try 4.",
        )
        self.share = check_number(
            "AutoClip",
            "share",
            share,
            above=0,
            maximum=0.5,
            hint="It is a fraction: pass 0.03 for three steps of a hundred.",
        )
        self.window = check_int(
            "AutoClip",
            "window",
            window,
            minimum=2,
            hint="It is the number of gradient norms to remember.",
        )

    def state_shapes(self, variables: list[Any]) -> dict[str, Any]:
        del variables
        # The norms, newest first, and the same ones, largest first.
        return {"history": (self.window,), "ranking": (self.window,)}

    def adapt_state(
        self, saved: dict[str, Any], shapes: dict[str, Any]
    ) -> dict[str, Any]:
        if "history" not in saved or saved["history"].ndim != 1:
            return {}
        kept = saved["history"][: self.window]
        history = np.pad(kept, (0, self.window - len(kept)))
        return {"history": history, "ranking": np.sort(history)[::-1]}

    def threshold(
        self, norm: Any, state: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        history, ranking = state["history"], state["ranking"]
        common = functional.common_norm(ranking, self.share)
        # Not `minimum` after the product, which would overflow.
        limit = stats.full((), functional.NO_THRESHOLD)
        fits = common < functional.NO_THRESHOLD / self.ratio
        usable = ops.where(fits, common, ops.zeros_like(common))
        limit = ops.where(fits, usable * self.ratio, limit)
        kept = ops.minimum(norm, _KEPT * limit)
        return limit, {
            "history": functional.push(history, kept),
            "ranking": functional.replace_sorted(ranking, history[-1], kept),
        }

    def target(self, norm: Any, threshold: Any, state: dict[str, Any]) -> Any:
        usual = functional.percentile(state["ranking"], 50.0)
        return ops.maximum(
            ops.minimum(usual, threshold), threshold * (threshold / norm)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "ratio": self.ratio,
            "share": self.share,
            "window": self.window,
        }
