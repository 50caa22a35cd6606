"""Statistics of activations and data, taken inside the compiled step.

A `ForwardTap` looks at what the layers of one model give while a step runs.
In the full variant of the step it measures each activation and the batch;
where somebody counts dead units it also notes, in every step, which units
gave anything but zero. Everything is read from copies without a gradient.
"""

import contextlib

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._backend import host_ops
from keras_gradguard.models import activations as sites_lib
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import call_name
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import look_apart
from keras_gradguard.recording.step import output_statistics
from keras_gradguard.recording.step import packing
from keras_gradguard.recording.step.gathering import Gathering
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.packing import Packing
from keras_gradguard.trace.series import DATA_SERIES

_ALL = ACTIVATIONS, DATA, LOSS, UNITS


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

    def __init__(self, model, parts, apart):
        self.candidates = sites_lib.sites_of(model)
        self._gathering = Gathering(model, self.candidates, parts, apart)
        self.facts = self._gathering.facts
        self._packing = Packing()
        self._apart = apart
        self._parts = parts
        self._backend = _backend.current()
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
        gathering = self._gathering
        self._parts.guard(_ALL, gathering.begin, Mode.FULL, False, arguments)
        gathering.here.apart = self._apart
        try:
            run()
            return gathering.gathered()
        finally:
            gathering.end()

    def shortened(self, gathered):
        """Fewer numbers that give the same statistics, inside of the step.

        Args:
            gathered: What `gather` returned.
        """
        return self._guard(
            ACTIVATIONS, self._shorten, gathered, or_={**gathered, "seen": []}
        )

    def _shorten(self, gathered):
        seen = output_statistics.over_samples(gathered["seen"])
        return {**gathered, "seen": seen}

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
        return self._gathering.of_all(vector) if xp is ops else vector

    def send(self, vector):
        """Send off what `packed` returned, from inside of the step."""
        self._latest.post(None, vector)

    # Patching

    def attach(self, model, patches):
        """Patch the layers and the loss.

        Args:
            model: The model.
            patches: `Patches` that will undo it.
        """
        for site in self.candidates:
            name = call_name(site.layer)
            patches.replace(site.layer, name, self._watching(site))
        for layer in forward_layers(model):
            if isinstance(layer, keras.layers.Embedding):
                name = call_name(layer)
                patches.replace(layer, name, self._looking_up(layer))
        patches.replace(model, "compute_loss", self._make_compute_loss)
        # A TensorFlow graph folds a weighted loss into what Keras does next,
        # unless another reads it: then its last bits are others.
        weighted = keras_private.loss_weights(model) is not None
        self._gathering.loss_is_folded = self._apart and weighted

    def _watching(self, site):
        function = sites_lib.own_activation(site.layer)
        gathering = self._gathering

        def make(original):
            def call(*args, **kwargs):
                if gathering.here.seen is None:
                    return original(*args, **kwargs)
                gathering.note_input(site, _first(args))
                if function is None:
                    outputs = original(*args, **kwargs)
                    gathering.note(site, _first(args), outputs)
                    return outputs
                with self._tapped(site, function):
                    return original(*args, **kwargs)

            return call

        return make

    def _looking_up(self, layer):
        def make(original):
            def call(inputs, *args, **kwargs):
                self._gathering.note_indices(layer, inputs)
                return original(inputs, *args, **kwargs)

            return call

        return make

    @contextlib.contextmanager
    def _tapped(self, site, function):
        """Let the layer's activation be seen, while it is called only."""

        def activation(inputs, *args, **kwargs):
            outputs = function(inputs, *args, **kwargs)
            self._gathering.note(site, inputs, outputs)
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
            # Keras says so of a validation's, which a loop may hold.
            if kwargs.get("training", True) is not False:
                self._gathering.note_loss(loss, args, kwargs)
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
        gathering, apart = self._gathering, self._apart and mode is Mode.FULL
        apart = apart and look_apart.may_look(model, self._parts, arguments)
        self._parts.guard(_ALL, gathering.begin, mode, counts, arguments)
        try:
            if apart and gathering.here.mode is Mode.FULL:
                look_apart.look(model, gathering.here, arguments, self.facts)
            yield
        finally:
            gathering.end()

    def post(self, result):
        """Send off what was gathered. Call it inside of `step`.

        Args:
            result: What the train step returned.

        Returns:
            What it has to return instead.
        """
        here = self._gathering.here
        if here.counts:
            result = self._guard(UNITS, self._post_counts, result, or_=result)
        if here.mode is Mode.FULL and self._parts.work(ACTIVATIONS, DATA):
            vector = self._packed_now(self._gathering.gathered())
            result = self._latest.post(result, vector)
        return result

    def _packed_now(self, gathered):
        """Vector of what a step showed that measures itself.

        Where the values are at hand, NumPy works it out: an operation of a
        framework takes longer to call than these take to run.
        """
        held = self._backend.at_hand(gathered)
        if held is None:
            return self.packed(gathered)
        with np.errstate(all="ignore"):
            vector = self.packed(held, host_ops)
        return self._gathering.of_all(ops.convert_to_tensor(vector))

    def _post_counts(self, result):
        counts = self._packing.pack_counts(self._gathering.here.seen)
        if counts is None:
            return result
        # Shares are made of them, so the mean is as good as the sum.
        return self._counts.post(result, self._gathering.of_all(counts))

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
        return self._gathering.here.level

    @property
    def loss(self):
        """Loss of the present step on this replica, None if not known."""
        return self._gathering.loss

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
        vector = tree.map_structure(self._to_numpy, vector)
        if isinstance(vector, dict):
            # What is small is worked out here: nothing has to be compiled.
            with np.errstate(all="ignore"):
                vector = self.packed(vector, host_ops)
        data = self._guard(DATA, packing.data_of, vector, or_={})
        seen = self._guard(
            ACTIVATIONS, self._packing.activations_of, vector, or_=None
        )
        return packing.measurement(step, seen, data, dict(self.facts))

    def _to_numpy(self, leaf):
        return None if leaf is None else self._backend.to_numpy(leaf)

    def take_counts(self):
        """`Counts` of active units since the last time, None if no step ran."""

        def take():
            vector = self._counts.take()
            return None if vector is None else self._packing.counts(vector)

        return self._guard(UNITS, take)

    def _guard(self, part, function, *arguments, or_=None):
        return self._parts.guard((part,), function, *arguments, default=or_)


def _first(args):
    return args[0] if args else None
