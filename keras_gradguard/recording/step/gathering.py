"""Gathers what layers, loss and batch give while a step is traced or run.

Copies without a gradient are kept until the end of the step, where they are
measured together. What is large is measured at once.
"""

import threading
import weakref
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_gradguard import _backend
from keras_gradguard.models import graph
from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import output_statistics
from keras_gradguard.recording.step import side_by_side
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.packing import Seen
from keras_gradguard.recording.step.replicas import PerReplica


class _Kept(threading.local):
    """What is gathered while a step is traced or run, per thread."""

    mode = Mode.OFF
    counts = False
    level: Any = None
    seen: Any = None
    data: Any = None
    batch: Any = None
    fit: Any = None
    took_input = False
    first: Any = frozenset()
    apart = False


class Gathering:
    """Keeps what is seen in a step, until it is packed.

    Args:
        model: A Keras model.
        candidates: List of `Site` of the layers that may be measured.
        parts: `Parts` of the recording.
        apart: Whether full steps look at a forward pass of their own.

    Attributes:
        facts: Dict of facts on the data, as in `Measurement`.
        here: What is gathered in this thread. `seen` is None where nothing
            is looked at.
        loss_is_folded: Bool. Whether reading the loss would change its bits.
    """

    def __init__(self, model, candidates, parts, apart):
        self.facts = {}
        self.here = _Kept()
        self.loss_is_folded = False
        self._candidates = candidates
        self._apart = apart
        self._parts = parts
        self._backend = _backend.current()
        self._loss = PerReplica()
        self._model: Any = weakref.ref(model)

    def begin(self, mode, counts, arguments):
        """Start with nothing.

        Args:
            mode: A `Mode`.
            counts: Whether to note which units are active, in every mode.
            arguments: What the train step was called with, a tuple.
        """
        here = self.here
        here.apart = False
        here.data, here.batch, here.took_input = {}, {}, False
        here.fit = None
        self._loss.set(None)
        here.level = self._backend.level(arguments)
        here.seen = {} if mode is Mode.FULL or counts else None
        here.mode, here.counts = mode, counts

    def end(self):
        """Look at nothing any more."""
        here = self.here
        here.seen, here.mode, here.counts = None, Mode.OFF, False

    @property
    def measures(self):
        """Whether the layers that run now are to be measured."""
        here = self.here
        return here.mode is Mode.FULL and here.apart == self._apart

    @property
    def loss(self):
        """Loss of the present step on this replica, None if not known."""
        return None if self.loss_is_folded else self._loss.get()

    # What the patches show

    def note_indices(self, layer, inputs):
        """Note which rows of a table are looked up, over all tables.

        Args:
            layer: The `Embedding`.
            inputs: Its indices.
        """
        if self.measures:
            self._guard(DATA, self._note_indices, layer, inputs)

    def _note_indices(self, layer, inputs):
        indices = self._visible(inputs)
        if indices is None:
            return
        low = ops.cast(ops.min(indices), "float32")
        over = ops.cast(ops.max(indices), "float32") - (layer.input_dim - 1)
        known = self.here.data.get("index")
        if known is not None:
            low, over = ops.minimum(low, known[0]), ops.maximum(over, known[1])
        self.here.data["index"] = [low, over]

    def _visible(self, tensor):
        """A copy that may be used outside of the layer, or None."""
        if not hasattr(tensor, "dtype"):
            return None
        tensor = self._backend.detach(tensor)
        if not self._backend.at_level(tensor, self.here.level):
            return None
        return tensor

    def note(self, site, inputs, outputs):
        """Note what an activation gives.

        Args:
            site: Its `Site`.
            inputs: What went in, a tensor or None.
            outputs: What came out.
        """
        here = self.here
        if here.counts and site.can_die and site.whole and not here.apart:
            self._guard(UNITS, self._note_units, site, outputs)
        if self.measures:
            self._guard(ACTIVATIONS, self._note_outputs, site, inputs, outputs)

    def _note_units(self, site, outputs):
        outputs = self._visible(outputs)
        if outputs is not None and len(outputs.shape) > 1:
            seen = self.here.seen.setdefault(site, Seen())
            seen.outputs.append(outputs)

    def _note_outputs(self, site, inputs, outputs):
        unchanged = inputs is outputs
        outputs = self._visible(outputs)
        if outputs is None or not len(outputs.shape):
            return
        seen = self.here.seen.setdefault(site, Seen())
        inputs = outputs if unchanged else self._visible(inputs)
        seen.calls.append(output_statistics.of_call(site, inputs, outputs))

    def note_input(self, site, inputs):
        """Note what enters the first layer that has a kernel.

        Of several that small inputs go to, all of them: side by side.

        Args:
            site: `Site` of the layer that is called.
            inputs: What it is called with, or None.
        """
        self._guard(DATA, self._note_input, site, inputs)

    def _note_input(self, site, inputs):
        here = self.here
        if not self.measures or not _has_kernel(site.layer) or inputs is None:
            return
        if here.took_input and id(site.layer) not in here.first:
            return
        inputs = self._visible(inputs)
        if inputs is None:
            return
        if here.took_input:
            known = here.batch.get("input")
            if known is None or not side_by_side.is_small(inputs):
                return
            both = [ops.cast(part, "float32") for part in (known, inputs)]
            here.batch["input"] = ops.concatenate(both, axis=1)
            self.facts["several_inputs"] = True
            return
        here.took_input = True
        here.first = self._first_layers()
        here.first.discard(id(site.layer))
        self._note_data("input", inputs)
        self.facts["input_shape"] = [d for d in inputs.shape[1:]]
        self.facts["input_layer"] = site.path

    def note_loss(self, loss, args, kwargs):
        """Note a loss and the batch that it was computed from.

        Args:
            loss: What `compute_loss` returned.
            args: The arguments that it was called with.
            kwargs: Those by name.
        """
        if self.here.mode is not Mode.OFF:
            self._guard(LOSS, self._keep_loss, loss)
        if self.here.mode is Mode.FULL:
            self._guard(DATA, self._note_batch, args, kwargs)

    def _keep_loss(self, loss):
        loss = self._visible(loss)
        if loss is None:
            return
        loss = self.of_all(ops.cast(loss, "float32"))
        replicas = self._backend.replicas()
        if replicas > 1:
            # Keras divides it, so that the gradients add up.
            loss = loss * replicas
        self._loss.set(loss)

    def _note_batch(self, args, kwargs):
        names = ("x", "y", "y_pred", "sample_weight")
        given = dict(zip(names, args, strict=False), **kwargs)
        targets = self._leaves(given.get("y"))
        outputs = self._leaves(given.get("y_pred"))
        self.facts["outputs"] = len(outputs)
        self.facts["weighted"] = given.get("sample_weight") is not None
        if len(targets) == 1 and len(outputs) == 1:
            self._note_data("target", targets[0])
            self._note_data("output", outputs[0])
            self._note_fit(targets[0], outputs[0])
            self.facts["target_shape"] = list(targets[0].shape[1:])
            self.facts["output_shape"] = list(outputs[0].shape[1:])
            dtype = keras.backend.standardize_dtype(targets[0].dtype)
            self.facts["target_dtype"] = dtype
            weights = self._leaves(given.get("sample_weight"))
            if len(weights) == 1:
                shares = batch_statistics.of_weights(targets[0], weights[0])
                self.here.data["weight"] = shares

    def note_model_outputs(self, outputs):
        """Note what the model gives, for a loop with a loss of its own.

        Args:
            outputs: What it returned.
        """
        if self.here.mode is Mode.FULL:
            self._guard(DATA, self._note_model_outputs, outputs)

    def _note_model_outputs(self, outputs):
        leaves = self._leaves(outputs)
        self.facts["outputs"] = len(leaves)
        if len(leaves) == 1:
            self._note_data("output", leaves[0])
            self.facts["output_shape"] = list(leaves[0].shape[1:])

    def _note_fit(self, *both):
        """Keep targets and outputs for the end of the step, if small."""
        here = self.here
        columns = map(batch_statistics.as_columns, both)
        if all(side_by_side.is_small(column) for column in columns):
            here.fit = both
        else:
            here.data["fit"] = batch_statistics.of_fit(*both)

    def _note_data(self, part, tensor):
        """Keep a small tensor for the end of the step, measure others."""
        here = self.here
        column = batch_statistics.as_columns(tensor)
        if side_by_side.is_small(column):
            here.batch[part] = column
        else:
            here.data[part] = batch_statistics.of(part, tensor)

    def _leaves(self, structure):
        # A loop of the user's own may compute a loss of arrays.
        leaves = [
            ops.convert_to_tensor(t) if isinstance(t, np.ndarray) else t
            for t in tree.flatten(structure)
        ]
        leaves = [self._visible(t) for t in leaves]
        return [t for t in leaves if t is not None]

    def _first_layers(self):
        """Ids of the layers that take inputs, where there are several."""
        model = self._model()
        several = len(tree.flatten(getattr(model, "inputs", None) or [])) > 1
        if not several or not graph.is_graph(model):
            return set()
        return {id(node.layer) for node in graph.first_nodes(model)}

    # What was gathered

    def gathered(self):
        """Structure of tensors; sites as their places among the candidates."""
        here = self.here
        data = dict(here.data)
        if self.loss is not None:
            data["loss"] = [ops.reshape(self.loss, ())]
        places = {site: i for i, site in enumerate(self._candidates)}
        seen = [
            (places[site], list(shown.calls))
            for site, shown in (here.seen or {}).items()
            if shown.calls
        ]
        fit = here.fit
        return {"batch": here.batch, "data": data, "fit": fit, "seen": seen}

    def of_all(self, tensor):
        """The mean over the processes that train the model."""
        return self._backend.over_processes(self._model(), tensor)

    def _guard(self, part, function, *arguments):
        self._parts.guard((part,), function, *arguments)


def _has_kernel(layer):
    if isinstance(layer, keras.layers.RNN):
        layer = layer.cell
    return any(len(v.shape) > 1 for v in layer.trainable_variables)
