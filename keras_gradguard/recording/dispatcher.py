"""Runs the train step and delivers what it recorded.

`fit` calls `model.train_function` once per execution. The dispatcher in its
place runs the step compiled anew, with the norms of the gradients in it. Now
and then it also measures weights, updates and activations: beside the step
where it can, else in a second variant of it.
"""

import weakref

import numpy as np

from keras_gradguard import _backend
from keras_gradguard._backend.errors import DrawsApartError
from keras_gradguard.models import keras_private
from keras_gradguard.recording import parts
from keras_gradguard.recording.drain import RingDrain
from keras_gradguard.recording.schedule import Schedule
from keras_gradguard.recording.step.gradients import Mode
from keras_gradguard.recording.step.histograms import HistogramRequests
from keras_gradguard.recording.updates import Updates

# What is measured in a variant of the step, if not beside it.
_IN_VARIANTS = parts.WEIGHTS, parts.ACTIVATIONS, parts.DATA, parts.TIME


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
        self._beside = instrument.beside
        # Optimizers of a step of the user's own count each for itself.
        numbered = len(instrument.optimizers) > 1
        self._updates = self._make_updates(numbered)
        self._drain = RingDrain(
            taps,
            instrument.parts,
            self._updates,
            numbered=numbered,
            by_clock=self._backend.process(model)[1] == 1,
            wanted=recording.wanted,
        )
        self._measured = []
        self._through_time = []
        self._due = []
        self._variants = {}

    def _make_updates(self, numbered):
        """Where updates are kept, None where they ride in the rings."""
        taps = self._instrument.taps
        updates = Updates(taps, numbered)
        if self._beside is not None:
            self._beside.updates = updates
        elif not self._backend.compiles_steps():
            for tap in taps:
                tap.updates = updates
                tap.wants_updates = self._wants_updates
        else:
            return None
        return updates

    def _wants_updates(self):
        """Whether a copy of the weights is worth its memory."""
        return self._recording.update_freq > 0

    def prepare(self):
        """Make the variants while the variables hold their values.

        Keras on JAX reads their shardings, and a running fit keeps the values
        elsewhere. Nothing is compiled yet.
        """
        self._variants = {}
        for mode in Mode:
            self._variant(mode, False)
        self._variant(Mode.FULL, True)

    def _variant(self, mode, counted):
        """The step that runs where a mode is wanted, maybe histograms."""
        key = self._ran(mode), counted and self._instrument.counts_apart
        if key not in self._variants:
            model = self._model()
            self._variants[key] = self._instrument.variant(model, *key)
        return self._variants[key]

    def _ran(self, mode):
        """The mode of the variant that runs where a mode is wanted."""
        if self._beside is not None:
            # Steps that are not wanted are recorded as well: to leave them
            # out takes a second variant, which costs more.
            return Mode.NORMS
        if self._instrument.only_mode is not None:
            return self._instrument.only_mode
        # It may be the only one: what is wanted later has to be in it.
        begins = self.schedule.executions == 0 and self._wants_updates()
        return Mode.NORMS if begins and mode is Mode.OFF else mode

    def __call__(self, *args):
        """Run one execution, recorded."""
        first = self._stateful and keras_private.hold_first_state(
            self._model(), args[0]
        )
        keepers = list(self._recording.keepers)
        for keeper in keepers:
            args = keeper.before(args, self.schedule.steps_of_execution())
        counted = self._counts_next
        mode = self.schedule.next_mode(wanted=counted)
        counted = counted and mode is Mode.FULL
        if counted:
            self._instrument.parts.guard(
                (parts.HISTOGRAMS,), self.requests.raise_flags
            )
        vectors = None, None
        if self._updates is not None:
            self._updates.execution = self.schedule.step
        try:
            function = self._variant(mode, counted)
            if self._beside is not None and mode is Mode.FULL:
                result, vectors = self._beside.run(
                    self._model(),
                    function,
                    args,
                    weights=self._wants_updates(),
                    show=self._take_rows,
                )
            else:
                if mode is Mode.FULL and not self._backend.compiles_steps():
                    self._take_rows(args[0], of_batches=True)
                result = function(*args)
        except BaseException as error:
            if first:
                keras_private.drop_lost_state(self._model())
            if not self._backend.is_end_of_data(error):
                for keeper in keepers:
                    keeper.on_failure(error)
                # A trace that broke off may not be tried again.
                self._instrument.broken = True
                self._recording.abandon()
            else:
                self._recording.data_ended()
            raise
        try:
            self._advance(mode, result, counted, *vectors)
            for keeper in keepers:
                keeper.after(result)
        except BaseException:
            keras_private.hold_state(self._model(), result)
            raise
        return result

    def _take_rows(self, batch, of_batches=False):
        """Keep some rows of the batch, if somebody wants them.

        Args:
            batch: What the train step gets.
            of_batches: Bool. Whether it is a list of several.
        """
        rows, schedule = self._recording.rows, self.schedule
        if rows is None:
            return
        epoch = schedule.steps_per_epoch or float("inf")
        rows.take(batch, schedule.executions >= epoch, of_batches)

    @property
    def _counts_next(self):
        """Whether somebody waits for what the coming execution can count."""
        return (
            self.requests.waiting
            and self._instrument.parts.work(parts.HISTOGRAMS)
            and self.schedule.updates_next
        )

    def _advance(self, mode, result, counted, vector=None, time=None):
        ran = self._ran(mode)
        if ran is not Mode.OFF:
            self._drain.note_steps(self.schedule.steps_of_execution())
        self.schedule.advance()
        if self.schedule.executions == 1:
            self._instrument.call_order.stop()
            self._tell_what_is_lost()
        counts = self._instrument.counts or self._instrument.units
        if counts or ran is not Mode.OFF:
            self._drain.note_execution()
        if mode is Mode.FULL:
            self._take_measurement(vector, time)
            self._due.append(self.schedule.step - 1)
        if counted:
            self._take_histogram(result)
        if self._drain.is_due and not self._instrument.broken:
            self.drain(self.state_of(result), self._drain.is_prompt)

    def _tell_what_is_lost(self):
        """Say so where the only variant that may run measures little."""
        instrument = self._instrument
        if instrument.only_mode not in (None, Mode.FULL):
            error = DrawsApartError(instrument.draw)
            instrument.parts.fail(_IN_VARIANTS, error)

    def state_of(self, result):
        """The optimizer's arrays, where the trainer holds them.

        Args:
            result: What an execution returned.
        """
        if not self._stateful:
            return None
        return self._backend.state_by_variable(
            self._instrument.optimizer, result[1]
        )

    def _take_histogram(self, result):
        if not self._instrument.broken:
            self._instrument.parts.guard(
                (parts.HISTOGRAMS,), self.requests.take, self.state_of(result)
            )

    def _take_measurement(self, vector, time):
        tap = self._instrument.time
        if tap is not None and tap.waits:
            self._instrument.forget_variants()
            self._variants = {}
        elif tap is not None:
            latest = self._instrument.parts.guard(
                (parts.TIME,), tap.latest, self.schedule.step - 1, time
            )
            if latest is not None:
                self._through_time.append(latest)
        latest = self._instrument.parts.guard(
            (parts.ACTIVATIONS, parts.DATA),
            self._instrument.forward.latest,
            self.schedule.step - 1,
            vector,
        )
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
        for block in self._drain.read(self._recording.make_table):
            yield self._wanted(block)

    def _wanted(self, block):
        """The block without the records that nobody asked for."""
        every, due = self._recording.update_freq, self._due
        last = block.steps[-1] if len(block.steps) else -1
        self._due = [step for step in due if step > last]
        one = self._beside or self._instrument.only_mode is not None
        if every == 1 or not (one or self.schedule.skips_on_host):
            return block
        if every:
            return block.with_records(block.steps % every == 0)
        return block.with_records(np.isin(block.steps, due))

    def _deliver(self):
        # First what steps showed, so that a look at their records knows it.
        blocks = list(self._read())
        guard = self._instrument.parts.guard
        measured, self._measured = self._measured, []
        for latest in measured:
            found = guard(
                (parts.ACTIVATIONS, parts.DATA),
                self._instrument.forward.measurement,
                latest,
            )
            if found is not None:
                self._recording.deliver(found)
        for block in blocks:
            self._recording.deliver(block)
        through_time, self._through_time = self._through_time, []
        for latest in through_time:
            found = guard((parts.TIME,), self._instrument.time.read, latest)
            if found is not None:
                self._recording.deliver(found)
        if self.requests.taken:
            table = self._recording.make_table()
            found = guard((parts.HISTOGRAMS,), self.requests.read, table)
            for histogram, asking in found or ():
                self._recording.deliver(histogram, asking)
        self._deliver_counts()

    def _deliver_counts(self):
        """How often units were active since the last time."""
        counts = self._instrument.forward.take_counts()
        if counts is not None:
            self._recording.deliver(counts)
        if self._instrument.units:
            counts = self._instrument.parts.guard(
                (parts.UNITS,), self._instrument.take_unit_counts
            )
            if counts is not None and counts.steps:
                self._recording.deliver(counts)

    @property
    def recorded(self):
        """Number of records so far."""
        return self._drain.recorded
