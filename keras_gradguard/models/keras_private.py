"""The private names of Keras that this package uses, one function each."""

import contextlib
import sys

from keras import tree
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


def calls_of(function):
    """Return which operation takes whose output, inside a functional model.

    `get_config` tells as much, but only of models all of whose layers can be
    serialized, and whose class has no config of its own. Nodes, and the
    history of symbolic tensors, are what Keras 3 has built it from since 3.0.

    Args:
        function: A `keras.Function`, above all a functional model.

    Returns:
        Tuple of the operations that give its inputs, a dict from the id of
        every other operation to the list of those whose outputs it takes, over
        all its calls, and the operations that give its outputs.

    Raises:
        RuntimeError: If this Keras keeps them elsewhere.
    """
    try:
        return _calls_of(function)
    except (AttributeError, IndexError, TypeError) as error:
        raise RuntimeError(
            "keras_gradguard: this Keras release keeps the graph of a model "
            f"in another place ({error}). Update keras-gradguard."
        ) from error


def _calls_of(function):
    inputs = [_maker(tensor)[0] for tensor in function.inputs]
    outputs = [_maker(tensor)[0] for tensor in function.outputs]
    own = {id(tensor) for tensor in function.inputs}
    todo, nodes = list(function.outputs), {}
    while todo:
        tensor = todo.pop()
        operation, at = _maker(tensor)
        if id(tensor) in own or (id(operation), at) in nodes:
            continue
        taken = operation._inbound_nodes[at].input_tensors
        nodes[id(operation), at] = [_maker(before)[0] for before in taken]
        todo.extend(taken)
    sources: dict = {}
    for key, at in sorted(nodes):
        sources.setdefault(key, []).extend(nodes[key, at])
    return inputs, sources, outputs


def _maker(tensor):
    operation, at, _ = tensor._keras_history
    return operation, at


def build_from(model, x, **arguments):
    """Build all layers of a model, as `fit` does: without computing anything.

    What is made in the trace of a compiled function would be left there.
    `compute_output_spec` has been what the trainer builds by since 3.0; its
    public namesake on layers does not build.

    Args:
        model: A Keras model.
        x: Structure of arrays.
        **arguments: What else its call takes.
    """
    from keras.src import backend

    def symbol(array):
        if array is None:
            return None
        name = "string" if array.dtype.kind in "OUS" else array.dtype.name
        if name == "float64":
            name = backend.floatx()
        return backend.KerasTensor(array.shape, backend.standardize_dtype(name))

    symbols = tree.map_structure(symbol, x)
    backend.compute_output_spec(model, symbols, **arguments)
