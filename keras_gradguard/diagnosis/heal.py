"""Applies remedies to a model and keeps those that help."""

import collections.abc
import dataclasses
import json
import math

import keras
import numpy as np

from keras_gradguard._validation import check_int
from keras_gradguard.callbacks.gradient_monitor import GradientMonitor
from keras_gradguard.diagnosis import actions
from keras_gradguard.diagnosis.attempt import Attempt
from keras_gradguard.diagnosis.finding import Remedy
from keras_gradguard.diagnosis.preflight import check
from keras_gradguard.diagnosis.preflight import samples
from keras_gradguard.diagnosis.report import Report
from keras_gradguard.diagnosis.skill import is_blind
from keras_gradguard.diagnosis.skill import skill
from keras_gradguard.diagnosis.skill import tasks_of
from keras_gradguard.recording.dispatcher import one_variant

# One trial is a tenth of what is to be spent: twice one plain training.
_TRIALS = 10
_STEPS = 2000
_ROWS = 2048
# Less than this is noise; from here on a model is healed and not just better.
_BETTER, _GOOD = 0.02, 0.3
# From so many batches on, a trial may leave out a last one that is smaller.
_FEW_BATCHES = 4
_PLAIN_CAUSES = ("output_mismatch", "unscaled_data")
# One that lags behind by no more than this is given some more rounds.
_SHARE, _ROUNDS = 0.7, 2
# A gain for which a change is kept though the finding stays.
_MUCH_BETTER = 0.2


@dataclasses.dataclass(slots=True)
class _Trial:
    """A model after a trial training, and what was seen.

    Attributes:
        start: The model before the training.
        model: The same, trained.
        skill: Float.
        findings: List of `Finding`.
        error: Str. Why it failed, or "".
    """

    start: object
    model: object
    skill: float
    findings: list
    error: str = ""


def heal(
    model,
    report=None,
    x=None,
    y=None,
    *,
    epochs=None,
    batch_size=None,
):
    """Cure a model of what was found in it, and prove that it helped.

    Takes the remedies of the findings, the gravest first, applies one to a
    copy of the model, trains it for a tenth of the budget under a
    `GradientMonitor`, and keeps the change if the finding is gone and the
    predictions are better than those of the model before, trained as long; or
    if they were the same for every input before, and no longer are.
    Otherwise it tries the next. What remains is cured on top.

    Predictions are compared, not losses: a loss may fall while predictions
    stay where they are, and a remedy may change it. The model that comes back
    is the best of all, the original among them. All trainings together take
    at most twice `epochs`.

    Without `x` the first remedy that can be applied is applied and not
    verified.

    Args:
        model: A Keras model, compiled and built; `Sequential` or functional,
            since layers of others cannot be exchanged. It stays untouched.
        report: A `Report` on it, of `check`, `diagnose` or a monitor, or None
            to make one: `check`, then a watched training of a copy.
        x: Inputs as `fit` takes them, and as often as need be: a generator,
            which gives its batches once, will not do.
        y: Targets, if `x` does not bring them.
        epochs: Int. Epochs that one plain training would take. Defaults to
            those of `report`'s run, else to some 2000 steps.
        batch_size: Int. Rows of a batch, where `x` is arrays. Defaults to
            that of `report`'s run, else to 32.

    Returns:
        Tuple of the healed model and a `Report`. The model has been trained
        for a tenth to a fifth of `epochs`; go on with `fit`. If nothing was
        found, or nothing helped, it is `model` itself. `report.attempts` says
        what was tried, `report.findings` what is left.

    Raises:
        TypeError: If `model` is no Keras model, or `x` a generator.
        ValueError: If `model` is not compiled.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, "softmax", name="out")]
    ... )
    >>> model.compile("adam", "binary_crossentropy")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> healed, report = kgg.heal(model, x=x, y=(x[:, 0] > 0) * 1.0, epochs=50)
    >>> healed.layers[-1].activation.__name__
    'sigmoid'

    References:
    - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
    """
    _check_arguments(model, report, x)
    actions.check_model("heal", model)
    if epochs is not None:
        epochs = check_int("heal", "epochs", epochs, minimum=1)
    if batch_size is not None:
        batch_size = check_int("heal", "batch_size", batch_size, minimum=1)
    if x is None:
        return _unverified(model, report)
    healer = _Healer(model, report, x, y, epochs, batch_size)
    return healer.run()


