"""Activations and batches of loops that are not `fit`.

There, what belongs to a step lies in front of it: the optimizer's `apply` is
its end, and the next step begins behind it. What the model is called on in
between is measured as a train step of `fit` is, at the same few steps. Calls
of a validation are left out.
"""

import functools
import inspect
from typing import Any

import keras

from keras_gradguard import _backend
from keras_gradguard.models.layers import call_name
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.recording.parts import ACTIVATIONS
from keras_gradguard.recording.parts import DATA
from keras_gradguard.recording.step.activations import ForwardTap

_PARTS = ACTIVATIONS, DATA


class LoopForward:
    """Measures what a model shows between two steps.

    Args:
        model: A Keras model, compiled or not.
        parts: `Parts` of the recording.
    """

    def __init__(self, model, parts):
        self._model = model
        self._parts = parts
        self._backend = _backend.current()
        self._tap: Any = None
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
        self._tap = ForwardTap(self._model, self._parts, False)
        self._tap.attach(self._model, patches)
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
            if not self._tap.is_open:
                return original(*args, **kwargs)
            training = kwargs.get("training")
            if 0 <= position < len(args):
                training = args[position]
            if self._is_of_a_step(training):
                outputs = original(*args, **kwargs)
                if whole:
                    self._tap.note_outputs(outputs)
                return outputs
            with self._tap.paused():
                return original(*args, **kwargs)

        return call

    def _is_of_a_step(self, training):
        if not self._backend.is_eager() or training is False:
            return False
        return training is not None or self._backend.notes_gradients()

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
