"""Puts a recording into a running `fit` and takes it out again.

The optimizer is patched, and `model.train_function` replaced by a
`Dispatcher`; at the end the function from before comes back, so that no
stale trace is left.

Longer than 350 lines, since one class is what all who listen ask: most of its
methods are a line that passes on.
"""

import contextlib
import math
import weakref
from typing import Any

from keras_gradguard.models import activations as sites_lib
from keras_gradguard.models import layers as layers_lib
from keras_gradguard.models.patches import run_all
from keras_gradguard.recording import reasons
from keras_gradguard.recording.dispatcher import Dispatcher
from keras_gradguard.recording.fit_exit import FitExit
from keras_gradguard.recording.instrument import instrument_of
from keras_gradguard.recording.parts import UNITS

_recordings: Any = weakref.WeakKeyDictionary()


def recording_of(model, update_freq=1):
    """The recording of a model: the running one, or a new one.

    Args:
        model: A compiled Keras model that is about to train.
        update_freq: Record the gradients of every so many optimizer steps; 0
            if they are not wanted.

    Returns:
        A `Recording`. Call `start` once per user, then `stop`.
    """
    recording = _recordings.get(model)
    if recording is not None and not recording.is_current:
        # An exception left the `fit` it belonged to.
        recording.abandon()
    if recording is None or not recording.active:
        recording = Recording(model, update_freq)
        _recordings[model] = recording
    recording.want(update_freq)
    return recording


