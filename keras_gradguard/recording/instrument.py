"""The taps on an optimizer, and the train steps compiled with them in place.

Compiling is dear, so an instrument outlives the fit it was made for: it
hangs on the `train_function` that the fit found, and is used again by the
next watched fit. Keras drops that function whenever the step has to be
compiled anew (`compile`, a recompiled trainable state), and the instrument
with it.

Longer than 350 lines, since what is patched together is undone together.
"""

import contextlib
import functools
from typing import Any

import keras

from keras_gradguard import _backend
from keras_gradguard._backend import randomness
from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.models.layers import CallOrder
from keras_gradguard.models.patches import Patches
from keras_gradguard.recording import beside
from keras_gradguard.recording import checkpoints
from keras_gradguard.recording.measurements import GradientCounts
from keras_gradguard.recording.parts import GRADIENTS
from keras_gradguard.recording.parts import HISTOGRAMS
from keras_gradguard.recording.parts import TIME
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.parts import Parts
from keras_gradguard.recording.record import ring_rows
from keras_gradguard.recording.step.activations import ForwardTap
from keras_gradguard.recording.step.clip_tap import ClipTap
from keras_gradguard.recording.step.gradients import GradientTap
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.loss_scale_tap import LossScaleTap
from keras_gradguard.recording.step.time_gradients import TimeTap

_CACHED = "_gradguard_instrument"


