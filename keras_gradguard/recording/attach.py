"""Puts a recording into a running `fit` and takes it out again.

The optimizer is patched, and `model.train_function` replaced by a
`Dispatcher`; at the end the function from before comes back, so that no
stale trace is left.
"""

import contextlib
import math
import sys
import weakref

import numpy as np

from keras_gradguard.recording import checkpoints
from keras_gradguard.recording import layers as layers_lib
from keras_gradguard.recording import optimizers
from keras_gradguard.recording.dispatcher import Dispatcher
from keras_gradguard.recording.gradients import GradientTap
from keras_gradguard.recording.gradients import Mode
from keras_gradguard.recording.loss_scale import LossScaleTap

_RING_BYTES = 512 * 1024
_UPDATE_ROWS = 32

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
    recording.update_freq = math.gcd(recording.update_freq, update_freq)
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
        self._callback_list = None

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

    @property
    def executions(self):
        """Executions of the train step since the recording was attached."""
        return 0 if self._dispatcher is None else self._dispatcher.executions

    @property
    def recorded(self):
        """Records delivered since the recording was attached."""
        return 0 if self._dispatcher is None else self._dispatcher.recorded

    @property
    def step(self):
        """Optimizer steps taken so far, as far as the host can tell."""
        return 0 if self._dispatcher is None else self._dispatcher.step

    def why_nothing(self):
        """Why steps ran and no record came."""
        model = self._model()
        if not model.trainable_variables:
            return "the model has no trainable variables"
        return (
            "the train step never called `apply` of the model's optimizer: a "
            "custom `train_step` has to end in "
            "`self.optimizer.apply(gradients, variables)`"
        )

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
        gradient_taps, scale_taps = _taps(
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
        # Only weak references: the list must be freed when `fit` is left.
        reference = weakref.ref(callback_list)
        for name in _LIST_METHODS:
            function = getattr(type(callback_list), name, None)
            if function is not None and name not in callback_list.__dict__:
                callback_list.__dict__[name] = self._guarded(
                    reference, function
                )
        self._callback_list = reference

    def _guarded(self, reference, function):
        def hook(*args, **kwargs):
            try:
                return function(reference(), *args, **kwargs)
            except BaseException:
                self.abandon()
                raise

        return hook

    def _unwatch_callbacks(self):
        if self._finalizer is None:
            return
        self._finalizer.detach()
        self._finalizer = None
        callback_list = self._callback_list()
        if callback_list is not None:
            for name in _LIST_METHODS:
                callback_list.__dict__.pop(name, None)

    def abandon(self):
        """Deliver what can be had and detach, since `fit` is being left."""
        if not self.active:
            return
        # A step that was interrupted may have taken its state with it.
        with contextlib.suppress(Exception):
            self.flush()
        self.detach()

    def _detach(self, restore):
        if not self.active:
            return
        self.active = False
        self._sync()
        self._unwatch_callbacks()
        self._patches.undo()
        checkpoints.remove(self._taps)
        model = self._model()
        ours = getattr(model, "train_function", None) is self._dispatcher
        if ours and restore:
            model.train_function = self._previous
        self._dispatcher = None
        self._previous = None
        self._taps = []

    def _sync(self):
        """Bring the state that a trainer holds back into the variables."""
        model = self._model()
        sync = getattr(model, "jax_state_sync", None)
        if sync is not None and getattr(model, "_jax_state", None):
            with contextlib.suppress(RuntimeError):  # donated and lost
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
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _taps(optimizer, rows, update_rows, xla, on_failure):
    """Taps for all leaves of an optimizer, and for what hides steps.

    Args:
        optimizer: The model's optimizer.
        rows: Callable from the number of columns to the ring's capacity.
        update_rows: Capacity of the rings of updates.
        xla: Whether the step is compiled by XLA.
        on_failure: Callable that takes an exception of our own code.

    Returns:
        `(gradient taps, loss-scale taps)`.
    """
    gradient_taps = [
        GradientTap(leaf, rows, update_rows, xla, on_failure)
        for leaf in optimizers.leaves(optimizer)
        if optimizers.why_unreadable(leaf) is None
    ]
    by_leaf = {id(t.optimizer): t for t in gradient_taps}
    scale_taps = [
        LossScaleTap(scaler, by_leaf[id(leaf)])
        for scaler in optimizers.loss_scalers(optimizer)
        for leaf in optimizers.leaves(scaler)
        if id(leaf) in by_leaf
    ]
    return gradient_taps, scale_taps
