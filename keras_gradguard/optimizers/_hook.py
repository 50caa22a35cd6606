"""The one private method of Keras that `AutoClip` builds on.

`Optimizer._clip_gradients(gradients)` is where Keras clips: after the loss
scale is divided out and the micro-batches are averaged, before weight decay
and the update. No public method sees the gradients at that point.
"""

import inspect
from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.models import keras_private


def resolve_inner(inner):
    """Return the optimizer that a name or a config stands for.

    Args:
        inner: What the user passed as `inner_optimizer`.

    Raises:
        ValueError: If Keras knows none of that name, or it is no config.
    """
    if not isinstance(inner, str | dict):
        return inner
    try:
        return keras.optimizers.get(inner)
    except Exception as error:
        raise ValueError(
            "AutoClip: `inner_optimizer` must be a Keras optimizer or its "
            f"name. Received: inner_optimizer={shown(inner)}, which Keras "
            'does not know. Pass for instance "adam".'
        ) from error


def check_inner(inner):
    """Raise if `inner` is nothing whose gradients can be clipped.

    Args:
        inner: What the user passed as `inner_optimizer`.

    Raises:
        TypeError: If it is no optimizer.
        ValueError: If it wraps optimizers itself, or clips itself.
    """
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise TypeError(
            "AutoClip: `inner_optimizer` must be a Keras optimizer or its "
            f"name. Received: inner_optimizer={shown(inner)} (of type "
            f"{type(inner).__name__}). Pass for instance "
            "`keras.optimizers.Adam(1e-3)`."
        )
    kind = type(inner).__name__
    if isinstance(inner, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "AutoClip: `inner_optimizer` must not scale the loss itself. "
            f"Received: inner_optimizer={kind}. Swap the two: "
            "`LossScaleOptimizer(AutoClip(...))`, which is also what `compile` "
            "makes of an AutoClip under `mixed_float16`."
        )
    if hasattr(inner, "optimizers"):
        raise ValueError(
            "AutoClip: `inner_optimizer` must be a single optimizer. "
            f"Received: inner_optimizer={kind}. Wrap its members instead: "
            '`MultiOptimizer(OptimizerMap(AutoClip(Adam()), {"embedding/.*": '
            "AutoClip(SGD())}))`; each of them then has a threshold of its own."
        )
    if hasattr(inner, "inner_optimizer"):
        raise ValueError(
            "AutoClip: `inner_optimizer` must not be a wrapper. "
            f"Received: inner_optimizer={kind}. Wrap the innermost optimizer: "
            f"`{kind}(AutoClip(...))`."
        )
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        value = getattr(inner, name, None)
        if value is not None:
            clipper = "value" if name == "clipvalue" else "norm"
            raise ValueError(
                "AutoClip: `inner_optimizer` must not clip gradients itself. "
                f"Received: inner_optimizer={kind} with {name}={shown(value)}. "
                f"Remove `{name}`; for a constant use `AutoClip(..., "
                f'clipper="{clipper}", threshold={shown(value)})`.'
            )


def replace_clipping(inner, clip):
    """Make `inner` clip with `clip`, a function from gradients to gradients.

    Args:
        inner: The optimizer that applies the update.
        clip: Takes and returns a list of gradients.

    Raises:
        RuntimeError: If this Keras has no such method any more.
    """

    def make(original: Any) -> Any:
        try:
            parameters = list(inspect.signature(original).parameters)
        except TypeError:
            parameters = []
        if len(parameters) != 1:
            raise RuntimeError(
                f"AutoClip: attaching to {type(inner).__name__} failed at "
                "build. Expected a method `_clip_gradients(gradients)` but "
                f"found {parameters or 'none'}. Keras {keras.__version__} is "
                "newer than this package knows. Upgrade keras-gradguard, or "
                "keep the Keras you had."
            )
        return clip

    keras_private.replace_clipping(inner, make)


def check_was_called(inner, called):
    """Raise if the update did not go through the replaced method."""
    if not called:
        raise RuntimeError(
            f"AutoClip: clipping in {type(inner).__name__} failed at the first "
            "update. Expected it to call `_clip_gradients`, as Keras "
            "optimizers do, but found an `apply` that does not. Its gradients "
            "would stay as they are. Use an optimizer that keeps `apply`, or "
            "clip inside of it."
        )
