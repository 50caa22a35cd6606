"""Records the optimizers of a loop that is not `fit`.

Here nothing stands around the step. It begins and ends with the optimizer's
`apply`, which runs step by step, or is traced once into a function of the
user's own.

Longer than 350 lines, since one class is all that a callback asks, and what is
patched together is undone together.
"""

import functools
import threading
from typing import Any

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._backend import ring_layout
from keras_gradguard.models import keras_private
from keras_gradguard.models import layers as layers_lib
from keras_gradguard.models import optimizers as optimizers_lib
from keras_gradguard.models.patches import Patches
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.loop_forward import LoopForward
from keras_gradguard.recording.parts import GRADIENTS
from keras_gradguard.recording.parts import WEIGHTS
from keras_gradguard.recording.parts import Parts
from keras_gradguard.recording.record import ring_rows
from keras_gradguard.recording.ring_parts import read_part
from keras_gradguard.recording.schedule import is_full_step
from keras_gradguard.recording.step.clip_tap import ClipTap
from keras_gradguard.recording.step.gradients import GradientTap
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.loop_loss import LoopLoss
from keras_gradguard.recording.step.loss_scale_tap import LossScaleTap


class _Inside(threading.local):
    """Where a thread is.

    Attributes:
        step: Whether it is in a step.
        waits: Whether what led to that step is still to be measured.
        traced: Whether the step is being traced.
        level: In which trace, where no function of the backend's tells.
    """

    step = waits = traced = False
    level: Any = None


