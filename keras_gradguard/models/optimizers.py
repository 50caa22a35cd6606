"""How a Keras optimizer is made up."""

import keras
import numpy as np

from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers


def chain(optimizer):
    """An optimizer and all that it wraps, outermost first.

    Args:
        optimizer: A Keras optimizer: plain, a wrapper with
            `inner_optimizer`, or one with several `optimizers`.

    Returns:
        List of optimizers, each once.
    """
    found: list = []
    queue = [optimizer]
    while queue:
        current = queue.pop(0)
        if any(current is f for f in found):
            continue
        found.append(current)
        inner = getattr(current, "inner_optimizer", None)
        if inner is not None:
            queue.append(inner)
        elif isinstance(current, keras.optimizers.Optimizer):
            queue.extend(_members(current))
    return found


def _members(optimizer):
    members = getattr(type(optimizer), "optimizers", None)
    return list(optimizer.optimizers) if members is not None else []


def leaves(optimizer):
    """The optimizers of a chain that really update variables."""
    return [
        o
        for o in chain(optimizer)
        if getattr(o, "inner_optimizer", None) is None and not _members(o)
    ]


def all_of(model):
    """The optimizers that a train step of a model may apply.

    A `train_step` of the user's own may use others than the one that the
    model was compiled with, as that of a GAN does: those are found among the
    attributes of the model and of the models in it. On JAX there are none,
    since Keras carries the state of `model.optimizer` only.

    Args:
        model: A compiled Keras model.

    Returns:
        List of optimizers, `model.optimizer` first.
    """
    found = [model.optimizer]
    own_step = type(model).train_step is not keras.Model.train_step
    if not own_step or keras.backend.backend() == "jax":
        return found
    known = {id(o) for o in chain(model.optimizer)}
    for layer in forward_layers(model):
        for value in list(vars(layer).values()):
            for each in _listed(value):
                if not isinstance(each, keras.optimizers.Optimizer):
                    continue
                if id(each) not in known:
                    known.update(id(o) for o in chain(each))
                    found.append(each)
    return found


def _listed(value):
    if isinstance(value, list | tuple):
        return list(value)
    return list(value.values()) if isinstance(value, dict) else [value]


def loss_scalers(optimizer):
    """The `LossScaleOptimizer`s of a chain."""
    return [
        o
        for o in chain(optimizer)
        if isinstance(o, keras.optimizers.LossScaleOptimizer)
    ]


def adaptive_clippers(optimizer):
    """The `AutoClip`s of a chain, known by what they offer."""
    return [o for o in chain(optimizer) if hasattr(o, "_observe")]


def why_unreadable(optimizer):
    """Why an optimizer's gradients cannot be read, or None.

    Args:
        optimizer: One of `leaves`.

    Returns:
        A sentence, or None if it can be read.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return (
            f"{type(optimizer).__name__} is no keras.optimizers.Optimizer, "
            "and its gradients pass through no method that is known"
        )
    missing = keras_private.missing_method(optimizer)
    if missing:
        return (
            f"{type(optimizer).__name__} has no {missing!r}, which every "
            "known Keras release calls with the gradients"
        )
    return None


def clipped_norm(optimizer, norms):
    """Global norm after Keras's own clipping, from the norms before it.

    Reading the clipped tensors would make XLA fuse the update differently.
    Keras clips each variable to `clipnorm`, or all as one vector to
    `global_clipnorm`; both follow from the norms.

    Args:
        optimizer: Leaf optimizer.
        norms: Float array `(n, V)`, norms before clipping of the variables
            that have a gradient.

    Returns:
        Float64 array `(n,)`. NaN where a norm is not finite, since Keras
        then divides infinity by infinity.
    """
    norms = norms.astype("float64")
    if optimizer.clipnorm:
        clipped = np.minimum(norms, optimizer.clipnorm)
        clipped = np.sqrt(np.square(clipped).sum(axis=1))
    else:
        clipped = np.sqrt(np.square(norms).sum(axis=1))
        clipped = np.minimum(clipped, optimizer.global_clipnorm)
    return np.where(np.isfinite(norms).all(axis=1), clipped, np.nan)


def clips_by_norm(optimizer):
    """Whether `clipped_norm` tells what a leaf optimizer does.

    Args:
        optimizer: Leaf optimizer, not patched.
    """
    return keras_private.clips_as_keras(optimizer) and bool(
        optimizer.clipnorm or optimizer.global_clipnorm
    )


def build_members(model):
    """Let a `MultiOptimizer` find its members, as other backends' fits do."""
    optimizer = model.optimizer
    several = hasattr(type(optimizer), "optimizers")
    if several and model.built and not optimizer.built:
        with keras.name_scope(optimizer.name):
            optimizer.build(model.trainable_variables)
