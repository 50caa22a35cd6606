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
_APART = (
    "Activations and batches were not measured: what is compiled holds the "
    "model and not the optimizer. Call `apply` inside of it."
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
        self._witness: list = []  # a variable that a step trains
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
        self._witness = self._model.trainable_variables[:1]
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
            if not self._is_of_a_step(training):
                with self._tap.paused():
                    return original(*args, **kwargs)
            keeps = whole and args and self._keeps_calls
            state = None
            if keeps:
                state = self._parts.guard(_PARTS, self._look.before)
            if self.is_looking or self._backend.is_eager():
                outputs = original(*args, **kwargs)
                if whole:
                    self._tap.note_outputs(outputs)
            else:
                with self._tap.paused():
                    outputs = original(*args, **kwargs)
            if keeps:
                given = args[0], training, outputs, state
                self._parts.guard(_PARTS, self._keep, *given)
            return outputs

        return call

    @property
    def is_looking(self):
        """Whether a pass of our own is being traced."""
        return self._look is not None and self._look.is_looking

    @property
    def _keeps_calls(self):
        return (
            self._look is not None
            and self._backend.is_traced(self._witness)
            and not self.is_looking
        )

    @property
    def _sees_calls(self):
        return self._tap.is_open or self._keeps_calls

    def _is_of_a_step(self, training):
        if training is None and not self.is_looking:
            return self._backend.notes_gradients(self._witness)
        return training is not False

    # What a compiled step is given, while it is traced

    def _keep(self, *given):
        _, xla, _ = self._backend.traced_by(())
        self._look.keep(*given, xla)

    def _make_loss(self, original):
        def compute_loss(*args, **kwargs):
            loss = original(*args, **kwargs)
            shown = kwargs.get("training", True) is not False
            if shown and self._look.keeps and not self.is_looking:
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

    def look_inside(self, level, step, due):
        """Measure in the step that is traced, where that is how it is done.

        Args:
            level: The trace of the step, as the backend tells it.
            step: Integer scalar, the optimizer's step.
            due: Bool scalar: whether to measure it.
        """
        if self._look is None:
            return
        if self._look.keeps:
            look = self._look.look_inside
            self._parts.guard(_PARTS, look, level, step, due)
        else:
            self.note = _NOT_CALLED

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
        if self._tap is not None:
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
            elif self._look is not None and self._look.keeps:
                self.note = _APART

    def take(self):
        """List of the `Measurement` since the last time."""
        for arrived in self._look.arrived() if self._look else ():
            found = self._parts.guard(_PARTS, self._tap.measurement, arrived)
            if found is not None:
                self._measured.append(found)
        measured, self._measured = self._measured, []
        return measured

    def stop(self):
        """Measure no more."""
        if self._tap is not None:
            self._tap.drop()
        if self._look is not None:
            self._look.drop()
