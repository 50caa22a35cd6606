"""Clip to a constant, as `global_clipnorm` and `clipvalue` of Keras do."""

from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._validation import check_number
from keras_gradguard.clippers.clipper import Clipped
from keras_gradguard.clippers.clipper import Clipper
from keras_gradguard.clippers.clipper import NormClipper
from keras_gradguard.clippers.clipper import Tensor


@keras.saving.register_keras_serializable(package="keras_gradguard")
class FixedNorm(NormClipper):
    """Clips the norm of all gradients to a constant, direction kept.

    Use it where a good constant is known, and for what `AutoClip` adds to
    `global_clipnorm`: nonfinite gradients are skipped, replicas are reduced
    before the norm is taken, and norms and clipped steps are counted. The
    gradient `[0.9, 100.0]` clipped to norm 1 is `[0.00899, 0.99996]`: it
    points where it pointed.

    Args:
        threshold: Float > 0, the largest norm. Larger clips less. Defaults to
            `1.0`.

    Example:
        >>> import keras_gradguard as kgg
        >>> kgg.AutoClip("adam", clipper="norm", threshold=5.0).clipper
        FixedNorm(threshold=5.0)

    References:
        - [On the difficulty of training recurrent neural networks,
          Pascanu et al., 2013](https://arxiv.org/abs/1211.5063)
    """

    def __init__(self, threshold: float = 1.0) -> None:
        self.max_norm = _check_threshold(threshold)

    def threshold(self, norm: Any, state: Any) -> Any:
        del norm
        return stats.full((), self.max_norm), state

    def get_config(self) -> dict:
        return {"threshold": self.max_norm}


@keras.saving.register_keras_serializable(package="keras_gradguard")
class FixedValue(Clipper):
    """Clips each element of each gradient to a range.

    It changes the direction: `[0.9, 100.0]` clipped to value 1 is
    `[0.9, 1.0]`, where the norm would give `[0.00899, 0.99996]`. Use it where
    single elements explode and the others should keep their size.

    Args:
        threshold: Float > 0, the largest absolute value of an element. Larger
            clips less. Defaults to `1.0`.

    Example:
        >>> import keras_gradguard as kgg
        >>> kgg.AutoClip("adam", clipper="value", threshold=0.5).clipper
        FixedValue(threshold=0.5)
    """

    def __init__(self, threshold: float = 1.0) -> None:
        self.max_value = _check_threshold(threshold)

    def clip(
        self, gradients: list, variables: list, norm: Tensor, state: dict
    ) -> Clipped:
        del variables, norm
        backend, limit = _backend.current(), self.max_value
        clipped, exceeds = [], []
        for gradient in gradients:
            gradient = backend.merge_rows(gradient)
            values = backend.values_of(gradient)
            (observed,) = backend.barrier([values])
            exceeds.append(ops.any(ops.abs(observed) > limit))
            bound = ops.cast(stats.full((), limit), values.dtype)
            clipped.append(
                backend.with_values(gradient, ops.clip(values, -bound, bound))
            )
        return Clipped(
            clipped,
            stats.full((), limit),
            ops.any(ops.stack(exceeds)),
            state,
        )

    def get_config(self) -> dict:
        return {"threshold": self.max_value}


def _check_threshold(threshold: Any) -> float:
    return check_number(
        "AutoClip",
        "threshold",
        threshold,
        above=0,
        hint="Pass the largest norm or value that a gradient may have.",
    )
