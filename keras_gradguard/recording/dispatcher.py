"""Runs the train step in one of its variants and delivers what it recorded.

`fit` calls `model.train_function` once per execution. The dispatcher in its
place chooses between compiled variants of the step: one records the gradient
norms; another also weights and updates, which costs more and is run now and
then.
"""

import contextlib
import contextvars
import weakref

from keras_gradguard import _backend
from keras_gradguard.recording.drain import RingDrain
from keras_gradguard.recording.schedule import Schedule
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.histograms import HistogramRequests

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
        schedule: `Schedule` of what is measured when.
        requests: `HistogramRequests` of those who listen.
    """

    def __init__(self, recording, model, instrument, steps_per_epoch):
        self._recording = recording
        self._instrument = instrument
        self._model = weakref.ref(model)
        self._stateful = hasattr(model, "jax_state_sync")
        self._backend = _backend.current()
        taps = instrument.taps
        self.schedule = Schedule(
            model,
            [tap.optimizer for tap in taps],
            recording.update_freq,
            steps_per_epoch,
        )
        self.requests = HistogramRequests(taps)
        self._one_variant = _one_variant.get()
        self._drain = RingDrain(
            taps,
            # Optimizers of a step of the user's own count each for itself.
            numbered=len(instrument.optimizers) > 1,
            keeps_due_only=self._one_variant,
            by_clock=self._backend.process(model)[1] == 1,
        )
        self._measured = []
        self._variants = {}

    def prepare(self):
        """Make the variants while the variables hold their values.

        Keras on JAX reads their shardings, and a running fit keeps the values
        elsewhere. Nothing is compiled yet.
        """
        self._variants = {}
        self._variant(self._compiled(self.schedule.spared))
        for counting in (False, True):
            self._variant(Mode.FULL, counting)

    def _compiled(self, mode):
        """The mode of the variant that runs where a mode is wanted."""
        all_full = self._one_variant and mode is not Mode.OFF
        return Mode.FULL if all_full else mode

    def __call__(self, *args):
        """Run one execution, recorded."""
        counted = self._counts_next
        mode = self.schedule.next_mode(wanted=counted)
        counted = counted and mode is Mode.FULL
        try:
            result = self._variant(self._compiled(mode), counted)(*args)
        except BaseException as error:
            if not self._backend.is_end_of_data(error):
                # A trace that broke off may not be tried again.
                self._instrument.broken = True
                self._recording.abandon()
            else:
                self._recording.data_ended()
            raise
        self._advance(mode, result, counted)
        return result

    def _variant(self, mode, counted=False):
        """The compiled step of a mode.

        Where full steps are few, all of them count histograms if any does:
        that spares to compile another one.
        """
        histograms = mode is Mode.FULL and self._instrument.histograms
        key = (
            mode,
            histograms and (counted or not self.schedule.skips_on_host),
        )
        if key not in self._variants:
            model = self._model()
            self._variants[key] = self._instrument.variant(model, *key)
        return self._variants[key]

    @property
    def _counts_next(self):
        """Whether somebody waits for what the coming execution can count."""
        return self.requests.waiting and self.schedule.updates_next

    def _advance(self, mode, result, counted):
        if mode is not Mode.OFF:
            self._drain.note_steps(self.schedule.steps_of_execution())
        self.schedule.advance()
        if self.schedule.executions == 1:
            self._instrument.call_order.stop()
        counts = self._instrument.counts or self._instrument.units
        if counts or mode is not Mode.OFF:
            self._drain.note_execution()
        if mode is Mode.FULL:
            self._take_measurement()
            self._drain.note_due(self.schedule.step - 1)
        if counted:
            self._take_histogram(result)
        if self._drain.is_due and not self._instrument.broken:
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
            latest = self._instrument.forward.latest(self.schedule.step - 1)
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
            self._drain.copy(state)
            if wait:
                self._deliver()
        except Exception as error:
            self._recording.fail(error)

    def last_blocks(self):
        """Yield what was copied, and what is on the device still."""
        yield from self._read()
        self._drain.copy(None)
        yield from self._read()

    def _read(self):
        return self._drain.read(self._recording.make_table)

    def _deliver(self):
        for block in self._read():
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
        self._deliver_counts()

    def _deliver_counts(self):
        """How often units were active since the last time."""
        counts = self._instrument.forward.take_counts()
        if counts is not None:
            self._recording.deliver_counts(counts)
        if self._instrument.units:
            by_path, steps = self._instrument.take_unit_counts()
            if steps:
                self._recording.deliver_unit_counts(by_path, steps)

    @property
    def recorded(self):
        """Number of records so far."""
        return self._drain.recorded
