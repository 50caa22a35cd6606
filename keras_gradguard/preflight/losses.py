"""The loss that a model is compiled with, of outputs and targets."""

import keras
from keras import ops

from keras_gradguard.models.outputs import loss_weights_of
from keras_gradguard.models.outputs import losses_of
from keras_gradguard.models.run_info import is_plain_loss


def total_loss(model, flat, targets, extra):
    """Return the loss that a model is compiled with, and what was added.

    Raises:
        ValueError: If targets and outputs do not fit the losses.
    """
    losses, weights = losses_of(model), _loss_weights(model)
    if not len(flat) == len(losses) == len(targets):
        raise ValueError(
            f"check: the loss cannot be computed. Expected a loss and "
            f"targets for each of {len(flat)} outputs but found "
            f"{len(losses)} losses and {len(targets)} targets."
        )
    total = sum(ops.cast(value, "float32") for value in extra)
    for weight, loss, target, output in zip(
        weights or [1.0] * len(flat), losses, targets, flat, strict=True
    ):
        if loss is not None and target is None:
            raise ValueError("check: targets are missing for an output.")
        if loss is not None:
            total = total + weight * _mean_loss(loss, target, output)
    return total


def _leaves(model, y):
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(y, dict) and names and set(y) <= set(names):
        # Outputs without a loss may do without targets, as in `fit`.
        return [y.get(name) for name in names]
    return [leaf for leaf in keras.tree.flatten(y) if leaf is not None]


def targets_of(model, y):
    """Return the targets of each output, a flat list; [] without targets.

    One of them is None where an output has none.
    """
    return [] if y is None else _leaves(model, y)


def _loss_weights(model):
    weights = loss_weights_of(model)
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(weights, dict):
        return [weights.get(name, 1.0) for name in names]
    if isinstance(weights, list | tuple):
        return list(weights)
    return None if weights is None else [weights]


def _mean_loss(loss, target, output):
    output = ops.cast(output, "float32") if _is_float(output) else output
    column = len(output.shape) == len(target.shape) + 1
    if column and output.shape[-1] == 1 and not is_plain_loss(loss):
        target = ops.expand_dims(target, -1)
    loss = keras.losses.get(loss)
    value = loss(target, output)
    return ops.mean(ops.cast(value, "float32"))


def _is_float(tensor):
    return "float" in keras.backend.standardize_dtype(tensor.dtype)
