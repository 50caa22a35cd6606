"""What is measured beside a compiled step, at the few steps that are measured.

The step itself holds the norms of its gradients and nothing else, so it has
one variant and is compiled once. Activations and the batch come from a pass
forward on the same batch, with the weights and the seeds that the step is
about to use; norms of weights and updates from copies of the weights.
Gradients through time, where they are wanted, come from another pass, forward
and backward.
"""

from typing import Any

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard._backend import host_norms
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import is_built
from keras_gradguard.recording import parts as parts_lib

_PASS = parts_lib.ACTIVATIONS, parts_lib.DATA
_WEIGHTS = (parts_lib.WEIGHTS,)
_TIME = (parts_lib.TIME,)


def can_measure(model, taps):
    """Whether the host sees each batch of a compiled step as it comes.

    Args:
        model: A compiled Keras model.
        taps: List of its `GradientTap`.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return (
        _backend.current().compiles_steps()
        and bool(taps)
        # What the step itself has to build cannot be looked at before it.
        and is_built(model)
        and not model.run_eagerly
        and int(model.steps_per_execution or 1) == 1
        and getattr(strategy, "num_replicas_in_sync", 1) == 1
        # TensorFlow compiles a graph without XLA, too.
        and (bool(model.jit_compile) or hasattr(model, "distribute_strategy"))
    )


class Beside:
    """Measures around single executions of a compiled train step.

    Args:
        model: The model, built.
        instrument: Its `Instrument`.
    """

    def __init__(self, model, instrument):
        self._taps = instrument.taps
        self._parts = instrument.parts
        self._backend = _backend.current()
        custom = type(model).train_step is not keras.Model.train_step
        self._pass = self._backend.ForwardPass(model, instrument.xla, custom)
        self._parts_of: list = []
        self._add(_PASS, instrument.forward, of_loss=False)
        self._on_device = self._backend.compiled(
            lambda before, after: self._backend.change_norms(
                before, after, False
            )
        )
        self._begun = False
        self._errors: Any = None
        self.updates: Any = None

    def look_through_time(self, tap):
        """Measure gradients through time as well. Call it before `wrap`.

        Args:
            tap: A `TimeTap`.
        """
        self._add(_TIME, tap, of_loss=True)

    def _add(self, parts, look, of_loss):
        self._parts_of.append(parts)

        def fail(error):
            self._fail(parts, error)

        self._pass.add(look, fail, of_loss)

    def wrap(self, function):
        """The step, where the pass belongs into the same function.

        Args:
            function: What Keras made as `model.train_function`.
        """
        return self._pass.wrap(function)

    def run(self, model, function, args, weights, show=None):
        """Run an execution and measure it.

        Args:
            model: The model.
            function: What `wrap` returned.
            args: Its arguments.
            weights: Whether to measure weights and their updates.
            show: Callable that gets the batch, or None.

        Returns:
            What it returns, and a list of the vectors of the passes, None
            where one was sent off or there is none.
        """
        guard = self._parts.guard
        before = None
        if weights:
            before = guard(_WEIGHTS, self._remember, model, args)
        vectors, self._errors = [None] * len(self._parts_of), []
        self._pass.show = show
        if any(self._parts.work(*parts) for parts in self._parts_of):
            args, vectors = self._pass.look(args, before)
        result = function(*args)
        try:
            self._pass.show = None
            errors, self._errors = self._errors, None
            for parts, error in errors:
                self._parts.fail(parts, error)
            vectors = [
                guard(parts, self._pass.take, vector)
                for parts, vector in zip(self._parts_of, vectors, strict=True)
            ]
            if before is not None:
                guard(_WEIGHTS, self._compare, model, result, before)
        except BaseException:
            # Ctrl-C, most likely while this waits for the device.
            keras_private.hold_state(model, result)
            raise
        return result, vectors

    def _fail(self, parts, error):
        if self._errors is None:
            self._parts.fail(parts, error)
        else:
            # What the step itself raises as well is no failure of ours.
            self._errors.append((parts, error))

    def _remember(self, model, args):
        """Copies from before the step, by the `id` of their variable."""
        values = self._backend.values_before(model, args)
        # An optimizer may not know its variables before its first step.
        variables = list(model.trainable_variables)
        known = {id(v) for v in variables}
        for tap in self._taps:
            own = [*tap.records.expected, keras_private.counter(tap.optimizer)]
            variables += [v for v in own if id(v) not in known]
        present = [values(v) for v in variables]
        copies = self._backend.kept(present)
        before = {
            id(variable): copy
            for variable, copy in zip(variables, copies, strict=True)
        }
        self._begin_to_compile(before)
        return before

    def _begin_to_compile(self, before):
        """Compile what compares the weights while the step is compiled."""
        for tap in self._taps:
            copies = [before[id(v)] for v in tap.records.expected]
            if copies and not self._begun and _are_on_device(copies):
                self._begun = True
                self._on_device = self._backend.compile_ahead(
                    self._on_device, copies, copies
                )

    def _compare(self, model, result, before):
        values = self._backend.values_after(model, result)
        for tap in self._taps:
            count = keras_private.counter(tap.optimizer)
            norms = self._change(
                [before[id(v)] for v in tap.records.expected],
                [values(v) for v in tap.records.expected],
            )
            # A copy stays, where the next step takes its state with it.
            (after,) = self._backend.copies([values(count)])
            self.updates.note(tap, norms, before[id(count)], after)

    def _change(self, before, after):
        if _are_on_device(before):
            return self._on_device(before, after)
        # To wait for the step costs less than to compile a function.
        return host_norms.change_norms(before, self._backend.on_host(after))


def _are_on_device(copies):
    return not all(isinstance(copy, np.ndarray) for copy in copies)
