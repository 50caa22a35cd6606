"""Statistics of activations and data, taken inside the compiled step.

A `ForwardTap` looks at what the layers of one model give while a step runs.
In the full variant of the step it measures each activation and the batch;
where somebody counts dead units it also notes, in every step, which units
gave anything but zero. Everything is read from copies without a gradient.
"""

import contextlib
import dataclasses
import threading
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_gradguard import _backend
from keras_gradguard.recording import batch_statistics
from keras_gradguard.recording import sites as sites_lib
from keras_gradguard.recording.gradients import Mode

STATISTICS = (
    "mean",
    "std",
    "zero_fraction",
    "saturated_fraction",
    "inactive_fraction",
    "input_std",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """What one step showed of a model's activations and its batch.

    Attributes:
        step: The optimizer's step.
        sites: List of A `Site`, in the order of the forward pass.
        activations: Float32 array `(A, len(STATISTICS))`.
        active: List of A arrays: share of non-zero outputs of each unit over
            the batch, or None where the activation cannot die.
        data: Dict of float, by the names of `batch_statistics.NAMES`.
        facts: Dict of what does not change: columns, dtypes, activation.
    """

    step: int
    sites: list
    activations: Any
    active: list
    data: dict
    facts: dict


class _Step(threading.local):
    """What is gathered while a step is traced or run, per thread."""

    mode = Mode.OFF
    counts = False
    level = None
    seen = None
    data = None
    loss = None
    took_input = False


class ForwardTap:
    """Measures the activations of one model.

    Args:
        model: A Keras model.
        on_failure: Callable that takes an exception of our own code.

    Attributes:
        sites: List of `Site`, in the order in which they were seen.
        units: List of int, units of each of `sites` that is counted, 0 for
            the others. Known once a step was traced.
        facts: Dict of facts on the data, as in `Measurement`.
    """

    def __init__(self, model, on_failure):
        self.candidates = sites_lib.sites_of(model)
        self.facts = {}
        self._layout = {}
        self._on_failure = on_failure
        self._backend = _backend.current()
        self._step = _Step()
        self._latest = self._backend.Mailbox("gradguard_activations", False)
        self._counts = self._backend.Mailbox("gradguard_active", True)

    # Patching

    def attach(self, model, patches):
        """Patch the layers and the loss.

        Args:
            model: The model.
            patches: `Patches` that will undo it.
        """
        for site in self.candidates:
            patches.replace(site.layer, "call", self._watching(site))
        patches.replace(model, "compute_loss", self._make_compute_loss)

    def _watching(self, site):
        function = sites_lib.own_activation(site.layer)

        def make(original):
            def call(*args, **kwargs):
                if self._step.seen is None:
                    return original(*args, **kwargs)
                self._guard(self._note_input, site, args)
                if function is None:
                    outputs = original(*args, **kwargs)
                    self._guard(self._note, site, _first(args), outputs)
                    return outputs
                with self._tapped(site, function):
                    return original(*args, **kwargs)

            return call

        return make

    @contextlib.contextmanager
    def _tapped(self, site, function):
        """Let the layer's activation be seen, while it is called only."""

        def activation(inputs, *args, **kwargs):
            outputs = function(inputs, *args, **kwargs)
            self._guard(self._note, site, inputs, outputs)
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
                self._guard(self._note_loss, loss, args, kwargs)
            return loss

        return compute_loss

    # The step

    @contextlib.contextmanager
    def step(self, mode, counts, arguments):
        """Gather what the layers give in this context.

        Args:
            mode: A `Mode`.
            counts: Whether to note which units are active, in every mode.
            arguments: What the train step was called with.
        """
        here = self._step
        here.mode, here.counts = mode, counts
        here.level = self._backend.level(arguments)
        here.seen = {} if mode is Mode.FULL or counts else None
        here.data, here.loss, here.took_input = {}, None, False
        try:
            yield
        finally:
            here.seen, here.mode = None, Mode.OFF

    def post(self, result):
        """Send off what was gathered. Call it inside of `step`.

        Args:
            result: What the train step returned.

        Returns:
            What it has to return instead.
        """
        here = self._step
        try:
            if here.counts:
                flags = self._flags()
                if flags is not None:
                    result = self._counts.post(result, flags)
            if here.mode is Mode.FULL:
                result = self._latest.post(result, self._measured())
        except Exception as error:
            self._on_failure(error)
        return result

    @property
    def loss(self):
        """Loss of the batch of the present step, None if it is not known."""
        return self._step.loss

    def host(self, step_function):
        """The compiled step, with what was posted taken out of its result.

        Args:
            step_function: What Keras calls for each step.
        """
        return self._counts.host(self._latest.host(step_function))

    # The host

    def measurement(self, step):
        """What the latest full step showed, None if there was none.

        Args:
            step: The optimizer's step it belongs to.
        """
        vector = self._latest.take()
        if vector is None:
            return None
        order, units = self._layout[Mode.FULL]
        count = len(order)
        vector = np.asarray(vector, "float32")
        names = batch_statistics.NAMES
        data = dict(zip(names, vector[: len(names)].tolist(), strict=True))
        vector = vector[len(names) :]
        table = vector[: count * len(STATISTICS)].reshape(count, -1)
        rest = vector[count * len(STATISTICS) :]
        return Measurement(
            step,
            list(order),
            table,
            _split(rest, units),
            data,
            dict(self.facts),
        )

    def take_counts(self):
        """In how many steps each unit was active since the last time.

        Returns:
            `(sites, counts)`: list of A `Site` and list of A arrays, None
            where units cannot die; or None if no step ran.
        """
        vector = self._counts.take()
        if vector is None:
            return None
        order, units = self._layout["counts"]
        return list(order), _split(np.asarray(vector, "float64"), units)

    # Gathering

    def _guard(self, function, *arguments):
        try:
            function(*arguments)
        except Exception as error:
            self._step.seen, self._step.mode = None, Mode.OFF
            self._on_failure(error)

    def _visible(self, tensor):
        """A copy that may be used outside of the layer, or None."""
        if not hasattr(tensor, "dtype"):
            return None
        tensor = self._backend.detach(tensor)
        if not self._backend.at_level(tensor, self._step.level):
            return None
        return tensor

    def _note(self, site, inputs, outputs):
        outputs = self._visible(outputs)
        if outputs is None or not len(outputs.shape):
            return
        here = self._step
        seen = here.seen.setdefault(site, {"flags": [], "statistics": []})
        active = None
        if site.can_die:
            axes = _other_axes(outputs, site.unit_axis)
            active = ops.cast(ops.not_equal(outputs, 0), "float32")
        if here.counts and active is not None and site.whole:
            seen["flags"].append(ops.max(active, axis=axes))
        if here.mode is not Mode.FULL:
            return
        share = None if active is None else ops.mean(active, axis=axes)
        inputs = self._visible(inputs)
        seen["statistics"].append(
            (_statistics(site, inputs, outputs, share), share)
        )

    def _note_input(self, site, args):
        here = self._step
        if here.mode is not Mode.FULL or here.took_input:
            return
        inputs = _first(args)
        if not _has_kernel(site.layer) or inputs is None:
            return
        inputs = self._visible(inputs)
        if inputs is None:
            return
        here.took_input = True
        here.data["input"] = batch_statistics.of_inputs(inputs)
        self.facts["input_shape"] = [d for d in inputs.shape[1:]]
        self.facts["input_layer"] = site.path

    def _note_loss(self, loss, args, kwargs):
        here = self._step
        loss = self._visible(loss)
        if loss is None:
            return
        here.loss = ops.cast(loss, "float32")
        if here.mode is not Mode.FULL:
            return
        given = dict(zip(("x", "y", "y_pred"), args, strict=False), **kwargs)
        targets = self._leaves(given.get("y"))
        outputs = self._leaves(given.get("y_pred"))
        self.facts["outputs"] = len(outputs)
        if len(targets) == 1 and len(outputs) == 1:
            here.data["target"] = batch_statistics.of_targets(targets[0])
            here.data["output"] = batch_statistics.of_outputs(outputs[0])
            here.data["fit"] = batch_statistics.of_fit(targets[0], outputs[0])
            self.facts["target_shape"] = list(targets[0].shape[1:])
            self.facts["output_shape"] = list(outputs[0].shape[1:])
            dtype = keras.backend.standardize_dtype(targets[0].dtype)
            self.facts["target_dtype"] = dtype

    def _leaves(self, structure):
        leaves = [self._visible(t) for t in tree.flatten(structure)]
        return [t for t in leaves if t is not None]

    # Sending

    def _flags(self):
        order, parts, units = [], [], []
        for site, seen in self._step.seen.items():
            order.append(site)
            if not seen["flags"]:
                units.append(0)
                continue
            parts.append(_largest(seen["flags"]))
            units.append(int(parts[-1].shape[0]))
        self._layout["counts"] = order, units
        return ops.concatenate(parts, axis=0) if parts else None

    def _measured(self):
        here = self._step
        loss = here.loss
        if loss is not None:
            here.data["loss"] = [ops.reshape(loss, ())]
        parts = [batch_statistics.pack(here.data)]
        order, units, rest = [], [], []
        for site, seen in here.seen.items():
            if not seen["statistics"]:
                continue
            order.append(site)
            calls = [statistics for statistics, _ in seen["statistics"]]
            parts.append(sum(calls[1:], start=calls[0]) / len(calls))
            shares = [s for _, s in seen["statistics"] if s is not None]
            units.append(0)
            if shares and all(s.shape == shares[0].shape for s in shares):
                rest.append(_largest(shares))
                units[-1] = int(shares[0].shape[0])
        self._layout[Mode.FULL] = order, units
        return ops.concatenate([*parts, *rest], axis=0)


def _statistics(site, inputs, outputs, share):
    """Return the `STATISTICS` of one call, a vector."""
    values = ops.cast(outputs, "float32")
    nan = ops.full((), float("nan"), "float32")
    mean = ops.mean(values)
    saturated = inactive = spread = nan
    if site.bounds is not None:
        low, high = site.bounds
        flat = ops.logical_or(values <= low, values >= high)
        saturated = ops.mean(ops.cast(flat, "float32"))
    if share is not None:
        inactive = ops.mean(ops.cast(ops.equal(share, 0), "float32"))
    if inputs is not None and hasattr(inputs, "dtype"):
        spread = ops.std(ops.cast(inputs, "float32"))
    zero = ops.mean(ops.cast(ops.equal(values, 0), "float32"))
    return ops.stack(
        [mean, ops.std(values), zero, saturated, inactive, spread], axis=0
    )


def _largest(parts):
    result = parts[0]
    for part in parts[1:]:
        result = ops.maximum(result, part)
    return result


def _other_axes(tensor, axis):
    rank = len(tensor.shape)
    unit = axis % rank
    return tuple(i for i in range(rank) if i != unit)


def _first(args):
    return args[0] if args else None


def _has_kernel(layer):
    return any(len(v.shape) > 1 for v in layer._trainable_variables)


def _split(vector, units):
    parts, at = [], 0
    for count in units:
        parts.append(vector[at : at + count] if count else None)
        at += count
    return parts
