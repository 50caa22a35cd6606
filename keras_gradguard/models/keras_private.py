"""The private names of Keras that this package uses, one function each."""

import contextlib
import sys

from keras.src.utils import module_utils


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
