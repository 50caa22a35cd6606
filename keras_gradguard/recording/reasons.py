"""Why a model cannot be recorded, or nothing came of it."""

import re

import keras

from keras_gradguard.models import optimizers

_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_LONGEST = 160
# TensorFlow says where in the graph it was first, and at the end what.
_BEGIN, _END = 200, 2000


def why_nothing(model):
    """Return why steps ran and no record came."""
    if not model.trainable_variables:
        return "the model has no trainable variables"
    return (
        "the train step never called `apply` of the model's optimizer: a "
        "custom `train_step` has to end in "
        "`self.optimizer.apply(gradients, variables)`"
    )


def why_not_yet(batches, every):
    """Return why no step was due to be recorded yet.

    Args:
        batches: Int, batches that make an update.
        every: Int. One in so many updates is recorded.
    """
    reasons = []
    if batches > 1:
        reasons.append(f"an update takes the gradients of {batches} batches")
    if every > 1:
        reasons.append(f"one update in {every} is recorded")
    told = " and ".join(reasons) or "it took no step"
    return f"`fit` ended before a step was due to be: {told}"


def why_left(error):
    """Return why a `fit` that an exception leaves has no record.

    Args:
        error: The exception, or None where it is not known.
    """
    if error is None:
        return "an exception ended `fit` in its first step"
    told = _words_of(error)
    told = told if len(told) <= _LONGEST else told[: _LONGEST - 3] + "..."
    said = f": {told.rstrip('.:')}" if told else ""
    return f"{type(error).__name__} ended `fit` in its first step{said}"


def said_of(error):
    """Return what an exception that leaves a `fit` says, shortened in between.

    Args:
        error: The exception, or None where it is not known.

    Returns:
        Str, or None where it is none that tells of a fault.
    """
    if not isinstance(error, Exception):
        return None
    told = _words_of(error)
    if len(told) > _BEGIN + _END:
        told = f"{told[:_BEGIN]} ... {told[-_END:]}"
    return f"{type(error).__name__}: {told}"


def _words_of(error):
    """Return what an exception says, on one line and without colours."""
    return " ".join(_COLOURS.sub("", str(error)).split())


def why_blind(model):
    """Return why nothing of a compiled model can be recorded, or None."""
    if model.optimizer is None:
        return "the model has no optimizer"
    if _is_torch_compiled(model):
        return (
            "torch.compile rewrites the step, and reading what runs in it "
            "would change how it is fused; to have it recorded, call "
            "`model.compile` without `jit_compile=True`"
        )
    reasons = [
        optimizers.why_unreadable(leaf)
        for optimizer in optimizers.all_of(model)
        for leaf in optimizers.leaves(optimizer)
    ]
    if reasons and all(reasons):
        return reasons[0]
    return None


def _is_torch_compiled(model):
    """Whether Keras runs the step of a model by `torch.compile`."""
    return keras.backend.backend() == "torch" and bool(model.jit_compile)
