"""Activations and batches of loops that are not `fit`.

There, what belongs to a step lies in front of it: the optimizer's `apply` is
its end, and the next step begins behind it. What the model is called on in
between is measured as a train step of `fit` is, at the same few steps. Calls
of a validation are left out.

Of a step that is compiled the batch is kept, and the model runs forward on it
once more, with the weights from before the step.
"""

import functools
import inspect
from typing import Any

import keras

from keras_gradguard import _backend
from keras_gradguard._backend.errors import MakesItsBatchError
from keras_gradguard.models.layers import call_name
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.step.loop_tap import LoopTap

_PARTS = ACTIVATIONS, DATA
_NOT_CALLED = (
    "Activations and batches were not measured: the compiled step calls "
    "parts of the watched model, and never the model itself."
)


class LoopForward:
    """Measures what a model shows between two steps.

    Args:
        model: A Keras model, compiled or not.
        parts: `Parts` of the recording.

    Attributes:
        note: Str, why a compiled step shows nothing, or None.
    """

    def __init__(self, model, parts):
        self._model = model
        self._parts = parts
        self._backend = _backend.current()
        self._tap: Any = None
        self._look: Any = None
        self._held_step: Any = None
        self.note: Any = None
        self._measured: list = []

    def attach(self, patches):
        """Patch the model, if all of its layers are built.

        Args:
            patches: `Patches` that will undo it.
        """
        if self._tap is None:
            self._parts.guard(_PARTS, self._attach, patches)

    def _attach(self, patches):
        layers = forward_layers(self._model)
        if not all(layer.built for layer in layers):
            return
        self._parts.wanted.update(_PARTS)
        self._tap = LoopTap(self._model, self._parts)
        self._tap.attach(self._model, patches)
        if self._backend.compiles_steps():
            self._look = self._backend.LoopLook(self._model, self._tap)
            patches.replace(self._model, "compute_loss", self._make_loss)
        for layer in layers:
            if isinstance(layer, keras.Model):
                make = functools.partial(
                    self._make_call, whole=layer is self._model
                )
                patches.replace(layer, call_name(layer), make)

    def _make_call(self, original, whole):
        known = inspect.signature(original).parameters
        position = list(known).index("training") if "training" in known else -1

        def call(*args, **kwargs):
            if not self._sees_calls:
                return original(*args, **kwargs)
            training = kwargs.get("training")
            if 0 <= position < len(args):
                training = args[position]
            if self._is_shown(training):
                outputs = original(*args, **kwargs)
                if whole:
                    self._tap.note_outputs(outputs)
                return outputs
            with self._tap.paused():
                outputs = original(*args, **kwargs)
            if whole and args and self._is_of_a_step(training):
                self._parts.guard(
                    _PARTS, self._keep, args[0], training, outputs
                )
            return outputs

        return call

    @property
    def _sees_calls(self):
        return self._tap.is_open or (
            self._look is not None and not self._backend.is_eager()
        )

    def _is_shown(self, training):
        if self._look is not None and self._look.is_looking:
            return True
        return self._backend.is_eager() and self._is_of_a_step(training)

    def _is_of_a_step(self, training):
        if training is None:
            return self._backend.notes_gradients()
        return training is not False

    # What a compiled step is given, while it is traced

    def _keep(self, inputs, training, outputs):
        _, xla, _ = self._backend.traced_by(())
        self._look.keep(inputs, training, outputs, xla)

    def _make_loss(self, original):
        def compute_loss(*args, **kwargs):
            loss = original(*args, **kwargs)
            looks = self._look.is_looking or self._backend.is_eager()
            if not looks and kwargs.get("training", True) is not False:
                self._parts.guard(_PARTS, self._keep_targets, args, kwargs)
            return loss

        return compute_loss

    def _keep_targets(self, args, kwargs):
        names = ("x", "y", "y_pred", "sample_weight")
        given = dict(zip(names, args, strict=False), **kwargs)
        try:
            self._look.keep_targets(given)
        except MakesItsBatchError as error:
            self.note = f"Targets were not measured, because {error}."

    # Around a call of it

    def hold(self, step, function, arguments):
        """Remember what the model holds before a step that is to be measured.

        Args:
            step: Int. The optimizer's step.
            function: What the backend's `count_calls` took.
            arguments: What it is called with, a tuple and a dict.
        """
        if self._look is not None and self._parts.work(*_PARTS):
            self._held_step = step
            self._parts.guard(_PARTS, self._look.hold, function, arguments)

    @property
    def held_step(self):
        """The step that `look` belongs to, None where nothing is held."""
        return self._held_step

    def look(self, ran):
        """Measure the step for which `hold` was called.

        Args:
            ran: Bool. Whether it was made, and no other one.
        """
        step, self._held_step = self._held_step, None
        if step is None:
            return
        if not self._look.keeps:
            self.note = _NOT_CALLED
        if ran and self._look.keeps:
            self._parts.guard(_PARTS, self._look_at, step)
        self._look.drop()

    def _look_at(self, step):
        vector = self._look.look()
        self._measured.append(self._tap.measurement((step, vector)))

    # Around the steps

    def open(self):
        """Begin a step that is to be measured."""
        if self._tap is not None and self._backend.is_eager():
            self._tap.open()

    def close(self, step):
        """End what `open` began; the step's update comes next.

        Args:
            step: Int. The optimizer's step.
        """
        if self._tap is not None and self._tap.is_open:
            found = self._parts.guard(_PARTS, self._tap.close, step)
            if found is not None:
                self._measured.append(found)

    def take(self):
        """List of the `Measurement` since the last time."""
        measured, self._measured = self._measured, []
        return measured

    def stop(self):
        """Measure no more."""
        if self._tap is not None:
            self._tap.drop()
        if self._look is not None:
            self._look.drop()
