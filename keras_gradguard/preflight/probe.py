"""Runs a model once, on the side: what its layers give, which gradients.

Everything goes through `stateless_call`: weights, statistics of batch
normalization and states of random generators are read and never written.
Forward and backward are one function, which JAX compiles once.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import call_name
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.patches import Patches
from keras_gradguard.models.values import host_copy
from keras_gradguard.preflight import losses
from keras_gradguard.preflight import own_loss
from keras_gradguard.recording.step.time_gradients import TimeTap

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


@dataclasses.dataclass(slots=True)
class Pass:
    """What one pass over a model showed.

    Attributes:
        signals: Dict from `id(layer)` to `LayerSignal`, in the order of the
            calls.
        outputs: List of arrays, the model's outputs.
        loss: Float, None where none was computed.
        grads: List, one entry for each of `model.trainable_variables`: array,
            or None where there is none; [] without a loss.
        error: The exception for which there is no loss, or None.
        again: Callable of a list of arrays that makes the same pass, with
            them as values of the trainable variables. None without a loss.
        loss_with: Callable of a function, by which each array of targets is
            changed, that returns the loss of the same pass. None without one.
    """

    signals: dict
    outputs: list
    loss: float | None = None
    grads: list = dataclasses.field(default_factory=list)
    error: Exception | None = None
    again: Callable | None = None
    loss_with: Callable | None = None


def run(model, x, y=None, loss=True):
    """Run a model in training mode, and note what its layers give.

    Layers that run inside another one's loop over time are not looked at.

    Args:
        model: A Keras model, all of whose layers are built.
        x: Structure of arrays.
        y: Structure of targets, or None.
        loss: Bool. Whether to compute the loss of the model, and gradients.

    Returns:
        A `Pass`.
    """
    forward = _Forward(model)
    start = _values(model.trainable_variables)
    rest = _values(model.non_trainable_variables)
    moving, whole = _taken_apart(x)
    backend = _backend.current()
    if not loss:
        noted = backend.run_whole(
            lambda values, rest, parts: forward(values, rest, whole(parts))[1],
            start,
            rest,
            moving,
        )
        return forward.passed(noted)
    own = own_loss.has_own(model)
    if own:
        targets, whole_y = _taken_apart(y)
    else:
        targets = [_tensors(leaf) for leaf in losses.targets_of(model, y)]

    def loss_of(values, rest, parts, targets):
        if own:
            return forward.with_loss(
                values, rest, whole(parts), whole_y(targets)
            )
        extra, noted = forward(values, rest, whole(parts))
        return losses.total_loss(model, noted[0], targets, extra), noted

    gradients = backend.gradients_of(loss_of)

    def once(values):
        loss, grads, noted = gradients(values, rest, moving, targets)
        passed = forward.passed(noted)
        passed.loss = float(host_copy(loss))
        passed.grads = [None if g is None else _array(g) for g in grads]
        passed.again, passed.loss_with = again, loss_with
        return passed

    def again(values):
        return once([ops.convert_to_tensor(value) for value in values])

    def loss_with(change):
        changed = [_tensors(change(host_copy(target))) for target in targets]
        return float(host_copy(gradients(start, rest, moving, changed)[0]))

    try:
        return once(start)
    except Exception as error:
        # The model may run all the same.
        passed = run(model, x, loss=False)
        passed.error = error
        return passed


def through_time(model, x, y):
    """Return the gradients through time of a model's recurrent layers.

    Args:
        model: A Keras model, all of whose layers are built.
        x: Structure of arrays.
        y: Structure of targets.

    Returns:
        A `TimeMeasurement` of step 0, or None without such layers.
    """
    tap = TimeTap(model)
    if not tap.found:
        return None
    moving, whole = _taken_apart(x)
    training = training_argument(model)

    def gathered(values, rest, parts, targets):
        def loss():
            outputs, _, extra = model.stateless_call(
                values, rest, whole(parts), return_losses=True, **training
            )
            flat = keras.tree.flatten(outputs)
            return losses.total_loss(model, flat, targets, list(extra))

        return tap.gather(loss)

    backend = _backend.current()
    vector = backend.run_whole(
        backend.compiled(gathered),
        _values(model.trainable_variables),
        _values(model.non_trainable_variables),
        moving,
        [_tensors(leaf) for leaf in losses.targets_of(model, y)],
    )
    return tap.read((0, vector))


def _taken_apart(x):
    """Return the tensors of inputs, and what puts them together again."""
    inputs = _tensors(x)
    leaves = keras.tree.flatten(inputs)

    def whole(parts):
        parts = iter(parts)
        flat = [next(parts) if _moves(leaf) else leaf for leaf in leaves]
        return keras.tree.pack_sequence_as(inputs, flat)

    return [leaf for leaf in leaves if _moves(leaf)], whole


class _Forward:
    """Calls a model by values of its variables, with its layers watched."""

    def __init__(self, model):
        self._model = model
        self._training = training_argument(model)
        self._layers = {id(layer): layer for layer in _seen_layers(model)}
        self._keys, self._last = [], []

    def __call__(self, trainable, rest, inputs):
        """Return the added losses, and the outputs and notes."""
        with self._noted() as kept:
            outputs, _, extra = self._model.stateless_call(
                trainable, rest, inputs, return_losses=True, **self._training
            )
        return list(extra), self._notes(kept, outputs)

    def with_loss(self, trainable, rest, inputs, targets):
        """Return the model's own loss, and the outputs and notes."""
        with self._noted() as kept:
            outputs, loss = own_loss.called(
                self._model, trainable, rest, inputs, targets, self._training
            )
        return loss, self._notes(kept, outputs)

    @contextlib.contextmanager
    def _noted(self):
        kept: dict = {}
        patches = Patches()
        try:
            for layer in self._layers.values():
                patches.replace(layer, call_name(layer), _noting(layer, kept))
            yield kept
        finally:
            patches.undo()

    def _notes(self, kept, outputs):
        flat = keras.tree.flatten(outputs)
        ids = {id(output) for output in flat}
        self._keys = list(kept)
        self._last = [key for key, (_, f) in kept.items() if id(f) in ids]
        notes = [([_thin(t) for t in i], _thin(f)) for i, f in kept.values()]
        return flat, notes

    def passed(self, noted):
        """Return the `Pass` of outputs and notes, now that they have values."""
        flat, notes = noted
        signals = {}
        for key, (taken, given) in zip(self._keys, notes, strict=True):
            signals[key] = LayerSignal(
                self._layers[key],
                layer_path(self._layers[key]),
                [_array(tensor) for tensor in taken],
                _array(given),
                key in self._last,
            )
        return Pass(signals, [_array(output) for output in flat])