class LoopRecording:
    """Records some optimizers from `start` to `stop`, for one subscriber.

    The steps are those of the first optimizer. The records of others, which
    count for themselves, are spread evenly over them.

    Args:
        model: A Keras model, compiled or not.
        optimizers: List of the Keras optimizers that the loop applies.

    Attributes:
        active: Whether the optimizers are patched at present.
        recorded: Number of records so far.
        executions: Number of steps that ran or were traced, at least 1.
        cache: Dict for compiled functions of others.
        reason: Why nothing can be recorded, or None.
    """

    def __init__(self, model, optimizers):
        self._model = model
        self._optimizers = optimizers
        self._backend = _backend.current()
        self.active = False
        self.recorded, self.executions = 0, 1
        self.cache = {}
        self._parts = Parts()
        self._parts.wanted = {GRADIENTS, WEIGHTS}
        leaves = [leaf for o in optimizers for leaf in optimizers_lib.leaves(o)]
        reasons = [optimizers_lib.why_unreadable(leaf) for leaf in leaves]
        self.reason = reasons[0] if all(reasons) else None
        self._taps = [
            GradientTap(leaf, ring_rows, False, self._parts, self._make_ring)
            for leaf, why in zip(leaves, reasons, strict=True)
            if why is None
        ]
        self._forward = LoopForward(model, self._parts)
        self._loss = LoopLoss(model, self._parts, self._forward)
        for tap in self._taps:
            tap.find_loss = self._loss.of_step
        self._subscriber: Any = None
        self._patches = Patches()
        self._call_order = layers_lib.CallOrder()
        self._table = None
        self._inside = _Inside()
        self._lock = threading.RLock()
        self._read = [0] * len(self._taps)
        self._waiting, self._period = 0, 8
        self._first_step = self._counted = 0
        # Batches that the first optimizer has seen, as far as the host knows.
        self._expected = 0
        # Functions of the user's, and those that apply the first optimizer.
        self._functions: list = []
        self._of_first: list = []

    # What a callback asks a recording for

    def start(self, subscriber, steps_per_epoch=None):
        """Begin to record.

        Args:
            subscriber: Object with `take(block)`,
                `on_part_failure(sentences)` and `on_recording_failure(error)`.
            steps_per_epoch: Not used.
        """
        del steps_per_epoch
        self._subscriber = subscriber
        self._parts.on_failure = subscriber.on_part_failure
        if self.reason is not None:
            return
        self.active = True
        self._first_step = self._counted = self._done(self._taps[0].optimizer)
        for tap in self._taps:
            tap.attach(self._patches)
        by_leaf = {id(tap.optimizer): tap for tap in self._taps}
        for optimizer in self._optimizers:
            for kind, members in (
                (LossScaleTap, optimizers_lib.loss_scalers(optimizer)),
                (ClipTap, optimizers_lib.adaptive_clippers(optimizer)),
            ):
                for member in members:
                    for leaf in optimizers_lib.leaves(member):
                        if id(leaf) in by_leaf:
                            outer = kind(member, by_leaf[id(leaf)])
                            outer.attach(self._patches)
            for name in ("apply", "stateless_apply"):
                is_first = optimizer is self._optimizers[0]
                make = functools.partial(self._make_step, name, is_first)
                self._patches.replace(optimizer, name, make)
        # Its patches are undone first.
        self._forward.attach(self._patches)
        self._call_order.watch(self._model)
        self._loss.attach(self._patches)
        if hasattr(self._model, "train_function"):
            # A step that was compiled before has none of this in it.
            self._patches.hide(self._model, "train_function")
        self._open()

    def stop(self, subscriber):
        """Leave model and optimizers as they were. Safe to repeat.

        Args:
            subscriber: As passed to `start`.
        """
        del subscriber
        if self.active:
            self.flush()
        self.active = False
        self._forward.stop()
        self._call_order.stop()
        self._patches.undo()

    @property
    def step(self):
        """Steps of the first optimizer so far, as far as the host knows."""
        return self._counted

    @property
    def failed(self):
        """Set of the `parts` that are recorded no more."""
        return self._parts.failed

    @property
    def order_known(self):
        """Whether the table's order will stay as it is."""
        return layers_lib.knows_order(self._model) or bool(
            self._call_order.ranks
        )

    def make_table(self):
        """The model's layers, once it is built."""
        if self._table is None or not self._table[0]:
            table = layers_lib.layer_table(self._model, self._call_order.ranks)
            self._table = self.order_known, table
        return self._table[1]

    def why_nothing(self):
        """Why no record came."""
        return (
            "no optimizer that is watched made a step that could be seen. "
            "Either the loop applies another one: pass it, as in "
            "`watch(model, optimizer)`. Or the step was compiled before "
            "`watch` began: make its `tf.function` or `jax.jit`, or call it "
            "for the first time, inside of the `with`"
        )

    def why_not_yet(self, first):
        """Each step of a loop of the user's own is due: None."""
        del first

    @property
    def notes(self):
        """List of str, what cannot be measured in this loop, and why."""
        return [] if self._forward.note is None else [self._forward.note]

    def epoch_begin(self):
        """A loop of the user's own has no epochs."""

    def record_histograms(self):
        """There are none in a loop of the user's own."""

    def ask_for_histogram(self, subscriber):
        """There are none in a loop of the user's own."""

    @property
    def owners(self):
        """Set of str, the classes of the callbacks that listen."""
        return {self._subscriber.owner}

    def flush(self):
        """Deliver all records that are still on the device."""
        if not self.active:
            return
        self._backend.wait_for_records()
        self._drain(last=True)

    # The step

    def _make_step(self, name, is_first, original):
        def step(*args, **kwargs):
            if not self.active:
                return original(*args, **kwargs)
            if self._inside.step:
                # `stateless_apply` calls `apply`, with the state in place.
                self._at_apply()
                return original(*args, **kwargs)
            self._inside.step = True
            traced = True
            try:
                traced = self._begin(args, kwargs, is_first)
                if name == "apply":
                    self._at_apply()
                return original(*args, **kwargs)
            finally:
                self._inside.step = self._inside.waits = False
                self._inside.level = None
                for tap in self._taps:
                    tap.mode = Mode.OFF
                self._call_order.stop()
                self._loss.end()
                if not traced:
                    if is_first:
                        self._open(name)
                    self._ran()

        return step

    def _at_apply(self):
        """Measure what led to a step, where the optimizer's state is known."""
        waits, self._inside.waits = self._inside.waits, False
        if not waits:
            return
        try:
            first = self._taps[0].optimizer
            if not self._inside.traced:
                self._expected = self._applied(first)
                self._forward.close(self._expected // _accumulated(first))
            elif self._inside.level is not None:
                applied = ops.convert_to_tensor(keras_private.counter(first))
                step = applied // _accumulated(first)
                due = self._is_due(applied, first)
                self._forward.look_inside(self._inside.level, step, due)
        except Exception as error:
            self._fail(error)

    def _open(self, name="apply"):
        """Begin what leads to the next step of the first optimizer.

        Args:
            name: Name of the method that made the last one.
        """
        if not self.active:
            return
        try:
            first = self._taps[0].optimizer
            self._forward.attach(self._patches)
            if name == "apply":
                self._expected = self._applied(first)
            else:
                self._expected += 1  # The loop carries the state.
            if self._is_due(self._expected, first):
                self._forward.open()
        except Exception as error:
            self._fail(error)

    def _is_due(self, applied, optimizer):
        """Whether the step after so many batches is to be measured."""
        steps = _accumulated(optimizer)
        updates = (applied + 1) % steps == 0
        return updates & is_full_step(applied // steps - self._first_step)

    def _begin(self, args, kwargs, is_first):
        """Choose what the step records; whether it is being traced."""
        try:
            traced, xla, function = self._backend.traced_by((args, kwargs))
            self.executions += 1
            if function is not None:
                self._watch_calls(function, is_first)
            if traced:
                self._backend.compile_anew(self._patches)
            self._loss.begin((args, kwargs), traced, xla)
            self._inside.waits, self._inside.traced = is_first, traced
            if function is None:
                self._inside.level = self._backend.level((args, kwargs))
            for tap in self._taps:
                tap.records.xla = xla
                tap.mode = Mode.FULL
                if not traced and not self._is_full(tap.optimizer):
                    tap.mode = Mode.NORMS
        except Exception as error:
            self._fail(error)
            return True
        return traced

    def _watch_calls(self, function, is_first):
        """Look at each call of a function in which a step was traced."""
        if function not in self._functions:
            self._functions.append(function)
            self._backend.count_calls(
                function,
                functools.partial(self._call_begins, function),
                functools.partial(self._call_ended, function),
                self._patches,
            )
        if is_first and function not in self._of_first:
            self._of_first.append(function)
            # The call that traces it has begun already.
            arguments = self._backend.arguments_now(function)
            self._call_begins(function, *arguments)

    def _call_begins(self, function, *arguments):
        """Hold what the model holds, if the step that comes is measured."""
        if function not in self._of_first:
            return
        self._look()
        try:
            first = self._taps[0].optimizer
            # The host counts calls, and asks the device now and then only:
            # once it may be the turn of a batch of such an update. Of the
            # call that traces a function it sees no end.
            steps = _accumulated(first)
            near = range(self._expected, self._expected + steps)
            if not any(self._is_due(applied, first) for applied in near):
                return
            self._expected = self._applied(first)
            if self._is_due(self._expected, first):
                step = self._expected // steps
                self._forward.hold(step, function, arguments)
        except Exception as error:
            self._fail(error)

    def _call_ended(self, function):
        if function in self._of_first:
            self._expected += 1
            self._look()
        self._ran()

    def _look(self):
        """Measure what was held for, once its step has run."""
        step = self._forward.held_step
        if step is None or not self.active:
            return
        try:
            done = self._done(self._taps[0].optimizer)
            if done > step:
                self._expected = self._applied(self._taps[0].optimizer)
            self._forward.look(done == step + 1)
        except Exception as error:
            self._fail(error)

    def _make_ring(self, rows, columns, optimizer, name):
        ring = self._backend.loop_ring(rows, columns, optimizer, name)
        ring.counter = keras_private.counter(optimizer)
        ring.on_record = self._ran
        return ring

    def _is_full(self, optimizer):
        return is_full_step(self._done(optimizer) - self._first_step)

    def _done(self, optimizer):
        """Steps of an optimizer so far, as its variable tells them."""
        steps = _accumulated(optimizer)
        return self._applied(optimizer) // steps

    def _applied(self, optimizer):
        """Batches that an optimizer has seen so far."""
        if not optimizer.built:
            return 0
        return int(self._backend.value_now(keras_private.counter(optimizer)))

    # Delivering

    def _ran(self):
        """Note that a step ran; read the rings before they are full."""
        self._waiting += 1
        if self._waiting >= self._period:
            self._drain()

    def _drain(self, last=False):
        if not self.active:
            return
        try:
            with self._lock:
                self._deliver(last)
        except Exception as error:
            self._fail(error)

    def _deliver(self, last):
        self._waiting = 0
        if last:
            self._look()
        parts = self._parts.guard((GRADIENTS,), self._read_rings, last)
        if parts is None and self._parts.work(GRADIENTS):
            return
        table = self.make_table()
        known = table.index
        if any(id(v) not in known for p in parts or () for v in p.variables):
            raise ValueError(
                "an optimizer moves variables that are not those of the "
                "watched model; pass the model that holds them all"
            )
        # First what steps showed, so that a look at their records knows it.
        for measured in self._forward.take():
            self._subscriber.take(measured)
        if parts is None:
            return
        block = _wanted(Block.merge(parts, table), self._first_step)
        self.recorded += len(block.steps)
        self._counted = int(block.steps[-1]) + 1
        self._subscriber.take(block)

    def _read_rings(self, last):
        """List of a `Part` of each ring, None if nothing is to be told yet."""
        present = [
            (i, tap, self._backend.to_numpy(tap.records.ring.snapshot()))
            for i, tap in enumerate(self._taps)
            if tap.records.ring is not None
        ]
        if not present:
            return None
        numbers = None
        if len(present) > 1 or len(self._optimizers) > 1:
            i, _, store = present[0]
            numbers = ring_layout.unread(store, self._read[i])[0].tolist()
            slow = [
                ring_layout.unread(store, self._read[i])[3] == self._read[i]
                for i, _, store in present
            ]
            if any(slow) and not last:
                return None  # records of an optimizer that steps less often
        parts, fullest = [], 0.0
        for i, tap, store in present:
            before = self._read[i]
            part, self._read[i] = read_part(tap, store, before, numbers)
            fullest = max(
                fullest, (self._read[i] - before) / tap.records.ring.rows
            )
            parts.append(part)
        if fullest < 0.25:
            self._period = min(2 * self._period, 256)
        elif fullest > 0.5:
            self._period = max(1, self._period // 2)
        return parts if any(len(part.steps) for part in parts) else None

    def _fail(self, error):
        self.active = False
        self._forward.stop()
        for tap in self._taps:
            tap.mode = Mode.OFF
        self._subscriber.on_recording_failure(error)


def _accumulated(optimizer):
    """Batches that make an update."""
    return optimizer.gradient_accumulation_steps or 1


def _wanted(block, first_step):
    """The block with the updates that a `fit` would have measured."""
    keep = np.array(
        [is_full_step(step - first_step) for step in block.update_steps], bool
    )
    return block.with_updates(keep)
