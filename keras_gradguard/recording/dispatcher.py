"""Runs the train step in one of two variants and drains what it recorded.

`fit` calls `model.train_function` once per execution. The dispatcher in its
place chooses between two compiled variants of the step: one records the
gradient norms; the other also weights and updates, which costs more and is
run now and then.
"""

import contextlib
import contextvars
import dataclasses
import time
import weakref

import numpy as np

from keras_gradguard import _backend
from keras_gradguard._backend import ring_layout
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.blocks import read_part
from keras_gradguard.recording.gradients import Mode
from keras_gradguard.recording.histograms import HistogramRequests

# A full step costs about a third more; one in 64 costs half a percent.
_FULL_EVERY = 64
_FULL_EARLY = (0, 1, 2, 4, 16)
# Executions between two looks where no gradients are recorded.
_LONGEST_PERIOD = 256
# Where steps are slow, records are not kept waiting longer than that.
_SECONDS = 1.0
_one_variant = contextvars.ContextVar("gradguard_one_variant", default=False)


@contextlib.contextmanager
def one_variant():
    """Let the fits inside compile one variant of the step, not two.

    Every step is then recorded in full, and the host keeps what it would have
    measured else: the trace is the same. It pays where a fit takes less time
    than compiling.
    """
    token = _one_variant.set(True)
    try:
        yield
    finally:
        _one_variant.reset(token)


