"""Short trainings that show what a change is worth."""

import contextlib
import dataclasses
import math

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard import edits
from keras_gradguard._text import error_in_words
from keras_gradguard.callbacks.gradient_monitor import GradientMonitor
from keras_gradguard.healing.skill import is_blind
from keras_gradguard.healing.skill import skill
from keras_gradguard.healing.skill import tasks_of
from keras_gradguard.models.graph import values_of_a_row
from keras_gradguard.preflight import samples

_ROWS = 2048
# From here on a model is healed and not just better.
GOOD = 0.3
# Less than this is noise.
BETTER = 0.02
# Skill below which a model predicts what a constant does.
USELESS = 0.02
# A gain for which a change is kept though the finding stays.
_MUCH_BETTER = 0.2
# From so many batches on, a trial may leave out a last one that is smaller;
# fewer are made smaller, all of them.
_FEW_BATCHES = 4
# Values that a training computes in all. Of fewer, JAX on CPUs takes longer to
# compile a good program than it gains: 10 to 20 ns for each value, against 0.3
# to 1.2 s (two cores, nine nets).
_SHORT = 2e7
# One that lags behind by no more than this is given some more rounds.
_SHARE, _ROUNDS = 0.7, 2


@dataclasses.dataclass(slots=True)
class Trial:
    """A model after a trial training, and what was seen.

    Attributes:
        start: The model before the training.
        model: The same, trained.
        skill: Float.
        findings: List of `Finding`.
        outputs: List of arrays, what the trained model predicts.
        trace: `Trace` of the training, None if it was not watched.
        error: Str. Why it failed, or "".
        notes: List of str, what `check` says beside its findings.
    """

    start: object
    model: object
    skill: float
    findings: list
    outputs: list = dataclasses.field(default_factory=list)
    trace: object = None
    error: str = ""
    notes: list = dataclasses.field(default_factory=list)


class _StopOnNaN(keras.callbacks.Callback):
    """Ends a trial whose loss is not finite, without a word."""

    def on_batch_end(self, batch, logs=None):
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