def _moves(leaf):
    """Whether a leaf is a tensor that a compiled function can be given."""
    return leaf is not None and not isinstance(leaf, np.ndarray)


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
            result = original(*_with_a_row(layer, args), **kwargs)
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


def _with_a_row(layer, args):
    """Keep the indices that an embedding looks up inside its table.

    torch, and TensorFlow on CPUs, would raise at one outside; that it is there
    is read off what the layer was given.
    """
    if not isinstance(layer, keras.layers.Embedding) or not args:
        return args
    last = int(layer.input_dim) - 1
    return (ops.clip(args[0], 0, last), *args[1:])


def _thin(tensor):
    size = int(np.prod(tensor.shape))
    if size <= _READ or not tensor.shape:
        return tensor
    rows = max(1, int(tensor.shape[0]) * _READ // size)
    return tensor[:rows]


def _array(tensor):
    if "float" in keras.backend.standardize_dtype(tensor.dtype):
        tensor = ops.cast(tensor, "float32")
    return host_copy(tensor)


def _values(variables):
    read = _backend.current().read
    return [read(variable) for variable in variables]


def _tensors(x):
    def convert(leaf):
        if leaf is None or leaf.dtype.kind not in "biuf":
            return leaf
        if leaf.dtype == np.float64:
            leaf = leaf.astype(keras.config.floatx())
        # Without a dtype, JAX compiles what takes it in; it has no 8 bytes.
        dtype = leaf.dtype.name if leaf.dtype.itemsize < 8 else None
        return ops.convert_to_tensor(leaf, dtype)

    return keras.tree.map_structure(convert, x)
