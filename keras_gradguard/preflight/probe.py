"""Runs a model once, on the side: what its layers give, which gradients.

Everything goes through `stateless_call`: weights, statistics of batch
normalization and states of random generators are read and never written.
"""

import contextlib
import dataclasses
import inspect
import random
import sys

import keras
import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.outputs import loss_weights_of
from keras_gradguard.models.outputs import losses_of
from keras_gradguard.models.patches import Patches

_LOOPS = (
    keras.layers.RNN,
    keras.layers.TimeDistributed,
    keras.layers.Bidirectional,
)
# Of larger outputs only some rows are read.
_READ = 4_000_000


@dataclasses.dataclass(slots=True)
class LayerSignal:
    """What a layer took and gave in one forward pass.

    Attributes:
        layer: The layer.
        path: Its path.
        inputs: List of float arrays, only of layers that own weights.
        output: Array, the first tensor that it gave.
        last: Whether the model gives this tensor as an output.
    """

    layer: object
    path: str
    inputs: list
    output: np.ndarray
    last: bool = False


@contextlib.contextmanager
def random_state_kept():
    """Put Python's, NumPy's and torch's random states back at the end."""
    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(torch_state)


def forward(model, x):
    """Run a model in training mode and note what its layers give.

    Layers that run inside another one's loop over time are not looked at.

    Args:
        model: A built Keras model.
        x: Structure of arrays.

    Returns:
        Dict from `id(layer)` to `LayerSignal`, in the order of the calls, and
        the outputs as a flat list of arrays.
    """
    inputs = _tensors(x)
    training = training_argument(model)
    layers = {id(layer): layer for layer in _seen_layers(model)}
    kept: dict = {}
    last: list = []

    def run(trainable, rest):
        kept.clear()
        patches = Patches()
        try:
            for layer in layers.values():
                patches.replace(layer, "call", _noting(layer, kept))
            outputs, _ = model.stateless_call(
                trainable, rest, inputs, **training
            )
        finally:
            patches.undo()
        flat = keras.tree.flatten(outputs)
        ids = {id(output) for output in flat}
        last[:] = [key for key, (_, first) in kept.items() if id(first) in ids]
        notes = [([_thin(t) for t in i], _thin(f)) for i, f in kept.values()]
        return flat, notes

    values = (
        _values(model.trainable_variables),
        _values(model.non_trainable_variables),
    )
    flat, notes = _backend.current().run_whole(run, *values)
    signals = {}
    for key, (taken, given) in zip(list(kept), notes, strict=True):
        signals[key] = LayerSignal(
            layers[key],
            layer_path(layers[key]),
            [_array(tensor) for tensor in taken],
            _array(given),
            key in last,
        )
    return signals, [_array(output) for output in flat]


def training_argument(model):
    """Return `{"training": True}` if a model's `call` takes it, else {}."""
    parameters = inspect.signature(model.call).parameters.values()
    takes = any(
        p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters
    )
    return {"training": True} if takes else {}


def _seen_layers(model):
    """Return the layers to look at, none inside a loop over time."""
    looped = {
        id(inner)
        for layer in forward_layers(model)
        if isinstance(layer, _LOOPS)
        for inner in forward_layers(layer)[1:]
    }
    return [
        layer
        for layer in forward_layers(model)
        if not isinstance(layer, keras.Model) and id(layer) not in looped
    ]


def _noting(layer, kept):
    def make(original):
        def call(*args, **kwargs):
            result = original(*args, **kwargs)
            tensors = keras.tree.flatten(result)
            if tensors and id(layer) not in kept:
                own = keras_private.own_variables(layer) or layer.weights
                taken = [
                    tensor
                    for tensor in keras.tree.flatten(args)
                    if own and hasattr(tensor, "shape")
                ]
                kept[id(layer)] = (taken, tensors[0])
            return result

        return call

    return make


def _thin(tensor):
    size = int(np.prod(tensor.shape))
    if size <= _READ or not tensor.shape:
        return tensor
    rows = max(1, int(tensor.shape[0]) * _READ // size)
    return tensor[:rows]


def _array(tensor):
    if "float" in keras.backend.standardize_dtype(tensor.dtype):
        tensor = ops.cast(tensor, "float32")
    return np.asarray(ops.convert_to_numpy(tensor))


def _values(variables):
    read = _backend.current().read
    return [read(variable) for variable in variables]


def _tensors(x):
    def convert(leaf):
        if leaf is None or leaf.dtype.kind not in "biuf":
            return leaf
        if leaf.dtype == np.float64:
            leaf = leaf.astype(keras.config.floatx())
        return ops.convert_to_tensor(leaf)

    return keras.tree.map_structure(convert, x)


def gradients(model, x, y):
    """Return the loss and the gradient of each trainable variable.

    Args:
        model: A built, compiled Keras model whose loss is Keras's.
        x: Structure of arrays.
        y: Structure of arrays.

    Returns:
        Tuple of the loss and a list, one entry for each of
        `model.trainable_variables`: array, or None where there is none.

    Raises:
        ValueError: If targets and outputs do not fit the losses.
    """
    rest = _values(model.non_trainable_variables)
    inputs, targets = (
        _tensors(x),
        [_tensors(leaf) for leaf in _leaves(model, y)],
    )
    losses, weights = losses_of(model), _loss_weights(model)
    training = training_argument(model)

    def loss_of(values):
        outputs, _, extra = model.stateless_call(
            values, rest, inputs, return_losses=True, **training
        )
        total = sum(ops.cast(value, "float32") for value in extra)
        flat = keras.tree.flatten(outputs)
        if not len(flat) == len(losses) == len(targets):
            raise ValueError(
                f"check: the loss cannot be computed. Expected a loss and "
                f"targets for each of {len(flat)} outputs but found "
                f"{len(losses)} losses and {len(targets)} targets."
            )
        for weight, loss, target, output in zip(
            weights or [1.0] * len(flat), losses, targets, flat, strict=True
        ):
            if loss is not None:
                total = total + weight * _mean_loss(loss, target, output)
        return total

    value, grads = _backend.current().gradients(
        loss_of, _values(model.trainable_variables)
    )
    return float(ops.convert_to_numpy(value)), [
        None if grad is None else _array(grad) for grad in grads
    ]


def _leaves(model, y):
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(y, dict) and names and set(y) == set(names):
        return [y[name] for name in names]
    return [leaf for leaf in keras.tree.flatten(y) if leaf is not None]


def targets_of(model, y):
    """Return the targets of each output, a flat list; [] without targets."""
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
    if len(target.shape) == len(output.shape) - 1 and output.shape[-1] == 1:
        target = ops.expand_dims(target, -1)
    loss = keras.losses.get(loss)
    value = loss(target, output)
    return ops.mean(ops.cast(value, "float32"))


def _is_float(tensor):
    return "float" in keras.backend.standardize_dtype(tensor.dtype)
