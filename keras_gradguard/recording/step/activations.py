"""Statistics of activations and data, taken inside the compiled step.

A `ForwardTap` looks at what the layers of one model give while a step runs.
In the full variant of the step it measures each activation and the batch;
where somebody counts dead units it also notes, in every step, which units
gave anything but zero. Everything is read from copies without a gradient.

Longer than 350 lines, since its patches run in one step, in an order that can
only be seen in one place.
"""

import contextlib
import threading
import weakref
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._backend import host_ops
from keras_gradguard.models import activations as sites_lib
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import output_statistics
from keras_gradguard.recording.step import packing
from keras_gradguard.recording.step import side_by_side
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.packing import Packing
from keras_gradguard.recording.step.packing import Seen
from keras_gradguard.recording.step.replicas import PerReplica
from keras_gradguard.trace.series import DATA_SERIES

_ALL = ACTIVATIONS, DATA, LOSS, UNITS


class _Step(threading.local):
    """What is gathered while a step is traced or run, per thread."""

    mode = Mode.OFF
    counts = False
    level: Any = None
    seen: Any = None
    data: Any = None
    batch: Any = None
    fit: Any = None
    took_input = False
    apart = False


class ForwardTap:
    """Measures the activations of one model.

    Args:
        model: A Keras model.
        parts: `Parts` of the recording.
        apart: Whether full steps look at a forward pass of their own: where
            the layers of a TensorFlow graph are read, it no longer fuses them
            as it would, and their last bits change.

    Attributes:
        candidates: List of `Site` of the layers that may be measured.
        facts: Dict of facts on the data, as in `Measurement`.
    """

    def __init__(self, model, parts, apart=False):
        self.candidates = sites_lib.sites_of(model)
        self.facts = {}
        self._packing = Packing()
        self._apart = apart
        self._parts = parts
        self._loss_is_folded = False
        self._backend = _backend.current()
        self._step = _Step()
        self._loss = PerReplica()
        self._model: Any = weakref.ref(model)
        self._latest = self._backend.Outbox("gradguard_activations", False)
        self._counts = self._backend.Outbox("gradguard_active", True)

    def gather(self, run, arguments):
        """Measure what the layers give while something runs.

        Args:
            run: Callable without arguments: a pass forward.
            arguments: What it runs on, a tuple.

        Returns:
            Structure of what was gathered, for `packed`.
        """
        here = self._step
        self._parts.guard(_ALL, self._begin, Mode.FULL, False, arguments)
        here.apart = self._apart
        try:
            run()
            return self._gathered()
        finally:
            here.seen, here.mode = None, Mode.OFF

    def packed(self, gathered, xp=ops):
        """Work out the statistics, in the step or on the host.

        Args:
            gathered: What `gather` returned, or that on the host.
            xp: `keras.ops`, or `host_ops`.

        Returns:
            Float32 vector.
        """
        unknown = stats.full((len(DATA_SERIES),), float("nan"), xp)
        data = self._guard(DATA, self._pack_data, gathered, xp, or_=unknown)
        seen = self._guard(
            ACTIVATIONS, self._pack_activations, gathered, xp, or_=[]
        )
        vector = xp.concatenate([data, *seen], axis=0)
        return self._of_all(vector) if xp is ops else vector

    def send(self, vector):
        """Send off what was gathered, from inside of the step.

        Args:
            vector: What `packed` returned.
        """
        self._latest.post(None, vector)

    # Patching

    def attach(self, model, patches):
        """Patch the layers and the loss.

        Args:
            model: The model.
            patches: `Patches` that will undo it.
        """
        for site in self.candidates:
            patches.replace(site.layer, "call", self._watching(site))
        for layer in forward_layers(model):
            if isinstance(layer, keras.layers.Embedding):
                patches.replace(layer, "call", self._looking_up(layer))
        patches.replace(model, "compute_loss", self._make_compute_loss)
        # A TensorFlow graph folds a weighted loss into what Keras does next,
        # unless another reads it: then its last bits are others.
        weighted = keras_private.loss_weights(model) is not None
        self._loss_is_folded = self._apart and weighted

    def _watching(self, site):
        function = sites_lib.own_activation(site.layer)

        def make(original):
            def call(*args, **kwargs):
                if self._step.seen is None:
                    return original(*args, **kwargs)
                self._guard(DATA, self._note_input, site, args)
                if function is None:
                    outputs = original(*args, **kwargs)
                    self._note(site, _first(args), outputs)
                    return outputs
                with self._tapped(site, function):
                    return original(*args, **kwargs)

            return call

        return make

    def _looking_up(self, layer):
        def make(original):
            def call(inputs, *args, **kwargs):
                if self._measures:
                    self._guard(DATA, self._note_indices, layer, inputs)
                return original(inputs, *args, **kwargs)

            return call

        return make

    def _note_indices(self, layer, inputs):
        """Note which rows of a table are looked up, over all tables."""
        indices = self._visible(inputs)
        if indices is None:
            return
        low = ops.cast(ops.min(indices), "float32")
        over = ops.cast(ops.max(indices), "float32") - (layer.input_dim - 1)
        known = self._step.data.get("index")
        if known is not None:
            low, over = ops.minimum(low, known[0]), ops.maximum(over, known[1])
        self._step.data["index"] = [low, over]

    @contextlib.contextmanager
    def _tapped(self, site, function):
        """Let the layer's activation be seen, while it is called only."""

        def activation(inputs, *args, **kwargs):
            outputs = function(inputs, *args, **kwargs)
            self._note(site, inputs, outputs)
            return outputs

        owned = site.layer.__dict__
        owned["activation"] = activation
        try:
            yield
        finally:
            owned["activation"] = function

    def _make_compute_loss(self, original):
        def compute_loss(*args, **kwargs):
            loss = original(*args, **kwargs)
            if self._step.mode is not Mode.OFF:
                self._guard(LOSS, self._keep_loss, loss)
            if self._step.mode is Mode.FULL:
                self._guard(DATA, self._note_batch, args, kwargs)
            return loss

        return compute_loss

    # The step

    @contextlib.contextmanager
    def step(self, model, mode, counts, arguments):
        """Gather what the layers give in this context.

        Args:
            model: The model.
            mode: A `Mode`.
            counts: Whether to note which units are active, in every mode.
            arguments: What the train step was called with, a tuple.
        """
        here = self._step
        self._parts.guard(_ALL, self._begin, mode, counts, arguments)
        try:
            if self._apart and here.mode is Mode.FULL:
                self._look_apart(model, arguments)
            yield
        finally:
            here.seen, here.mode, here.counts = None, Mode.OFF, False

    def _begin(self, mode, counts, arguments):
        here = self._step
        here.apart = False
        here.data, here.batch, here.took_input = {}, {}, False
        here.fit = None
        self._loss.set(None)
        here.level = self._backend.level(arguments)
        here.seen = {} if mode is Mode.FULL or counts else None
        here.mode, here.counts = mode, counts

    def _look_apart(self, model, arguments):
        """Measure a forward pass that changes no variable.

        A data structure of the user's own may not be understood; then there
        are no activations to be had.
        """
        here = self._step
        here.apart = True
        try:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(arguments[0])
            with keras.StatelessScope(collect_losses=True):
                model(x, training=True)
        except Exception as error:
            self.facts["not_measured"] = f"{type(error).__name__}: {error}"
        finally:
            here.apart = False

    @property
    def _measures(self):
        """Whether the layers that run now are to be measured."""
        here = self._step
        return here.mode is Mode.FULL and here.apart == self._apart

    def post(self, result):
        """Send off what was gathered. Call it inside of `step`.

        Args:
            result: What the train step returned.

        Returns:
            What it has to return instead.
        """
        here = self._step
        if here.counts:
            result = self._guard(UNITS, self._post_counts, result, or_=result)
        if here.mode is Mode.FULL and self._parts.work(ACTIVATIONS, DATA):
            vector = self.packed(self._gathered())
            result = self._latest.post(result, vector)
        return result

    def _post_counts(self, result):
        counts = self._packing.pack_counts(self._step.seen)
        if counts is None:
            return result
        # Shares are told of them, so the mean is as good as the sum.
        return self._counts.post(result, self._of_all(counts))

    def _of_all(self, tensor):
        """The mean over the processes that train the model."""
        return self._backend.over_processes(self._model(), tensor)

    def _gathered(self):
        """Structure of tensors; sites as their places among the candidates."""
        here = self._step
        data = dict(here.data)
        if self.loss is not None:
            data["loss"] = [ops.reshape(self.loss, ())]
        places = {site: i for i, site in enumerate(self.candidates)}
        seen = [
            (places[site], list(shown.calls))
            for site, shown in (here.seen or {}).items()
            if shown.calls
        ]
        fit = here.fit
        return {"batch": here.batch, "data": data, "fit": fit, "seen": seen}

    def _pack_data(self, gathered, xp):
        return batch_statistics.pack(
            gathered["batch"], gathered["data"], gathered["fit"], xp
        )

    def _pack_activations(self, gathered, xp):
        seen = [
            (self.candidates[int(place)], calls)
            for place, calls in gathered["seen"]
        ]
        return self._packing.pack_activations(seen, xp)

    @property
    def level(self):
        """Where the present step runs, as the backend tells it."""
        return self._step.level

    @property
    def loss(self):
        """Loss of the present step on this replica, None if not known."""
        return None if self._loss_is_folded else self._loss.get()

    @property
    def outboxes(self):
        """Those by which a step sends off what was gathered."""
        return [self._latest, self._counts]

    # The host

    def latest(self, step, vector=None):
        """What the latest full step showed, still on the device.

        Args:
            step: The optimizer's step it belongs to.
            vector: What was gathered or `packed`, if it was not sent off.

        Returns:
            What `measurement` takes, None if there was no full step.
        """
        if vector is None:
            vector = self._latest.take_later()
        return None if vector is None else (step, vector)

    def measurement(self, latest):
        """Read what a full step showed.

        Args:
            latest: What `latest` returned.

        Returns:
            A `Measurement`.
        """
        step, vector = latest
        if isinstance(vector, dict):
            # What is small is worked out here: nothing has to be compiled.
            arrays = tree.map_structure(self._to_numpy, vector)
            with np.errstate(all="ignore"):
                vector = self.packed(arrays, host_ops)
        vector = self._backend.to_numpy(vector)
        data = self._guard(DATA, packing.data_of, vector, or_={})
        seen = self._guard(
            ACTIVATIONS, self._packing.activations_of, vector, or_=None
        )
        return packing.measurement(step, seen, data, dict(self.facts))

    def _to_numpy(self, leaf):
        return None if leaf is None else self._backend.to_numpy(leaf)

    def take_counts(self):
        """For how many samples each unit was active since the last time.

        Returns:
            `Counts`, or None if no step ran.
        """
        return self._guard(UNITS, self._take_counts)

    def _take_counts(self):
        vector = self._counts.take()
        return None if vector is None else self._packing.counts(vector)

    # Gathering

    def _guard(self, part, function, *arguments, or_=None):
        return self._parts.guard((part,), function, *arguments, default=or_)

    def _visible(self, tensor):
        """A copy that may be used outside of the layer, or None."""
        if not hasattr(tensor, "dtype"):
            return None
        tensor = self._backend.detach(tensor)
        if not self._backend.at_level(tensor, self._step.level):
            return None
        return tensor

    def _note(self, site, inputs, outputs):
        here = self._step
        if here.counts and site.can_die and site.whole and not here.apart:
            self._guard(UNITS, self._note_units, site, outputs)
        if self._measures:
            self._guard(ACTIVATIONS, self._note_outputs, site, inputs, outputs)

    def _note_units(self, site, outputs):
        outputs = self._visible(outputs)
        if outputs is not None and len(outputs.shape) > 1:
            seen = self._step.seen.setdefault(site, Seen())
            seen.outputs.append(outputs)

    def _note_outputs(self, site, inputs, outputs):
        outputs = self._visible(outputs)
        if outputs is None or not len(outputs.shape):
            return
        seen = self._step.seen.setdefault(site, Seen())
        inputs = self._visible(inputs)
        seen.calls.append(output_statistics.of_call(site, inputs, outputs))

    def _note_input(self, site, args):
        here = self._step
        if here.took_input or not self._measures:
            return
        inputs = _first(args)
        if not _has_kernel(site.layer) or inputs is None:
            return
        inputs = self._visible(inputs)
        if inputs is None:
            return
        here.took_input = True
        self._note_data("input", inputs)
        self.facts["input_shape"] = [d for d in inputs.shape[1:]]
        self.facts["input_layer"] = site.path

    def _keep_loss(self, loss):
        loss = self._visible(loss)
        if loss is None:
            return
        loss = self._of_all(ops.cast(loss, "float32"))
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

    def _note_fit(self, *both):
        """Keep targets and outputs for the end of the step, if small."""
        here = self._step
        columns = map(batch_statistics.as_columns, both)
        if all(side_by_side.is_small(column) for column in columns):
            here.fit = both
        else:
            here.data["fit"] = batch_statistics.of_fit(*both)

    def _note_data(self, part, tensor):
        """Keep a small tensor for the end of the step, measure others."""
        here = self._step
        column = batch_statistics.as_columns(tensor)
        if side_by_side.is_small(column):
            here.batch[part] = column
        else:
            here.data[part] = batch_statistics.of(part, tensor)

    def _leaves(self, structure):
        leaves = [self._visible(t) for t in tree.flatten(structure)]
        return [t for t in leaves if t is not None]


def _first(args):
    return args[0] if args else None


def _has_kernel(layer):
    if isinstance(layer, keras.layers.RNN):
        layer = layer.cell
    return any(len(v.shape) > 1 for v in layer.trainable_variables)