def _check_arguments(model, report, x):
    if not isinstance(model, keras.Model):
        raise TypeError(
            "heal: `model` must be a Keras model. Received: "
            f"model={model!r} (of type {type(model).__name__})."
        )
    if report is not None and not isinstance(report, Report):
        raise TypeError(
            "heal: `report` must be a Report or None. Received: "
            f"report={report!r} (of type {type(report).__name__}). Pass what "
            "`kgg.check` or `monitor.report()` returns."
        )
    if isinstance(x, collections.abc.Iterator):
        raise TypeError(
            "heal: `x` must give its data as often as need be. Received: a "
            f"{type(x).__name__}. Pass arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset."
        )
    if x is None and report is None:
        raise ValueError(
            "heal: `report` or `x` must be given. Received: neither. Pass the "
            "data to train on."
        )
    if x is not None and not model.compiled:
        raise ValueError(
            "heal: `model` must be compiled to verify a remedy. Received: "
            f"model={model.name!r}, which is not. Call `model.compile(...)`."
        )


def _unverified(model, report):
    """Apply the first remedy that can be applied, on trust."""
    attempts = []
    for finding in report.ranked:
        for remedy in finding.remedies:
            if remedy.apply is None:
                continue
            try:
                healed = remedy.apply(model)
            except (TypeError, ValueError) as error:
                attempts.append(_failed(finding, remedy, error))
                continue
            unknown = math.nan
            done = Attempt(
                finding.rule, remedy.title, True, unknown, unknown, [], 0
            )
            left = [f for f in report.findings if f is not finding]
            note = "Applied without data, so nothing was verified."
            return healed, Report(
                left, notes=[note], attempts=[*attempts, done]
            )
    note = (
        "Nothing was changed: the report is healthy."
        if report.healthy
        else "Nothing was changed: no remedy can be applied by itself."
    )
    return model, Report(report.findings, notes=[note], attempts=attempts)


def _failed(finding, remedy, error):
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Attempt(
        finding.rule, remedy.title, False, math.nan, math.nan, [], 0, first
    )


class _StopOnNaN(keras.callbacks.Callback):
    """Ends a trial whose loss is not finite, without a word."""

    def on_batch_end(self, batch, logs=None):
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