class Trials:
    """Trains models on the same data, each for the same number of epochs.

    Args:
        model: The model as it came, which decides what its skill is.
        x: Inputs, as `heal` takes them.
        y: Targets, or None.
        batch_size_of: Callable from the rows of the data to the rows of a
            batch.

    Attributes:
        sample: `Samples` of the data, by which skill is measured.
        batch_size: Int.
        length: Int. Epochs of a training; to be set.
        left: Int. Epochs that may still be spent; to be set.
    """

    def __init__(self, model, x, y, batch_size_of):
        self.sample = samples.take(x, y, _ROWS)
        self.batch_size = batch_size_of(self.rows)
        self._data, self._rows = _equal_batches(x, y, self.batch_size)
        self._asked = _equal_batches(self.sample.x, self.sample.y, self._rows)
        self._tasks = tasks_of(model, self.sample.y)
        self._arrays = not samples.gives_batches(x)
        self.length, self.left = 1, 0

    @property
    def rows(self):
        """Rows of the sample."""
        return len(keras.tree.flatten(self.sample.all_x)[0])

    @property
    def affordable(self):
        """Whether there is time for one more."""
        return self.left >= self.length

    @property
    def most(self):
        """How many trainings there is still time for."""
        return self.left // self.length

    def run(self, start, watched=True):
        """Train a copy of a model for a while.

        Args:
            start: The model.
            watched: Bool. Whether the rules look on; it is twice as much to
                compile.
        """
        model = edits.copy(start)
        monitor = GradientMonitor(on_finding="ignore", verbose=0)
        try:
            history = self._fit(model, [monitor] if watched else [])
        except Exception as error:
            text = error_in_words(error)
            return Trial(start, model, -math.inf, [], error=text)
        trial = Trial(start, model, math.nan, [])
        if watched:
            trial.findings = list(monitor.findings)
            trial.trace = monitor.trace
        self._measure(trial, history)
        return trial

    def _fit(self, model, callbacks=()):
        self.left -= self.length
        x, y = self._data
        arguments = {} if y is None else {"y": y}
        if self._arrays:
            arguments["batch_size"] = self._rows
        with self._compiling(model):
            return model.fit(
                x,
                epochs=self.length,
                verbose=0,
                callbacks=[*callbacks, _StopOnNaN()],
                **arguments,
            )

    def _compiling(self, model):
        """Context for a training: one that is short is compiled fast."""
        if self.is_short(model):
            return _backend.current().compiling_fast()
        return contextlib.nullcontext()

    def is_short(self, model):
        """Whether to compile a training takes longer than to train.

        Args:
            model: The model that would train.
        """
        values = values_of_a_row(model) if self._arrays else None
        if values is None:
            return False
        rows = self.length * self.rows
        steps = rows / max(1, self._rows)
        return rows * values + steps * model.count_params() <= _SHORT

    def release(self, trial):
        """Return the model of a trial, to be compiled well by whoever uses it.

        Args:
            trial: `Trial`.
        """
        model = trial.model
        model.train_function = None
        model.test_function = model.predict_function = None
        return model

    def train_on(self, trial, best):
        """Train both on while the one without the finding lags behind.

        Two models that learn differ early by their pace, not by their end.
        """
        for _ in range(_ROUNDS):
            close = _SHARE * best.skill <= trial.skill < best.skill - BETTER
            if not close or self.left < 2 * self.length:
                return
            for each in (trial, best):
                self._measure(each, self._fit(each.model))

    def sees_again(self, trial, best):
        """Whether predictions follow the inputs now, and did not before.

        What predicts the same for every input cannot learn, however small the
        steps of a trial were.
        """
        if not math.isfinite(trial.skill):
            return False
        return is_blind(best.outputs) and not is_blind(trial.outputs)

    def may_keep(self, trial, best, gone):
        """Whether a trial can be worth keeping, if the finding is `gone`."""
        if trial.error or not math.isfinite(trial.skill):
            return False
        if is_better(trial.skill, best.skill, gone):
            return True
        if not gone:
            return False
        harmless = trial.skill >= best.skill
        lags = best.skill >= GOOD and trial.skill >= _SHARE * best.skill
        return harmless or lags or self.sees_again(trial, best)

    def _measure(self, trial, history):
        """Note what a trained model predicts, and its skill."""
        (x, y), rows = self._asked
        with _backend.current().compiling_fast():
            outputs = trial.model.predict(x, batch_size=rows, verbose=0)
        trial.outputs = keras.tree.flatten(outputs)
        if self._tasks:
            trial.skill = skill(trial.model, x, y, self._tasks, trial.outputs)
            return
        losses = history.history.get("loss", [])
        if not losses or not np.isfinite(losses[-1]):
            trial.skill = -math.inf
            return
        trial.skill = float(1.0 - losses[-1] / (abs(losses[0]) + 1e-12))


def is_better(after, before, gone):
    """Tell whether a change is worth keeping."""
    if math.isnan(after) or math.isnan(before):
        return gone
    if not math.isfinite(after):
        return False
    if gone and before >= GOOD:
        return after >= before - BETTER
    gain = BETTER if gone else _MUCH_BETTER
    return after >= before + gain


def _equal_batches(x, y, batch_size):
    """Return `(x, y)` and the rows of a batch, for batches of one shape.

    A last one that is smaller would be compiled once more by every trial.
    """
    if samples.gives_batches(x):
        return (x, y), batch_size
    parts = keras.tree.flatten(x) + ([] if y is None else keras.tree.flatten(y))
    rows = len(parts[0])
    arrays = all(hasattr(part, "shape") for part in parts)
    if not arrays or rows <= batch_size or not rows % batch_size:
        return (x, y), batch_size
    if rows < _FEW_BATCHES * batch_size:
        batch_size = rows // -(-rows // batch_size)
    used = rows - rows % batch_size

    def first(structure):
        return keras.tree.map_structure(lambda p: p[:used], structure)

    return (first(x), None if y is None else first(y)), batch_size
