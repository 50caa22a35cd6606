"""Carries out the changes that remedies name, on copies of a model."""

from collections.abc import Callable

from keras_gradguard.edits import hidden
from keras_gradguard.edits import output
from keras_gradguard.edits import replace
from keras_gradguard.edits import training
from keras_gradguard.models import keras_private
from keras_gradguard.models import rebuild
from keras_gradguard.models.host_draws import drawing_on_host
from keras_gradguard.models.rebuild import OWNER
from keras_gradguard.models.rebuild import check_model
from keras_gradguard.models.rebuild import copy

__all__ = ["EDITS", "SEVERAL", "apply", "check_model", "copy"]

# Changes one after the other, each of them one of the following.
SEVERAL = "several"
EDITS: dict[str, Callable] = {
    "change_output": output.change_output,
    "scale_targets": output.scale_targets,
    "normalize_inputs": output.normalize_inputs,
    "rescale_inputs": output.rescale_inputs,
    "set_learning_rate": training.set_learning_rate,
    "schedule": training.schedule,
    "warm_up": training.warm_up,
    "set_optimizer": training.set_optimizer,
    "change_optimizer": training.change_optimizer,
    "clip": training.clip,
    "accumulate": training.accumulate,
    "convert": hidden.convert,
    "change_layers": replace.change_layers,
    "remove_layers": replace.remove_layers,
    "change_recurrent": hidden.change_recurrent,
    "reinitialize": rebuild.reinitialize,
}


@keras_private.without_tensorflow()
@drawing_on_host()
def apply(model, action, arguments):
    """Return a new model with a change made.

    The new model is compiled as the old one, with a fresh optimizer. Layers
    that the change leaves alone keep their weights. The old one is untouched.
    On JAX new weights are drawn by NumPy, which compiles nothing.

    Args:
        model: A `Sequential` or functional model, built.
        action: Str. Name of the change, or `"several"`.
        arguments: Dict of its arguments.

    Returns:
        The new model.

    Raises:
        TypeError: If `model` is subclassed, or no model.
        ValueError: If the change cannot be made in this model.
    """
    check_model(OWNER, model)
    if action == SEVERAL:
        for change in arguments["changes"]:
            model = apply(model, change["action"], change["arguments"])
        return model
    if action not in EDITS:
        known = sorted([*EDITS, SEVERAL])
        raise ValueError(
            f"{OWNER}: `action` must be one of {known}. Received: "
            f"action={action!r}. Update keras-gradguard."
        )
    return EDITS[action](model, **arguments)