class Dispatcher:
    """Stands in for `model.train_function`.

    Args:
        recording: The `Recording` it belongs to.
        model: The model.
        instrument: Its `Instrument`, attached.
        steps_per_epoch: Batches of an epoch, or None.

    Attributes:
        batch: Batches of the present epoch so far.
        requests: `HistogramRequests` of those who listen.
    """

    def __init__(self, recording, model, instrument, steps_per_epoch):
        self.steps_per_epoch = steps_per_epoch
        self.batch = 0
        self._recording = recording
        self._instrument = instrument
        self._taps = instrument.taps
        self.requests = HistogramRequests(self._taps)
        self._backend = _backend.current()
        self._stateful = hasattr(model, "jax_state_sync")
        self._per_execution = max(1, int(model.steps_per_execution or 1))
        self._accumulate = max(
            [
                1,
                *(
                    int(t.optimizer.gradient_accumulation_steps or 1)
                    for t in self._taps
                ),
            ]
        )
        self._micro = max([0, *(_micro_steps(t.optimizer) for t in self._taps)])
        self._executions = 0
        self._full_count = 0
        self._one_variant = _one_variant.get()
        self._due = []  # steps to keep in full where all are recorded so
        self._drained = [self._written(t.records) for t in self._taps]
        self._recorded_before = sum(self._drained)
        self._since_drain = 0
        self._period = 8
        self._drained_at = time.monotonic()
        self._pending = None
        # Optimizers of a step of the user's own count each for itself.
        self._apart = len(instrument.optimizers) > 1
        self._numbers, self._pending_numbers = [], None
        self._measured = []
        self._variants = {}
        self._window = 0
        self._model = weakref.ref(model)

    def prepare(self):
        """Make the variants while the variables hold their values.

        Keras on JAX reads their shardings, and a running fit keeps the values
        elsewhere. Nothing is compiled yet.
        """
        self._variants = {}
        self._variant(self._compiled(self._spared))
        for counting in (False, True):
            self._variant(Mode.FULL, counting)

    def _compiled(self, mode):
        """The mode of the variant that runs where a mode is wanted."""
        all_full = self._one_variant and mode is not Mode.OFF
        return Mode.FULL if all_full else mode

    @property
    def _skips_on_host(self):
        """Whether the host can leave out the steps that are not wanted."""
        return self._recording.update_freq > 1 and self._per_execution == 1

    @property
    def _spared(self):
        """The mode of most executions."""
        no_gradients = not self._recording.update_freq or self._skips_on_host
        return Mode.OFF if no_gradients else Mode.NORMS

    def __call__(self, *args):
        """Run one execution, recorded."""
        mode = self._next_mode()
        counted = mode is Mode.FULL and self._counts_next
        try:
            result = self._variant(self._compiled(mode), counted)(*args)
        except BaseException as error:
            if not self._backend.is_end_of_data(error):
                # A trace that broke off may not be tried again.
                self._instrument.broken = True
                self._recording.abandon()
            raise
        if self._apart and mode is not Mode.OFF:
            self._numbers += self._steps_of_execution()
        self._advance(mode, result, counted)
        return result

    def _variant(self, mode, counted=False):
        """The compiled step of a mode.

        Where full steps are few, all of them count histograms if any does:
        that spares to compile another one.
        """
        histograms = mode is Mode.FULL and self._instrument.histograms
        key = mode, histograms and (counted or not self._skips_on_host)
        if key not in self._variants:
            model = self._model()
            self._variants[key] = self._instrument.variant(model, *key)
        return self._variants[key]

    @property
    def _updates_next(self):
        """Whether the coming execution ends an accumulation."""
        now, later = self._micro, self._micro + self._per_execution
        return now // self._accumulate < later // self._accumulate

    @property
    def _counts_next(self):
        """Whether somebody waits for what the coming execution can count."""
        return self.requests.waiting and self._updates_next

    def _next_mode(self):
        """Choose the variant for the coming execution."""
        if self._skips_on_host:
            wanted = self.step % self._recording.update_freq == 0
            wanted = wanted and self._updates_next
            return Mode.FULL if wanted or self._counts_next else Mode.OFF
        count = self._full_count
        due = count in _FULL_EARLY or count % _FULL_EVERY == 0
        if self._accumulate > 1 and self._per_execution == 1:
            if not self._updates_next:
                return self._spared
        elif self._is_last_batch():
            # Its batch may be smaller: a shape that would be compiled again.
            return self._spared
        self._full_count += 1
        return Mode.FULL if due or self._counts_next else self._spared

    def _is_last_batch(self):
        steps = self.steps_per_epoch
        return (
            steps is not None
            and steps > self._per_execution
            and self.batch + self._per_execution >= steps
        )

    def _steps_of_execution(self):
        micro = range(self._micro, self._micro + self._per_execution)
        return [step // self._accumulate for step in micro]

    def _advance(self, mode, result, counted):
        self.batch += self._per_execution
        self._micro += self._per_execution
        self._executions += 1
        if self._executions == 1:
            self._instrument.call_order.stop()
        counts = self._instrument.counts or bool(self._instrument.units)
        self._since_drain += counts or mode is not Mode.OFF
        if mode is Mode.FULL:
            self._take_measurement()
            self._due.append(self.step - 1)
        if counted:
            self._take_histogram(result)
        if self._instrument.broken or self._since_drain < self._period:
            return
        self.drain(self._state(result))

    def _state(self, result):
        """The optimizer's arrays, where the trainer holds them."""
        if not self._stateful:
            return None
        return self._backend.state_by_variable(
            self._instrument.optimizer, result[1]
        )

    def _take_histogram(self, result):
        if self._instrument.broken:
            return
        try:
            self.requests.take(self._state(result))
        except Exception as error:
            self._recording.fail(error)

    def _take_measurement(self):
        try:
            latest = self._instrument.forward.latest(self.step - 1)
        except Exception as error:
            self._recording.fail(error)
            return
        if latest is not None:
            self._measured.append(latest)

    def drain(self, state, wait=False):
        """Copy the rings and deliver what an earlier copy brought.

        Args:
            state: Map from `id(variable)` to its array, or None if the
                variables hold their values.
            wait: Whether to deliver the present records, too.
        """
        if self._instrument.broken:
            return
        try:
            self._deliver()
            self._copy(state)
            if wait:
                self._deliver()
        except Exception as error:
            self._recording.fail(error)

    def last_blocks(self):
        """Yield what was copied, and what is on the device still."""
        yield from self._read_pending()
        self._copy(None)
        yield from self._read_pending()

    def _copy(self, state):
        """Begin to copy the rings to the host."""
        self._window, self._since_drain = self._since_drain, 0
        if self._apart:
            self._pending_numbers, self._numbers = self._numbers, []
        self._pending = [
            None if t.records is None else t.records.snapshot(state)
            for t in self._taps
        ]

    def _deliver(self):
        for block in self._read_pending():
            self._recording.deliver(block)
        measured, self._measured = self._measured, []
        for latest in measured:
            self._recording.deliver_measurement(
                self._instrument.forward.measurement(latest)
            )
        if self.requests.taken:
            table = self._recording.make_table()
            for histogram, asking in self.requests.read(table):
                self._recording.deliver_histogram(histogram, asking)
        self.deliver_counts()

    def deliver_counts(self):
        """Deliver how often units were active since the last time."""
        counts = self._instrument.forward.take_counts()
        if counts is not None:
            self._recording.deliver_counts(counts)
        if self._instrument.units:
            by_path, steps = self._instrument.take_unit_counts()
            if steps:
                self._recording.deliver_unit_counts(by_path, steps)

    def _read_pending(self):
        """Yield a block of the records in the pending copies, if any."""
        pending, self._pending = self._pending, None
        parts, filled = [], 0.0
        for i, (tap, store) in enumerate(
            zip(self._taps, pending or (), strict=pending is not None)
        ):
            if store is None:
                continue
            store = self._backend.to_numpy(store)
            part, cursor = read_part(
                tap, store, self._drained[i], self._pending_numbers
            )
            filled = max(filled, (cursor - self._drained[i]) / tap.records.rows)
            self._drained[i] = cursor
            parts.append(part)
        self._adapt(filled)
        if parts and any(len(part.steps) for part in parts):
            block = Block.merge(parts, self._recording.make_table())
            yield self._with_due_updates(block)

    def _with_due_updates(self, block):
        """The block, without the updates that nobody wanted measured."""
        due, self._due = self._due, []
        if not self._one_variant:
            return block
        keep = np.isin(block.update_steps, due)
        self._due = [step for step in due if step > block.steps[-1]]
        return dataclasses.replace(
            block,
            update_steps=block.update_steps[keep],
            weight_norm=block.weight_norm[keep],
            update_norm=block.update_norm[keep],
        )

    def _adapt(self, filled):
        """Drain as rarely as the rings allow, before anything is lost.

        Args:
            filled: Share of the fullest ring that the latest window took.
        """
        if not self._window:
            return
        longest = _LONGEST_PERIOD
        if filled:
            longest = max(1, int(self._window * 0.5 / filled))
        now = time.monotonic()
        waited, self._drained_at = now - self._drained_at, now
        if waited < _SECONDS:
            self._period = min(longest, 2 * self._period)
        elif waited > 4 * _SECONDS:
            self._period = min(longest, max(8, self._period // 2))
        else:
            self._period = min(longest, self._period)

    @property
    def recorded(self):
        """Number of records so far."""
        return sum(self._drained) - self._recorded_before

    def _written(self, ring):
        """Number of records that an earlier fit left in a ring."""
        if ring is None:
            return 0
        return ring_layout.written(self._backend.to_numpy(ring.snapshot()))

    @property
    def step(self):
        """Optimizer steps so far, counted on the host."""
        return self._micro // self._accumulate

    @property
    def executions(self):
        """Number of executions so far."""
        return self._executions


def _micro_steps(optimizer):
    """Batches that an optimizer has seen so far."""
    if not optimizer.built:
        return 0
    backend = _backend.current()
    return int(backend.to_numpy(backend.read(optimizer._iterations)))
