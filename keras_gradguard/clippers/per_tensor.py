"""Clip each tensor's gradient to its own running norm."""

from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import Clipped
from keras_gradguard.clippers.clipper import Clipper
from keras_gradguard.clippers.unitwise import variable_path


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PerTensor(Clipper):
    """Clips each tensor to a multiple of its own running norm (AdaGC).

    A spike in one layer then changes that layer only, where a global norm cuts
    all layers by the same factor, or does not see it beside larger ones. Each
    tensor has a norm `r`: after the warm-up its gradient `G` is multiplied by
    `min(1, ratio * r / norm(G))`, and `r` becomes
    `decay * r + (1 - decay) * norm(clipped G)`.

    In the warm-up, all gradients are scaled so that their global norm is at
    most `warmup_norm`, and `r` is the smallest norm that each tensor had then.
    A tensor whose gradient has been zero so far is not clipped. What is not
    finite changes no `r`. The direction of the whole gradient changes.

    Args:
        ratio: Float >= 1, multiple of its running norm that a tensor's
            gradient may have. Larger clips less. Defaults to `1.05`, as in the
            paper.
        decay: Float in [0, 1], decay of the running norm per step. Larger
            remembers longer. Defaults to `0.98`, as in the paper.
        warmup_steps: Int >= 0, steps in which the global norm is clipped.
            Defaults to `100`, as in the paper.
        warmup_norm: Float > 0, the global norm at most in these steps. It is
            the one number here that depends on the scale of the loss. Larger
            clips less. Defaults to `1.0`, as in the paper.

    Example:
        >>> import keras_gradguard as kgg
        >>> kgg.AutoClip("adam", clipper="per_tensor", warmup_steps=20).clipper
        PerTensor(ratio=1.05, decay=0.98, warmup_steps=20, warmup_norm=1.0)

    References:
        - [AdaGC: Improving Training Stability for Large Language Model
          Pretraining, Wang et al., 2025](https://arxiv.org/abs/2502.11034)
    """

    def __init__(
        self,
        ratio: float = 1.05,
        decay: float = 0.98,
        warmup_steps: int = 100,
        warmup_norm: float = 1.0,
    ) -> None:
        self.ratio = check_number(
            "AutoClip",
            "ratio",
            ratio,
            minimum=1,
            hint="It is a multiple of the running norm: try 1.05.",
        )
        self.decay = check_number(
            "AutoClip",
            "decay",
            decay,
            minimum=0,
            maximum=1,
            hint="It is the share of the running norm kept per step.",
        )
        self.warmup_steps = check_int(
            "AutoClip",
            "warmup_steps",
            warmup_steps,
            minimum=0,
            hint="Pass 0 for no warm-up.",
        )
        self.warmup_norm = check_number(
            "AutoClip",
            "warmup_norm",
            warmup_norm,
            above=0,
            hint="It is the largest global norm of the warm-up.",
        )
        self._places: dict[str, int] = {}

    def state_shapes(self, variables: list[Any]) -> dict[str, Any]:
        # By path, as an optimizer may be copied.
        for place, variable in enumerate(variables):
            self._places[variable_path(variable)] = place
        return {"count": (), "norms": (len(variables),)}

    def clip(
        self,
        gradients: list[Any],
        variables: list[Any],
        norm: Any,
        state: dict[str, Any],
    ) -> Clipped:
        backend = _backend.current()
        merged = [backend.merge_rows(g) for g in gradients]
        observed = backend.barrier([backend.values_of(g) for g in merged])
        norms = ops.cast(backend.l2_norms(observed), "float32")
        places = [self._places[variable_path(v)] for v in variables]
        kept, count = state["norms"], state["count"]
        before = _take(kept, places)
        warm = count < self.warmup_steps

        ceiling = stats.full((), self.warmup_norm)
        # What one norm or another may be.
        known = before > 0
        limits = ops.where(known, self.ratio * before, norms)
        measured = ops.where(warm, norm * ops.ones_like(norms), norms)
        limits = ops.where(warm, ceiling, limits)
        factors = functional.clip_coefficients(measured, limits)
        after = norms
        for factor in factors:
            after = after * factor
        after_warm = ops.where(known, ops.minimum(before, after), after)
        after_all = ops.where(
            known, self.decay * before + (1 - self.decay) * after, after
        )
        running = ops.where(warm, after_warm, after_all)

        clipped = [
            functional.scale(gradient, *(factor[i] for factor in factors))
            for i, gradient in enumerate(gradients)
        ]
        ratio = stats.full((), self.ratio)
        return Clipped(
            clipped,
            ops.where(warm, ceiling, ratio),
            ops.any(measured > limits),
            {
                "count": ops.minimum(
                    count + 1, stats.full((), float(self.warmup_steps))
                ),
                "norms": _put(kept, places, running),
            },
            lambda: stats.global_norm(after),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "ratio": self.ratio,
            "decay": self.decay,
            "warmup_steps": self.warmup_steps,
            "warmup_norm": self.warmup_norm,
        }


def _take(vector: Any, places: list[int]) -> Any:
    if places == list(range(vector.shape[0])):
        return vector
    places = _backend.current().constant(places, "int32", vector)
    return ops.take(vector, places, axis=0)


def _put(vector: Any, places: list[int], values: Any) -> Any:
    """The vector with other values in some places."""
    width = vector.shape[0]
    if places == list(range(width)):
        return values
    source = list(range(width))
    for i, place in enumerate(places):
        source[place] = width + i
    both = ops.concatenate([vector, values], axis=0)
    source = _backend.current().constant(source, "int32", both)
    return ops.take(both, source, axis=0)