class Recording:
    """Records one model's optimizer steps for all who subscribe.

    Args:
        model: A compiled Keras model.
        update_freq: Record every so many optimizer steps.

    Attributes:
        active: Whether the model is patched at present.
        table: `LayerTable` of the model, None until it is built.
        reason: Why nothing can be recorded, or None.
        ended_by: What the exception says that left the `fit`, or None.
        keepers: List of objects with `before(args, steps)`, `after(result)`
            and `on_failure(error)`, which are called around each execution.
        wanted: Set of int. Executions after which records are wanted at once.
        rows: `Rows` that keeps some of the batches, None where nobody wants
            them.
    """

    def __init__(self, model, update_freq=1):
        self._model: Any = weakref.ref(model)
        self.update_freq = update_freq
        self.active = False
        self.table: Any = None
        self._table_is_final = False
        self._histograms = self._time = False
        self.reason: Any = None
        self.ended_by: Any = None
        self._subscribers = []
        self.keepers: list = []
        self.wanted: set = set()
        self.rows: Any = None
        self._instrument: Any = None
        self._dispatcher: Any = None
        self._previous: Any = None
        self._exit = FitExit(self.abandon, self.detach)

    # Life

    def want(self, update_freq):
        """Record at least every so many steps; another may ask for others."""
        self.update_freq = math.gcd(self.update_freq, update_freq)
        if self._dispatcher is not None:
            self._dispatcher.schedule.update_freq = self.update_freq

    def start(self, subscriber, steps_per_epoch=None):
        """Begin to deliver blocks to a subscriber.

        Args:
            subscriber: Object with `take(event)`, `on_left()`,
                `on_part_failure(sentences)` and `on_recording_failure(error)`.
            steps_per_epoch: Batches of an epoch, if known.
        """
        if subscriber not in self._subscribers:
            self._subscribers.append(subscriber)
        try:
            if not self.active:
                self._attach(steps_per_epoch)
            if self.active:
                self._dispatcher.prepare()
                self._exit.watch(self._model())
        except Exception:
            raise
        except BaseException:
            # Nothing sees this `fit` being left yet.
            self.abandon()
            raise

    def stop(self, subscriber):
        """Deliver what is left; detach when nobody listens any more.

        Args:
            subscriber: As passed to `start`.
        """
        if subscriber not in self._subscribers:
            return
        if self.active:
            self.flush()
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
        if not self._subscribers:
            self.detach()

    def epoch_begin(self):
        """Note a new epoch; attach again if the model was recompiled."""
        model = self._model()
        if model is None or not self.active:
            return
        if model.train_function is not self._dispatcher:
            steps = self._dispatcher.schedule.steps_per_epoch
            self.flush()
            self._detach(restore=False)
            self._attach(steps)
            if self.active:
                self._exit.watch(model)
        self._dispatcher.schedule.batch = 0

    @property
    def is_current(self):
        """Whether what it was attached for still runs."""
        return self.active and self._exit.watches

    @property
    def owners(self):
        """Set of str, the classes of the callbacks that listen."""
        return {subscriber.owner for subscriber in self._subscribers}

    @property
    def ring_ids(self):
        """Set of int, ids of our variables among those of the optimizers."""
        taps = [] if self._instrument is None else self._instrument.taps
        return {id(v) for tap in taps for v in tap.ring_variables}

    @property
    def sites(self):
        """List of `Site`, the activations that may be measured."""
        if self._instrument is None:
            return []
        return self._instrument.forward.candidates

    @property
    def unseen(self):
        """Dict from layer path to the reason why it cannot be measured."""
        return sites_lib.left_out(self._model())

    def count_active_units(self, gradients=None):
        """Note from now on, in every step, which units are active.

        Args:
            gradients: List of `UnitGradient` to tell it by. Defaults to
                looking at the activations.
        """
        if not self.active:
            return
        self._instrument.parts.wanted.add(UNITS)
        if gradients is None:
            self._instrument.counts = True
        else:
            self._instrument.units = list(gradients)
        self._dispatcher.prepare()

    def record_histograms(self):
        """Compile steps from now on that can count histograms, too."""
        self._histograms = True
        if self.active:
            self._instrument.record_histograms(self._model())
            self._dispatcher.prepare()

    def look_through_time(self):
        """Measure gradients through time in full steps from now on."""
        self._time = True
        if self.active:
            self._instrument.look_through_time(self._model())
            self._dispatcher.prepare()

    def ask_for_histogram(self, subscriber):
        """Deliver the histograms of the next update's gradients.

        Args:
            subscriber: Who gets them, a `GradientHistogram`.
        """
        if self.active:
            self._dispatcher.requests.ask(subscriber)

    @property
    def _schedule(self):
        return None if self._dispatcher is None else self._dispatcher.schedule

    @property
    def executions(self):
        """Executions of the train step since the recording was attached."""
        return 0 if self._schedule is None else self._schedule.executions

    @property
    def recorded(self):
        """Records delivered since the recording was attached."""
        return 0 if self._dispatcher is None else self._dispatcher.recorded

    @property
    def failed(self):
        """Set of the `parts` that are recorded no more."""
        instrument = self._instrument
        return set() if instrument is None else instrument.parts.failed

    @property
    def step(self):
        """Optimizer steps taken so far, as far as the host can tell."""
        return 0 if self._schedule is None else self._schedule.step

    def why_nothing(self):
        """Why steps ran and no record came."""
        return reasons.why_nothing(self._model())

    def why_not_yet(self, first):
        """Why no step since one was due to be recorded, None if one was.

        Args:
            first: Int, the optimizer's step when the fit began.
        """
        every = max(1, self.update_freq)
        if -(-first // every) * every < self.step:
            return None
        return reasons.why_not_yet(self._schedule.accumulate, every)

    def flush(self):
        """Deliver all records that are still on the device."""
        self._sync()
        if self._dispatcher is not None:
            self._dispatcher.drain(None, wait=True)

    def flush_beside(self, result):
        """Deliver all records after an execution, while Keras holds the state.

        Args:
            result: What the `train_function` returned.
        """
        self._dispatcher.drain(self._dispatcher.state_of(result), wait=True)

    def _flush_quietly(self):
        """Deliver what can be had, after a step that was interrupted.

        On JAX it may have taken its state with it.
        """
        subscribers, self._subscribers = self._subscribers, []
        try:
            with contextlib.suppress(Exception):
                self._sync()
                for block in self._dispatcher.last_blocks():
                    for subscriber in subscribers:
                        subscriber.take(block)
        finally:
            self._subscribers = subscribers

    def detach(self):
        """Leave the model and its optimizer as they were. Safe to repeat."""
        self._detach(restore=True)

    # Attaching

    def _attach(self, steps_per_epoch):
        model = self._model()
        self.reason = reasons.why_blind(model)
        if self.reason is not None:
            return
        self._previous = model.train_function
        self._instrument = instrument_of(model, self._time)
        self._instrument.parts.on_failure = self.fail_in_part
        self.active = True
        try:
            self._instrument.attach(model)
            if self._histograms:
                self._instrument.record_histograms(model)
            if self._time:
                self._instrument.look_through_time(model)
            self._dispatcher = Dispatcher(
                self, model, self._instrument, steps_per_epoch
            )
            model.train_function = self._dispatcher
            self._instrument.parts.say_again()
        except BaseException:
            self.detach()
            raise

    def abandon(self):
        """Deliver what can be had and detach, since `fit` is being left."""
        if not self.active:
            return
        error = self._exit.error
        self.ended_by = reasons.said_of(error)
        try:
            self._flush_quietly()
            if not self.recorded and self.reason is None:
                self.reason = reasons.why_left(error)
        finally:
            # Whoever is in a hurry presses Ctrl-C twice.
            self.detach()
        subscribers, self._subscribers = self._subscribers, []
        for subscriber in subscribers:
            subscriber.on_left()

    def data_ended(self):
        """Note that the loop over the batches ends, as it should."""
        self._exit.data_ended = True

    def _detach(self, restore):
        if not self.active:
            return
        self.active = False
        model, instrument = self._model(), self._instrument

        def put_back():
            if not restore or model is None:
                return
            if model.train_function is self._dispatcher:
                model.train_function = self._previous
            # The registry's value must not keep its key alive.
            if _recordings.get(model) is self:
                del _recordings[model]

        run_all(
            [
                self._sync,
                self._exit.stop,
                lambda: instrument.detach(model),
                put_back,
                self._let_go,
            ]
        )

    def _let_go(self):
        if self._instrument is not None:
            self._instrument.parts.on_failure = None
        self._dispatcher = None
        self._previous = None
        self._instrument = None

    def _sync(self):
        """Bring the state that a trainer holds back into the variables."""
        model = self._model()
        sync = getattr(model, "jax_state_sync", None)
        if sync is not None:
            with contextlib.suppress(RuntimeError):  # donated and lost
                sync()

    # Delivering

    def deliver(self, event, wanted_by=None):
        """Hand something that was recorded to every subscriber.

        Args:
            event: One of `callbacks.watch.TAKEN_BY`, a `Block` for example.
            wanted_by: Subscribers that asked for it. Defaults to all.
        """
        for subscriber in list(self._subscribers):
            if wanted_by is None or subscriber in wanted_by:
                subscriber.take(event)

    def fail_in_part(self, sentences):
        """Something is recorded no more: let one subscriber say so.

        Args:
            sentences: Str, what, why, and what goes on.
        """
        for subscriber in self._subscribers[:1]:
            subscriber.on_part_failure(sentences)

    def fail(self, error):
        """A failure of ours: warn once, record no more, train on."""
        for subscriber in list(self._subscribers):
            subscriber.on_recording_failure(error)

    @property
    def cache(self):
        """Dict that lives as long as the compiled step."""
        return {} if self._instrument is None else self._instrument.cache

    @property
    def order_known(self):
        """Whether the table's order will stay as it is."""
        return layers_lib.knows_order(self._model()) or bool(self._ranks)

    @property
    def _ranks(self):
        instrument = self._instrument
        return {} if instrument is None else instrument.call_order.ranks

    def make_table(self):
        """The model's layers, once it is built."""
        if self.table is None or not self._table_is_final:
            self._table_is_final = self.order_known
            self.table = layers_lib.layer_table(self._model(), self._ranks)
        return self.table
