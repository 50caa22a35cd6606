"""The loss of a model that computes its own, run beside its training."""

import keras
from keras import ops


class NoLoss(ValueError):
    """A model is compiled without a loss, and no layer adds one."""


def has_own(model):
    """Whether a model computes its loss itself, in Keras's own train step.

    By a `compute_loss` of its own, or by `add_loss` alone. What a train step
    of its own does with a batch, nobody can tell beforehand.

    Args:
        model: A compiled Keras model.
    """
    if not model.compiled or not _of_keras(model, "train_step"):
        return False
    return overrides(model) or getattr(model, "loss", None) is None


def overrides(model):
    """Whether a model has a `compute_loss` of its own.

    Args:
        model: A Keras model.
    """
    return "compute_loss" in vars(model) or not _of_keras(model, "compute_loss")


def _of_keras(model, name):
    return getattr(type(model), name) is getattr(keras.Model, name)


def called(model, values, rest, x, y, training):
    """Call a model and its loss as a train step does, and change nothing.

    Args:
        model: A built Keras model.
        values: List of tensors, for its trainable variables.
        rest: List of tensors, for the other ones.
        x: Structure of tensors.
        y: Structure of targets, or None.
        training: Dict, the argument `training` where `call` takes it.

    Returns:
        The outputs and the loss, a float32 scalar.

    Raises:
        NoLoss: If the model has none.
    """
    mapping = [
        *zip(model.trainable_variables, values, strict=True),
        *zip(model.non_trainable_variables, rest, strict=True),
    ]
    # One scope for both: what layers add in it, `compute_loss` adds up.
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
        outputs = model(x, **training)
        if not overrides(model) and not model.losses:
            raise NoLoss("the model has no loss.")
        loss = model.compute_loss(
            x=x, y=y, y_pred=outputs, sample_weight=None, training=True
        )
    return outputs, ops.mean(ops.cast(loss, "float32"))
