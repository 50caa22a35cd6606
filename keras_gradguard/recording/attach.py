"""Puts a recording into a running `fit` and takes it out again.

`fit` calls `model.train_function` once per execution. A `Recording` replaces
it by a dispatcher over two variants of the compiled step: one records the
gradient norms, the other also weights and updates, which costs more and is
run now and then. Both are traced with the optimizer patched; at the end the
function from before comes back, so nothing stale is left.
"""

import sys
import warnings
import weakref

import numpy as np

from keras_gradguard import _backend
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.recording import checkpoints
from keras_gradguard.recording import layers as layers_lib
from keras_gradguard.recording import optimizers
from keras_gradguard.recording.blocks import Block
from keras_gradguard.recording.blocks import read_block
from keras_gradguard.recording.gradients import Mode
from keras_gradguard.recording.gradients import taps

_RING_BYTES = 512 * 1024
_UPDATE_ROWS = 16
# A full step costs about a third more; one in 64 costs half a percent.
_FULL_EVERY = 64
_FULL_EARLY = (0, 1, 2, 4, 8, 16, 32)

_recordings = weakref.WeakKeyDictionary()


def recording_of(model, update_freq=1):
    """The recording of a model: the running one, or a new one.

    Args:
        model: A compiled Keras model that is about to train.
        update_freq: Record every so many optimizer steps.

    Returns:
        A `Recording`. Call `start` once per user, then `stop`.
    """
    recording = _recordings.get(model)
    if recording is None or not recording.active:
        recording = Recording(model, update_freq)
        _recordings[model] = recording
    recording.update_freq = min(recording.update_freq, update_freq)
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
    """

    def __init__(self, model, update_freq=1):
        self._model = weakref.ref(model)
        self.update_freq = update_freq
        self.active = False
        self.table = None
        self.reason = None
        self._subscribers = []
        self._patches = optimizers.Patches()
        self._taps = []
        self._dispatcher = None
        self._previous = None
        self._optimizer = None
        self._finalizer = None

    # Life

    def start(self, subscriber, steps_per_epoch=None):
        """Begin to deliver blocks to a subscriber.

        Args:
            subscriber: Object with `on_block(block)` and
                `on_recording_failure(error)`.
            steps_per_epoch: Batches of an epoch, if known.
        """
        if subscriber not in self._subscribers:
            self._subscribers.append(subscriber)
        if not self.active:
            self._attach(steps_per_epoch)
        self._watch_callbacks()

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
            steps = self._dispatcher.steps_per_epoch
            self.flush()
            self._detach(restore=False)
            self._attach(steps)
        self._dispatcher.batch = 0

    def flush(self):
        """Deliver all records that are still on the device."""
        self._sync()
        if self._dispatcher is not None:
            self._dispatcher.drain(None, wait=True)

    def detach(self):
        """Leave the model and its optimizer as they were. Safe to repeat."""
        self._detach(restore=True)

    # Attaching

    def _attach(self, steps_per_epoch):
        model = self._model()
        optimizer = model.optimizer
        self._optimizer = optimizer
        self.reason = self._why_blind(model)
        if self.reason is not None:
            return
        xla = bool(model.jit_compile) and not model.run_eagerly
        gradient_taps, scale_taps = taps(
            optimizer, self._ring_rows, _UPDATE_ROWS, xla, self._fail
        )
        self._taps = gradient_taps
        self.active = True
        try:
            for tap in gradient_taps:
                tap.attach(self._patches)
                if tap.optimizer.built:
                    with _scope_of(model):
                        tap.prepare()
            for tap in scale_taps:
                tap.attach(self._patches)
            checkpoints.hide(optimizer, gradient_taps, self._patches)
            self._previous = model.train_function
            self._dispatcher = Dispatcher(
                self, model, optimizer, gradient_taps, steps_per_epoch
            )
            model.train_function = self._dispatcher
        except Exception:
            self.detach()
            raise

    def _why_blind(self, model):
        optimizer = model.optimizer
        if optimizer is None:
            return "the model has no optimizer"
        reasons = [
            optimizers.why_unreadable(leaf)
            for leaf in optimizers.leaves(optimizer)
        ]
        if reasons and all(reasons):
            return reasons[0]
        return None

    def _ring_rows(self, width):
        rows = _RING_BYTES // (4 * (width + 5))
        return int(np.clip(rows, 16, 256))

    def _watch_callbacks(self):
        """Detach also where `fit` is left by an exception.

        `fit` tells its callbacks nothing of an exception. It owns the list
        of callbacks, though: an exception inside a callback passes through
        that list, and any other frees it.
        """
        if not self.active or self._finalizer is not None:
            return
        callback_list = _calling_list()
        if callback_list is None:
            return
        self._finalizer = weakref.finalize(callback_list, self.detach)
        self._finalizer.atexit = False
        for name in _LIST_METHODS:
            if hasattr(callback_list, name):
                self._patches.replace(callback_list, name, self._guarded)

    def _guarded(self, original):
        def hook(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except BaseException:
                self.abandon()
                raise

        return hook

    def abandon(self):
        """Deliver what can be had and detach, since `fit` is being left."""
        if not self.active:
            return
        try:
            self.flush()
        except Exception as error:
            self._fail(error)
        self.detach()

    def _detach(self, restore):
        if not self.active:
            return
        self.active = False
        self._sync()
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None
        self._patches.undo()
        checkpoints.remove(self._taps)
        model = self._model()
        if model is not None and restore:
            if model.train_function is self._dispatcher:
                model.train_function = self._previous
        self._dispatcher = None
        self._previous = None
        self._taps = []

    def _sync(self):
        """Bring the state that a trainer holds back into the variables."""
        model = self._model()
        sync = getattr(model, "jax_state_sync", None)
        if sync is not None and getattr(model, "_jax_state", None):
            sync()

    # Delivering

    def deliver(self, block):
        """Hand a block to every subscriber."""
        for subscriber in list(self._subscribers):
            subscriber.on_block(block)

    def _fail(self, error):
        """A failure of ours: warn once, record no more, train on."""
        for tap in self._taps:
            tap.mode = Mode.OFF
        if self._dispatcher is not None:
            self._dispatcher.broken = True
        for subscriber in list(self._subscribers):
            subscriber.on_recording_failure(error)

    def make_table(self):
        """The model's layers, once it is built."""
        if self.table is None:
            self.table = layers_lib.layer_table(self._model())
        return self.table


