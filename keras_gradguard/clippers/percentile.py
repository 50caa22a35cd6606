"""Clip to a percentile of the run's own gradient norms."""

from typing import Any

import keras
import numpy as np

from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import NormClipper

# Only where few norms are known does the largest enter a percentile.
_MOST_OVER_SECOND = 4.0


@keras.saving.register_keras_serializable(package="keras_gradguard")
class Percentile(NormClipper):
    """Clips to a percentile of the gradient norms of the last steps.

    The threshold of a step is the percentile, interpolated linearly as NumPy
    does, of the last `window` norms with the current one among them; all
    gradients are multiplied by `min(1, threshold / norm)`. It follows the
    norms of the run, so nothing is to be tuned to the model or the loss.
    Where batches of two kinds alternate, with a rare class or sparse rewards,
    a low percentile is the norm of one kind and silences the other: use
    `Spikes` there.

    The first step is never clipped: it is its own percentile. As long as the
    norms are so few that the largest one enters the percentile, it counts as
    at most four times the second largest, so that a spike at the second update
    is not let through at a tenth. Norms that are
    zero or not finite are not recorded, else a few of them would drag the
    threshold to zero for good.

    Args:
        percentile: Float in [0, 100]. With 10, nine steps of ten are clipped,
            to the norm of a calm one: the step size is then nearly constant,
            as the paper recommends. With 90, only the top tenth is: use it
            where the norms are informative and only spikes should go. With
            100 nothing is clipped, only measured, and the weights are
            bit-equal to those of the inner optimizer. With 0 the smallest
            norm of the window rules. In `benchmarks/clipping.py`, a regression
            with one spiked batch in a hundred ends at 0.064, 0.063 and 0.064
            for 10, 50 and 90, and at 108 for 100. Defaults to `10.0`.
        window: Int >= 1, how many norms to remember. A larger one gives a
            steadier threshold (its error for steady norms is 4.7 % at 256 and
            2.3 % at 1000, at percentile 10), a smaller one follows norms that
            drift (6 % off at 256, 21 % at 1000, 56 % if all were kept).
            Defaults to `256`.

    Example:
        >>> import keras
        >>> import keras_gradguard as kgg
        >>> optimizer = kgg.AutoClip(
        ...     keras.optimizers.Adam(1e-3), clipper="percentile")
        >>> optimizer.clipper
        Percentile(percentile=10.0, window=256)

    References:
        - [AutoClip: Adaptive Gradient Clipping for Source Separation Networks,
          Seetharaman et al., 2020](https://arxiv.org/abs/2007.14469)
    """

    def __init__(self, percentile: float = 10.0, window: int = 256) -> None:
        self.percentile = check_number(
            "AutoClip",
            "percentile",
            percentile,
            minimum=0,
            maximum=100,
            hint=(
                "It is a percentage: pass 10.0, not 0.1, for the lowest tenth."
            ),
        )
        self.window = check_int(
            "AutoClip",
            "window",
            window,
            minimum=1,
            hint="It is the number of gradient norms to remember.",
        )
        # The current norm is among those remembered: none exceeds the largest.
        self.only_observes = self.percentile == 100.0

    def state_shapes(self, variables: list) -> dict:
        del variables
        # The norms, newest first, and the same ones, largest first.
        return {"history": (self.window,), "ranking": (self.window,)}

    def adapt_state(self, saved: dict, shapes: dict) -> dict:
        if "history" not in saved or saved["history"].ndim != 1:
            return {}
        kept = saved["history"][: self.window]
        history = np.pad(kept, (0, self.window - len(kept)))
        return {"history": history, "ranking": np.sort(history)[::-1]}

    def threshold(self, norm: Any, state: dict) -> tuple:
        history, ranking = state["history"], state["ranking"]
        ranking = functional.replace_sorted(ranking, history[-1], norm)
        history = functional.push(history, norm)
        if not self.only_observes and self.window > 1:
            kept = functional.temper(ranking, _MOST_OVER_SECOND)
        else:
            kept = ranking
        threshold = functional.percentile(kept, self.percentile)
        return threshold, {"history": history, "ranking": ranking}

    def get_config(self) -> dict:
        return {"percentile": self.percentile, "window": self.window}
