"""The private names of Keras that this package uses, one function each."""

import contextlib
import sys

from keras.src.utils import module_utils

from keras_gradguard.models.patches import Patches


def make_train_function(model, train_step, every_step=False):
    """Return what Keras makes as `model.train_function` of another step.

    Up to 3.15 Keras on torch looks `train_step` up whenever it runs, else when
    it makes the function.

    Args:
        model: A compiled Keras model; it stays as it is.
        train_step: Callable to be used as `model.train_step`.
        every_step: Whether the function gives the logs of all steps of an
            execution, concatenated. For JAX: `_make_function` has done so for
            `predict` since 3.0.
    """

    def make_concatenating(make):
        def _make_function(*args, **kwargs):
            return make(*args, **{**kwargs, "concatenate_outputs": True})

        return _make_function

    present = model.train_function
    patches = Patches()
    patches.replace(model, "train_step", lambda _: train_step)
    if every_step:
        patches.replace(model, "_make_function", make_concatenating)
    try:
        model.make_train_function(force=True)
        function = model.train_function
    finally:
        patches.undo()
        model.train_function = present
    if hasattr(model, "_make_function"):
        return function

    def train_function(*args):
        patches = Patches()
        patches.replace(model, "train_step", lambda _: train_step)
        try:
            return function(*args)
        finally:
            patches.undo()

    return train_function


def loss_weights(model):
    """Return the `loss_weights` that a model was compiled with, or None.

    `get_compile_config` gives them, too, but serializes all there is for it.
    `CompileLoss` has kept them under this name since Keras 3.0.

    Args:
        model: A Keras model.
    """
    return getattr(model._compile_loss, "_user_loss_weights", None)


@contextlib.contextmanager
def without_tensorflow():
    """Let Keras serialize without an import of TensorFlow.

    Since 3.0 its serializer asks whether TensorFlow is installed, to treat
    TensorFlow's own types, and imports it to know: half a gigabyte, seconds,
    lines of log. Where it has not been imported, nothing is of its types.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    before = module_utils.tensorflow._available
    module_utils.tensorflow._available = False
    try:
        yield
    finally:
        module_utils.tensorflow._available = before
