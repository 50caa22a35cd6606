"""Recurrent layers, and zeros that are added to their states.

The gradient with respect to what is added to a state at a time step is that
with respect to the state itself.
"""

import contextlib
import dataclasses
import inspect
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.layers import unique
from keras_gradguard.models.patches import Patches


@dataclasses.dataclass(frozen=True, slots=True)
class Recurrence:
    """A cell that a recurrent layer runs over time.

    Attributes:
        path: Path of the layer, or of the cell where the layer stacks several.
        layer: The recurrent layer.
        cell: Its cell, or one of those that it stacks.
    """

    path: str
    layer: Any
    cell: Any


@dataclasses.dataclass(slots=True)
class Taps:
    """What was added to the states of one `Recurrence` in a pass.

    Attributes:
        length: Number of time steps: an int, or a tensor where only the batch
            tells it.
        indices: List of int, which of the tensors that were made belong to
            its states.
        live: Bool tensor `(time,)`, steps that some sample is not masked at;
            None without a mask.
        backwards: Bool. Whether the layer goes through time from the end.
    """

    length: Any
    indices: list
    live: Any
    backwards: bool

    @property
    def has_mask(self):
        """Whether some steps are masked."""
        return self.live is not None


def recurrences(model):
    """Return what runs over time in a model.

    Layers inside of another loop over time are left out, and those whose loop
    is not Keras's.

    Args:
        model: A Keras model.

    Returns:
        List of `Recurrence`, in forward order.
    """
    layers = forward_layers(model)
    looped = _looped(layers)
    found = []
    for layer in layers:
        if not isinstance(layer, keras.layers.RNN) or id(layer) in looped:
            continue
        if not keras_private.loops_as_keras_does(layer):
            continue
        cells = list(_leaves(layer.cell))
        for cell in cells:
            path = layer_path(layer)
            if len(cells) > 1:
                path = f"{path}/{getattr(cell, 'name', type(cell).__name__)}"
            found.append((path, layer, cell))
    paths = unique([path for path, *_ in found])
    return [
        Recurrence(path, layer, cell)
        for path, (_, layer, cell) in zip(paths, found, strict=True)
    ]


def _looped(layers):
    """Return the ids of what is inside of a loop over time."""
    loops = keras.layers.RNN, keras.layers.TimeDistributed
    return {
        id(inner)
        for layer in layers
        if isinstance(layer, loops)
        for inner in forward_layers(layer)[1:]
    }


def not_measured(model):
    """Return which layers recur and are none of `recurrences`, in words.

    Args:
        model: A Keras model.

    Returns:
        List of at most one sentence.
    """
    layers = forward_layers(model)
    looped = _looped(layers)
    why = []
    for layer in layers:
        if isinstance(layer, keras.layers.RNN):
            if id(layer) in looped:
                why.append((layer, "inside of another loop over time"))
            elif not keras_private.loops_as_keras_does(layer):
                why.append((layer, "it loops over time in its own way"))
        elif isinstance(layer, _CELLS) and id(layer) not in looped:
            why.append((layer, "a cell that no `RNN` layer runs"))
    shown = [f"{layer_path(layer)} ({reason})" for layer, reason in why[:5]]
    if len(why) > len(shown):
        shown.append(f"and {len(why) - len(shown)} more")
    if not shown:
        return []
    return [f"Through time these are not measured: {', '.join(shown)}."]


_CELLS = (
    keras.layers.SimpleRNNCell,
    keras.layers.LSTMCell,
    keras.layers.GRUCell,
    keras.layers.StackedRNNCells,
)


