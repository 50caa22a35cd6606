"""Why a model cannot be recorded, or nothing came of it."""

import keras

from keras_gradguard.models import optimizers


def why_nothing(model):
    """Return why steps ran and no record came."""
    if not model.trainable_variables:
        return "the model has no trainable variables"
    return (
        "the train step never called `apply` of the model's optimizer: a "
        "custom `train_step` has to end in "
        "`self.optimizer.apply(gradients, variables)`"
    )


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