class Instrument:
    """Taps on a model's optimizers and variants of its train step.

    Args:
        model: A compiled Keras model.

    Attributes:
        optimizers: List of those that the step may apply, see
            `optimizers.all_of`; the model's own comes first.
        taps: List of `GradientTap`.
        forward: `ForwardTap` of the model.
        counts: Whether every step notes which units are active.
        units: List of `UnitGradient` that every step counts.
        histograms: Whether somebody may ask for histograms of gradients.
        parts: `Parts`, what is recorded still.
        broken: Whether a step broke off; then nothing more is recorded.
        call_order: `CallOrder` of the model's layers.
        cache: Dict for compiled functions of others, kept as long.
        beside: `Beside` where full steps are measured beside the compiled
            step, which then has one variant; else None.
        time: `TimeTap` where gradients through time are wanted, else None.
        only_mode: The `Mode` of the one variant that may run, since the step
            draws numbers that would be others in each; else None.
        draw: Str, the operation that draws them, or None.
    """

    def __init__(self, model):
        self.optimizer = model.optimizer
        self.optimizers = optimizers.all_of(model)
        optimizers.build_members(model)
        self._backend = _backend.current()
        self.xla = _is_jitted(model)
        self.broken = False
        self.parts = Parts()
        self.cache = {}
        self.taps = [
            GradientTap(leaf, ring_rows, self.xla, self.parts)
            for optimizer in self.optimizers
            for leaf in optimizers.leaves(optimizer)
            if optimizers.why_unreadable(leaf) is None
        ]
        apart = keras.backend.backend() == "tensorflow"
        apart = apart and not self.xla and not model.run_eagerly
        self.forward = ForwardTap(model, self.parts, apart)
        self.beside: Any = None
        if beside.can_measure(model, self.taps):
            self.beside = beside.Beside(model, self)
            for tap in self.taps:
                tap.measures_updates = False
        self.time: Any = None
        self.only_mode: Any = None
        self.draw: Any = None
        self.counts = False
        self.units = []
        self.histograms = False
        for tap in self.taps:
            tap.find_loss = self._loss
            tap.steps_at_once = _steps_at_once(model)
        by_leaf = {id(tap.optimizer): tap for tap in self.taps}
        self._scale_taps = [
            LossScaleTap(scaler, by_leaf[id(leaf)])
            for optimizer in self.optimizers
            for scaler in optimizers.loss_scalers(optimizer)
            for leaf in optimizers.leaves(scaler)
            if id(leaf) in by_leaf
        ]
        self._clip_taps = [
            ClipTap(clipper, by_leaf[id(leaf)])
            for optimizer in self.optimizers
            for clipper in optimizers.adaptive_clippers(optimizer)
            for leaf in optimizers.leaves(clipper)
            if id(leaf) in by_leaf
        ]
        self._patches = Patches()
        self._variants = {}
        self.call_order = CallOrder()

    def fits(self, model, time):
        """Whether it was made for the model as it is now.

        Args:
            model: A compiled Keras model.
            time: Bool. Whether gradients through time are wanted.
        """
        present = optimizers.all_of(model)
        return (
            len(present) == len(self.optimizers)
            and all(
                a is b for a, b in zip(present, self.optimizers, strict=True)
            )
            and _is_jitted(model) == self.xla
            and not self.broken
            and not self.parts.has_faults
            and (time or self.time is None)
            and self._is_beside_as_for(model)
            and all(tap.records.is_current for tap in self.taps)
        )

    def _is_beside_as_for(self, model):
        if self.only_mode is not None:
            return True  # In another step the numbers would begin anew.
        return (self.beside is None) != beside.can_measure(model, self.taps)

    def attach(self, model):
        """Patch the optimizers.

        Args:
            model: The model.
        """
        # A fit that broke off may have left some.
        for box in self._outboxes:
            box.forget()
        for tap in self.taps:
            tap.attach(self._patches)
            if tap.optimizer.built:
                with _scope_of(model):
                    self.parts.guard((GRADIENTS,), tap.prepare)
        for scale_tap in self._scale_taps:
            scale_tap.attach(self._patches)
        for clip_tap in self._clip_taps:
            clip_tap.attach(self._patches)
        self.forward.attach(model, self._patches)
        if not self.call_order.ranks:
            self.call_order.watch(model)
        checkpoints.add(self.taps)
        checkpoints.hide(self.optimizer, self.taps, self._patches)
        keras_private.record_shardings(model)

    def look_through_time(self, model):
        """Measure gradients through time in full steps from now on.

        Args:
            model: The model.
        """
        self.parts.wanted.add(TIME)
        if self.time is None:
            self.time = TimeTap(model, self.xla)
            # What they are to look for is compiled into them.
            self._variants.clear()
            if self.beside is not None:
                self.beside.look_through_time(self.time)

    def forget_variants(self):
        """Have the steps made anew, now that all layers are built."""
        self._variants.clear()
        self.time.waits = False

    def record_histograms(self, model):
        """Make room for histograms of the gradients.

        Args:
            model: The model.
        """
        self.histograms = True
        before = [tap.ring_variables for tap in self.taps]
        self.parts.wanted.add(HISTOGRAMS)
        for tap in self.taps:
            tap.counts_histograms = True
            if tap.optimizer.built:
                with _scope_of(model):
                    self.parts.guard((HISTOGRAMS,), tap.prepare_histograms)
        if [tap.ring_variables for tap in self.taps] != before:
            # Keras on JAX wrote down the shardings of the state from before.
            self._variants.clear()
            keras_private.record_shardings(model)

    def detach(self, model):
        """Leave the optimizers as they were. Safe to call twice.

        Args:
            model: The model, or None if it is gone.
        """
        self.counts, self.units, self.histograms = False, [], False
        self.parts.wanted -= {UNITS, HISTOGRAMS, TIME}
        for tap in self.taps:
            tap.counts_histograms = False
        self.call_order.stop()
        self._patches.undo()
        checkpoints.remove(self.taps)
        keras_private.record_shardings(model)

    @property
    def counts_apart(self):
        """Whether a variant of the step counts histograms, see the taps."""
        return self.histograms and any(tap.counts_apart for tap in self.taps)

    def variant(self, model, mode, counting=False):
        """The train function that records in a mode.

        Args:
            model: The model.
            mode: A `Mode`.
            counting: Whether it counts histograms, where they are counted in
                a variant of their own.

        Returns:
            What Keras would have made as `model.train_function`.
        """
        units = tuple(id(u.variable) for u in self.units)
        key = mode, counting, self.histograms, self.counts, units
        if key not in self._variants:
            self._variants[key] = self._make_variant(model, mode, counting)
        return self._variants[key]

    def _make_variant(self, model, mode, counting):
        # A wrapper of our own keeps the trace of each variant apart from the
        # others.
        original = model.train_step
        counts, units = self.counts, list(self.units)
        boxes = self._logged_outboxes(mode, counts, units)
        # What Keras compiles gives back the logs of the last step only.
        compiled = bool(boxes) and self.xla
        stacks = compiled and (counts or units) and _steps_at_once(model) > 1

        def train_step(*args, **kwargs):
            if mode is Mode.FULL and self.beside is None:
                self._look_through_time(model, args)
            self._set_mode(mode, counting)
            try:
                with self.forward.step(model, self.mode, counts, args):
                    with self._counting(units):
                        result = original(*args, **kwargs)
                    self._note_draw(mode)
                    result = self._post(result)
            finally:
                self._set_mode(Mode.OFF)
            if stacks:
                logs, state = result
                return self._backend.one_of_many(logs), state
            return result if compiled else _collected(boxes, result)

        function = keras_private.make_train_function(model, train_step, stacks)
        if self.beside is not None:
            function = self.beside.wrap(function)
        if not compiled:
            return function

        def train_function(*args):
            logs, state = _collected(boxes, function(*args))
            return self._backend.last_of_many(logs) if stacks else logs, state

        return train_function

    def _note_draw(self, mode):
        """Keep to a variant that has random states of its own."""
        if self.only_mode is None and self.beside is None and not self.xla:
            self.draw = self._backend.draw_of_its_own()
            self.only_mode = None if self.draw is None else mode

    def _look_through_time(self, model, args):
        if self.time is not None:
            with randomness.kept():
                self.parts.guard((TIME,), self.time.look_now, model, args)

    @property
    def _outboxes(self):
        return self.forward.outboxes + [tap.unit_counts for tap in self.taps]

    def _logged_outboxes(self, mode, counts, units):
        """Those whose vectors leave the step among its logs."""
        boxes = self.forward.outboxes if counts or mode is Mode.FULL else []
        if units:
            boxes = boxes + [tap.unit_counts for tap in self.taps]
        return [box for box in boxes if box.in_logs]

    @contextlib.contextmanager
    def _counting(self, units):
        """Let the taps count the units that their optimizers update."""
        for tap in self.taps:
            tap.find_units = functools.partial(self._units_of, tap, units)
        try:
            yield
        finally:
            for tap in self.taps:
                tap.find_units = list

    def _post(self, result):
        result = self.forward.post(result)
        for tap in self.taps:
            result = self.parts.guard(
                (UNITS,),
                tap.unit_counts.post_staged,
                result,
                self.forward.level,
                default=result,
            )
        return result

    def take_unit_counts(self):
        """`GradientCounts` of the steps since the last time."""
        counts, steps = {}, 0.0
        for tap in self.taps:
            vector = tap.unit_counts.take()
            if vector is None:
                continue
            steps = max(steps, float(vector[0]))
            at = 1
            for unit in self._units_of(tap, self.units):
                counts[unit.site.path] = vector[at : at + unit.units]
                at += unit.units
        return GradientCounts(counts, steps)

    def _units_of(self, tap, units):
        """Those of the units that the tap's optimizer updates."""
        built = {id(v) for v in keras_private.updated_variables(tap.optimizer)}
        return [u for u in units if id(u.variable) in built]

    @property
    def mode(self):
        """The `Mode` that is being recorded."""
        return self.taps[0].mode

    def _loss(self):
        return self.forward.loss

    def _set_mode(self, mode, counting=False):
        for tap in self.taps:
            tap.mode = Mode.OFF if self.broken else mode
            tap.counts_now = counting


def instrument_of(model, time):
    """The instrument that an earlier fit left for a model, or a new one.

    Args:
        model: A compiled Keras model that is not instrumented.
        time: Bool. Whether gradients through time are wanted.

    Returns:
        An `Instrument`.
    """
    function = model.train_function
    instrument = getattr(function, _CACHED, None)
    if instrument is None or not instrument.fits(model, time):
        instrument = Instrument(model)
        with contextlib.suppress(AttributeError, TypeError):
            setattr(function, _CACHED, instrument)
    return instrument


def _is_jitted(model):
    return bool(model.jit_compile) and not model.run_eagerly


def _steps_at_once(model):
    return int(model.steps_per_execution or 1)


def _collected(boxes, result):
    """What a step returns, without what was posted among its logs."""
    if not boxes:
        return result
    logs, state = result
    for box in boxes:
        logs = box.collect(logs)
    return logs, state


def _scope_of(model):
    """Strategy scope of a TensorFlow model, or nothing."""
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()