def _leaves(cell):
    """Yield a cell, or those that it stacks."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        for inner in cell.cells:
            yield from _leaves(inner)
    else:
        yield cell


class TappedPass:
    """One pass over a model, in which zeros are added to all states.

    Of a layer that is called several times the first call counts. The layers
    take the way of their cells: cuDNN shows no state.

    Args:
        found: List of `Recurrence`.
        make: Callable that takes a shape and a dtype and returns zeros.

    Attributes:
        taken: Dict from the index of a `Recurrence` to its `Taps`.
    """

    def __init__(self, found, make):
        self.taken = {}
        self._found = found
        self._make = make
        self._made = 0
        # Those of the present time step, by the `id` of their cell.
        self._now: dict = {}

    @contextlib.contextmanager
    def patched(self):
        """Context in which the layers are patched."""
        patches = Patches()
        layers = {id(each.layer): each.layer for each in self._found}
        cells = {id(each.cell): each.cell for each in self._found}
        try:
            for layer in layers.values():
                if hasattr(layer, "use_cudnn"):
                    # `Bidirectional` asks for it.
                    patches.replace(layer, "use_cudnn", lambda _: False)
                patches.replace(layer, "inner_loop", self._looping(layer))
            for cell in cells.values():
                patches.replace(cell, "call", self._adding(cell))
            yield
        finally:
            patches.undo()

    def _looping(self, layer):
        rows = [
            (at, each)
            for at, each in enumerate(self._found)
            if each.layer is layer
        ]
        arguments = inspect.signature(type(layer.cell).call).parameters
        takes_training = "training" in arguments

        def make(original):
            def loop(sequences, initial_state, mask=None, training=False):
                if rows[0][0] in self.taken:
                    return original(
                        sequences, initial_state, mask, training=training
                    )
                if tree.is_nested(mask):
                    mask = mask[0]
                if not tree.is_nested(initial_state):
                    initial_state = [initial_state]
                taps = self._taps(layer, rows, sequences, initial_state, mask)
                kwargs = {"training": training} if takes_training else {}

                def step(inputs, states):
                    inputs, added = inputs[0], inputs[1:]
                    self._now = {}
                    for tap, cell in zip(added, taps.cells, strict=True):
                        self._now.setdefault(id(cell), []).append(tap)
                    try:
                        output, new = layer.cell(inputs, states, **kwargs)
                    finally:
                        self._now = {}
                    return output, new if tree.is_nested(new) else [new]

                return keras_private.rnn(
                    layer, step, (sequences, *taps.tensors), initial_state, mask
                )

            return loop

        return make

    def _taps(self, layer, rows, sequences, initial_state, mask):
        batch, time = ops.shape(sequences)[:2]
        live = None
        if mask is not None:
            flat = ops.reshape(ops.cast(mask, "bool"), (batch, time, -1))
            # One axis at a time: on torch Keras 3.10 takes no two of them.
            live = ops.any(ops.any(flat, axis=2), axis=0)
        made = _Made([], [])
        states = list(_states(layer.cell, initial_state))
        for (at, each), own in zip(rows, states, strict=True):
            taps = Taps(time, [], live, bool(layer.go_backwards))
            for state in own:
                shape = (batch, time, *state.shape[1:])
                made.tensors.append(self._make(shape, state.dtype))
                made.cells.append(each.cell)
                taps.indices.append(self._made)
                self._made += 1
            self.taken[at] = taps
        return made

    def _adding(self, cell):
        def make(original):
            def call(*args, **kwargs):
                output, states = original(*args, **kwargs)
                added = self._now.get(id(cell))
                if added is None:
                    return output, states
                flat = tree.flatten(states)
                moved = [s + a for s, a in zip(flat, added, strict=True)]
                for state, with_tap in zip(flat, moved, strict=True):
                    if output is state:
                        output = with_tap
                        break
                return output, tree.pack_sequence_as(states, moved)

            return call

        return make


@dataclasses.dataclass(frozen=True, slots=True)
class _Made:
    tensors: list
    cells: list


def _states(cell, state):
    """Yield the states of each cell, a flat list."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        for inner, own in zip(cell.cells, state, strict=True):
            yield from _states(inner, own)
    else:
        yield tree.flatten(state)