class _Healer:
    """Trials, one after the other, on the best model so far."""

    def __init__(self, model, report, x, y, epochs, batch_size):
        self.model, self.report = model, report
        self.x, self.y = x, y
        self.sample = samples.take(x, y, _ROWS)
        self.batch_size = batch_size or self._rows_of_a_batch()
        self.trained_on = _whole_batches(x, y, self.batch_size)
        self.tasks = tasks_of(model, self.sample.y)
        self.epochs = epochs or self._planned()
        self.length = max(1, round(2 * self.epochs / _TRIALS))
        self.left = 2 * self.epochs
        self.attempts, self.notes = [], []
        self.seen, self.kept, self.spare = set(), [], None

    def _meta(self, key):
        trace = self.report.trace if self.report is not None else None
        value = None if trace is None else trace.meta.get(key)
        return value if isinstance(value, int) and value > 0 else None

    def _rows(self):
        return len(keras.tree.flatten(self.sample.all_x)[0])

    def _rows_of_a_batch(self):
        steps = self._meta("steps_per_epoch")
        return -(-self._rows() // steps) if steps else 32

    def _planned(self):
        planned = self._meta("epochs_planned")
        if planned:
            return planned
        rows = self._rows()
        return max(1, round(_STEPS / max(1, -(-rows // self.batch_size))))

    def run(self):
        """Return the healed model and the report."""
        if self.report is not None and self.report.healthy:
            return self.model, Report([], notes=["Healthy: nothing to heal."])
        first = self._first_findings()
        original = best = self._trial(self._start())
        if self.report is None:
            known = {finding.rule for finding in first}
            first += [f for f in best.findings if f.rule not in known]
        best.findings = first
        if not first:
            note = (
                f"Healthy: nothing found before training and in {self.length} "
                "epochs of it, so nothing was changed."
            )
            return self.model, Report([], notes=[note, *self.notes])
        several = _together(first)
        if several is not None and self.left >= self.length:
            finding, remedy, parts = several
            better = self._attempt(best, finding, remedy)
            if better is not None:
                best = better
                self.kept += [_key(part) for part in parts]
                self.seen.update(self.kept)
        while self.left >= self.length:
            # A model that is clean but learns little is tried further.
            todo = best.findings or (first if best.skill < _GOOD else [])
            better = self._improve(best, todo)
            if better is None:
                break
            best = better
            if best.findings:
                # What did not help before may help now.
                self.seen = set(self.kept)
        return self._result(best, original)

    def _first_findings(self):
        if self.report is not None:
            return list(self.report.findings)
        report = check(self.model, self.x, self.y, self.batch_size)
        self.notes += report.notes
        return report.findings

    def _start(self):
        """Return a copy to begin with; one that has trained begins anew."""
        finite = all(
            np.isfinite(keras.ops.convert_to_numpy(w)).all()
            for w in self.model.trainable_variables
        )
        steps = self.model.optimizer.iterations
        fresh = int(keras.ops.convert_to_numpy(steps)) == 0
        return actions.copy(self.model, keep_weights=finite and fresh)

    def _improve(self, best, findings):
        """Return a better trial, or None when all remedies are used up."""
        for finding in Report(findings).ranked:
            for remedy in finding.remedies:
                if self.left < self.length:
                    return None
                key = _key(remedy)
                if remedy.apply is None or key in self.seen:
                    continue
                if remedy.action is not None:
                    self.seen.add(key)
                better = self._attempt(best, finding, remedy)
                if better is not None:
                    self.kept.append(key)
                    return better
        return None

    def _attempt(self, best, finding, remedy):
        try:
            changed = remedy.apply(best.start)
        except (TypeError, ValueError) as error:
            self.attempts.append(_failed(finding, remedy, error))
            return None
        trial = self._trial(changed)
        if not trial.error:
            found = {f.rule for f in trial.findings}
            report = check(changed, self.x, self.y, self.batch_size)
            trial.findings += [
                f for f in report.findings if f.rule not in found
            ]
        rules = list(dict.fromkeys(f.rule for f in trial.findings))
        left = {_about(f) for f in trial.findings}
        gone = _about(finding) not in left and not trial.error
        if gone and best.skill >= _GOOD:
            self._train_on(trial, best)
        kept = _is_better(trial.skill, best.skill, gone)
        kept = kept or (gone and self._sees_again(trial, best))
        if not kept and gone and trial.skill >= best.skill:
            # It does no harm: better than nothing, if nothing else helps.
            better = self.spare is None or trial.skill > self.spare[0].skill
            if better:
                self.spare = trial, len(self.attempts), best
        self.attempts.append(
            Attempt(
                finding.rule,
                remedy.title,
                kept,
                best.skill,
                trial.skill,
                rules,
                self.length,
                trial.error,
            )
        )
        return trial if kept else None

    def _trial(self, start):
        """Train a copy of a model for a while, watched."""
        model = actions.copy(start)
        monitor = GradientMonitor(on_finding="ignore", verbose=0)
        try:
            history = self._fit(model, [monitor])
        except Exception as error:
            text = str(error).splitlines()[0][:200] if str(error) else ""
            text = f"{type(error).__name__}: {text}"
            return _Trial(start, model, -math.inf, [], text)
        reached = self._skill(model, history)
        return _Trial(start, model, reached, list(monitor.findings))

    def _fit(self, model, callbacks=()):
        self.left -= self.length
        x, y = self.trained_on
        arguments = {} if y is None else {"y": y}
        if not samples.gives_batches(x):
            arguments["batch_size"] = self.batch_size
        # A trial is short, and compiling the step most of it.
        with one_variant():
            return model.fit(
                x,
                epochs=self.length,
                verbose=0,
                callbacks=[*callbacks, _StopOnNaN()],
                **arguments,
            )

    def _train_on(self, trial, best):
        """Train both on while the one without the finding lags behind.

        Two models that learn differ early by their pace, not by their end.
        """
        for _ in range(_ROUNDS):
            close = _SHARE * best.skill <= trial.skill < best.skill - _BETTER
            if not close or self.left < 2 * self.length:
                return
            for each in (trial, best):
                each.skill = self._skill(each.model, self._fit(each.model))

    def _sees_again(self, trial, best):
        """Whether predictions follow the inputs now, and did not before.

        What predicts the same for every input cannot learn, however small the
        steps of a trial were.
        """
        if not math.isfinite(trial.skill):
            return False
        x = self.sample.x
        return is_blind(best.model, x) and not is_blind(trial.model, x)

    def _skill(self, model, history):
        if self.tasks:
            return skill(model, self.sample.x, self.sample.y, self.tasks)
        losses = history.history.get("loss", [])
        if not losses or not np.isfinite(losses[-1]):
            return -math.inf
        return float(1.0 - losses[-1] / (abs(losses[0]) + 1e-12))

    def _result(self, best, original):
        if self.spare is not None and self.spare[2] is best:
            best, at, _ = self.spare
            self.attempts[at] = dataclasses.replace(
                self.attempts[at], kept=True
            )
        if best is original:
            note = "Nothing was changed: no remedy made the model better."
            healed = self.model
        else:
            done = [attempt.title for attempt in self.attempts if attempt.kept]
            note = f"Changed: {'; '.join(done)}."
            healed = best.model
        return healed, Report(
            best.findings,
            notes=[note, *self.notes],
            attempts=self.attempts,
        )


def _whole_batches(x, y, batch_size):
    """Return the data without a last batch that is smaller, if it is small.

    It has a shape of its own, for which every trial would compile once more.
    """
    if samples.gives_batches(x):
        return x, y
    parts = keras.tree.flatten(x) + ([] if y is None else keras.tree.flatten(y))
    rows = len(parts[0])
    rest = rows % batch_size
    arrays = all(hasattr(part, "shape") for part in parts)
    if not arrays or not rest or rows < _FEW_BATCHES * batch_size:
        return x, y

    def whole(structure):
        return keras.tree.map_structure(lambda p: p[: rows - rest], structure)

    return whole(x), None if y is None else whole(y)


def _key(remedy):
    return remedy.action, json.dumps(remedy.arguments)


def _about(finding):
    """What makes it the same finding in another model."""
    return finding.rule, finding.evidence.get("of")


def _together(findings):
    """Return a finding and remedy that stand for several plain causes.

    Data and outputs that do not fit spoil each other's cure, so that each
    alone may help nothing.

    Args:
        findings: List of `Finding`.

    Returns:
        Tuple (finding, remedy, list of its parts), or None if there are not
        two of them.
    """
    chosen = {}
    for finding in Report(findings).ranked:
        cures = [r for r in finding.remedies if r.apply is not None]
        if finding.rule in _PLAIN_CAUSES and cures:
            chosen.setdefault(_about(finding), (finding, cures[0]))
    if len(chosen) < 2:
        return None

    def apply(model):
        for _, remedy in chosen.values():
            model = remedy.apply(model)
        return model

    titles = " + ".join(remedy.title for _, remedy in chosen.values())
    first = next(iter(chosen.values()))[0]
    together = Remedy(titles, "They spoil each other's cure.", apply=apply)
    return first, together, [remedy for _, remedy in chosen.values()]


def _is_better(after, before, gone):
    """Tell whether a change is worth keeping."""
    if math.isnan(after) or math.isnan(before):
        return gone
    if not math.isfinite(after):
        return False
    if gone and before >= _GOOD:
        return after >= before - _BETTER
    gain = _BETTER if gone else _MUCH_BETTER
    return after >= before + gain
