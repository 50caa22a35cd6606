"""The loss of a train step: whether it is the compiled one, and its scope."""

import keras

_OF_KERAS = ("compute_loss", "compute_loss_and_updates")


def computes_loss(model):
    """Whether the train step of a model computes its loss as Keras's does.

    One of the user's own may call `compute_loss`, or Keras's by `super`.

    Args:
        model: A Keras model.
    """
    for cls in type(model).__mro__:
        step = vars(cls).get("train_step")
        if step is None:
            continue
        if cls.__module__.startswith("keras.") or cls is keras.Model:
            return True
        code = getattr(step, "__code__", None)
        names = getattr(code, "co_names", ())
        if any(name in names for name in _OF_KERAS):
            return True
        if "train_step" not in names:
            return False
    return False


def scope_beside(model):
    """Scope in which a model runs and changes no variable.

    Keras asks the scope for the weights that have a regularizer, and takes
    what it does not hold for missing.

    Args:
        model: A Keras model.
    """
    pairs = [
        (variable, variable.value)
        for variable in model.trainable_weights
        if getattr(variable, "regularizer", None) is not None
    ]
    return keras.StatelessScope(pairs, collect_losses=True)