_LIST_METHODS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


def _calling_list():
    """The `CallbackList` whose hook is being called, or None."""
    frame = sys._getframe(1)
    for _ in range(12):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if type(owner).__name__ == "CallbackList":
            return owner
        frame = frame.f_back
    return None


def _scope_of(model):
    """Strategy scope of a TensorFlow model, or nothing."""
    import contextlib

    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


class Dispatcher:
    """Stands in for `model.train_function`.

    Args:
        recording: The `Recording` it belongs to.
        model: The model.
        optimizer: Its optimizer.
        gradient_taps: The taps to drain.
        steps_per_epoch: Batches of an epoch, or None.
    """

    def __init__(
        self, recording, model, optimizer, gradient_taps, steps_per_epoch
    ):
        self.steps_per_epoch = steps_per_epoch
        self.batch = 0
        self.broken = False
        self._recording = recording
        self._optimizer = optimizer
        self._taps = gradient_taps
        self._backend = _backend.current()
        self._stateful = hasattr(model, "jax_state_sync")
        self._per_execution = max(1, int(model.steps_per_execution or 1))
        self._accumulate = max(
            [
                1,
                *(
                    int(t.optimizer.gradient_accumulation_steps or 1)
                    for t in gradient_taps
                ),
            ]
        )
        self._micro = max(
            [0, *(_micro_steps(t.optimizer) for t in gradient_taps)]
        )
        self._executions = 0
        self._full_count = 0
        self._drained = [0] * len(gradient_taps)
        self._updates_drained = [0] * len(gradient_taps)
        self._since_drain = 0
        self._period = 8
        self._pending = None
        self._variants = {}
        for mode in self._modes():
            self._variants[mode] = self._make_variant(model, mode)

    def _modes(self):
        if self._skips_on_host:
            return (Mode.OFF, Mode.FULL)
        return (Mode.NORMS, Mode.FULL)

    @property
    def _skips_on_host(self):
        """Whether the host can leave out the steps that are not wanted."""
        return self._recording.update_freq > 1 and self._per_execution == 1

    def _make_variant(self, model, mode):
        """Compiled train step that is traced in one mode.

        Keras reads `train_step` when it makes the function; a wrapper of our
        own keeps each variant's trace apart from the others.
        """
        original = model.train_step
        own = model.__dict__.get("train_step")

        def train_step(*args, **kwargs):
            self._set_mode(mode)
            return original(*args, **kwargs)

        present = model.train_function
        model.__dict__["train_step"] = train_step
        try:
            model.make_train_function(force=True)
            return model.train_function
        finally:
            if own is None:
                del model.__dict__["train_step"]
            else:
                model.__dict__["train_step"] = own
            model.train_function = present

    def _set_mode(self, mode):
        for tap in self._taps:
            tap.mode = Mode.OFF if self.broken else mode

    def __call__(self, *args):
        """Run one execution, recorded."""
        mode = self._next_mode()
        self._set_mode(mode)
        try:
            result = self._variants[mode](*args)
        except BaseException as error:
            if not self._backend.is_end_of_data(error):
                self._recording.abandon()
            raise
        finally:
            self._set_mode(Mode.OFF)
        self._advance(mode, result)
        return result

    def _next_mode(self):
        """Choose the variant for the coming execution."""
        if self._skips_on_host:
            step, rest = divmod(self._micro, self._accumulate)
            wanted = step % self._recording.update_freq == 0
            updates = rest == self._accumulate - 1
            return Mode.FULL if wanted and updates else Mode.OFF
        count = self._full_count
        due = count in _FULL_EARLY or count % _FULL_EVERY == 0
        if self._accumulate > 1 and self._per_execution == 1:
            if (self._micro + 1) % self._accumulate:
                return Mode.NORMS
        elif self._is_last_batch():
            # Its batch may be smaller: a shape that would be compiled again.
            return Mode.NORMS
        self._full_count += 1
        return Mode.FULL if due else Mode.NORMS

    def _is_last_batch(self):
        steps = self.steps_per_epoch
        return (
            steps is not None
            and steps > 1
            and self.batch + self._per_execution >= steps
        )

    def _advance(self, mode, result):
        self.batch += self._per_execution
        self._micro += self._per_execution
        self._executions += 1
        self._since_drain += mode is not Mode.OFF
        if self.broken or self._since_drain < self._period:
            return
        state = None
        if self._stateful:
            state = self._backend.state_by_variable(self._optimizer, result[1])
        self.drain(state)

    def drain(self, state, wait=False):
        """Copy the rings and deliver what an earlier copy brought.

        Args:
            state: Map from `id(variable)` to its array, or None if the
                variables hold their values.
            wait: Whether to deliver the present records, too.
        """
        if self.broken:
            return
        try:
            if self._pending is not None:
                self._deliver()
            self._since_drain = 0
            self._pending = [
                (
                    None if t.records is None else t.records.snapshot(state),
                    None if t.updates is None else t.updates.snapshot(state),
                )
                for t in self._taps
            ]
            if wait:
                self._deliver()
        except Exception as error:
            self._recording._fail(error)

    def _deliver(self):
        """Read the pending copies and hand their records on."""
        pending, self._pending = self._pending, None
        parts, most = [], 0
        for i, (tap, (records, updates)) in enumerate(
            zip(self._taps, pending, strict=True)
        ):
            if records is None:
                continue
            part, cursor, seen = read_block(
                self._backend,
                tap,
                (records, updates),
                (self._drained[i], self._updates_drained[i]),
            )
            most = max(most, cursor - self._drained[i])
            self._drained[i], self._updates_drained[i] = cursor, seen
            parts.append(part)
        self._adapt(most)
        if parts:
            block = Block.merge(parts, self._recording.make_table())
            if len(block.steps) or len(block.update_steps):
                self._recording.deliver(block)

    def _adapt(self, rows):
        """Drain as rarely as the ring allows, before anything is lost."""
        capacity = min(
            t.records.rows for t in self._taps if t.records is not None
        )
        if rows:
            per_execution = max(1.0, rows / max(1, self._period))
            self._period = int(
                np.clip(capacity / (2 * per_execution), 1, 2 * self._period)
            )

    @property
    def recorded(self):
        """Number of records so far."""
        return sum(self._drained)

    @property
    def executions(self):
        """Number of executions so far."""
        return self._executions


def _micro_steps(optimizer):
    """Batches that an optimizer has seen so far."""
    if not optimizer.built:
        return 0
    return int(
        np.asarray(
            _backend.current().to_numpy(
                _backend.current().read(optimizer._iterations)
            )
        )
    )


def warn(message):
    """Warn the user of the package.

    Args:
        message: What to say.
    """
    warnings.warn(message, GradGuardWarning, stacklevel=3)
