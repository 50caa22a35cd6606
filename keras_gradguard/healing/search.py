"""Chooses among remedies by what trials of them show."""

import dataclasses

import numpy as np

from keras_gradguard import edits
from keras_gradguard._text import count
from keras_gradguard.diagnosis.remedies.training import for_slow
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.healing.attempt import Attempt
from keras_gradguard.healing.attempt import failed
from keras_gradguard.healing.choices import about
from keras_gradguard.healing.choices import is_curable
from keras_gradguard.healing.choices import key_of
from keras_gradguard.healing.choices import left_to_you
from keras_gradguard.healing.choices import not_known
from keras_gradguard.healing.choices import of_whole_run
from keras_gradguard.healing.choices import together
from keras_gradguard.healing.choices import why_useless
from keras_gradguard.healing.progress import Progress
from keras_gradguard.healing.trials import GOOD
from keras_gradguard.healing.trials import USELESS
from keras_gradguard.healing.trials import Trial
from keras_gradguard.healing.trials import Trials
from keras_gradguard.healing.trials import is_better
from keras_gradguard.models.values import host_copy
from keras_gradguard.models.values import is_finite
from keras_gradguard.preflight.judge import checked
from keras_gradguard.reporting.report import Report
from keras_gradguard.trace.run_info import RunInfo

# One trial is a tenth of what is to be spent: twice one plain training.
_TRIALS = 10
_STEPS = 2000
# How far all steps of a run together should be able to move the weights.
_REACH = 3.0
# A trial shows at once whether larger steps were too large.
_FACTOR = 1e4
# One step that moves them by more is large as it is.
_STEP = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class _Spare:
    """A trial that cured and did no harm, to be kept if nothing helps more.

    Attributes:
        trial: `Trial`.
        of: `Trial` that was changed.
        at: Int. Which of the attempts it is.
        key: What tells its remedy from others.
    """

    trial: Trial
    of: Trial
    at: int
    key: tuple


class Healer:
    """Trials, one after the other, on the best model so far."""

    def __init__(self, model, report, x, y, epochs, batch_size, verbose=0):
        self.model, self.report = model, report
        self.x, self.y = x, y
        self.trials = Trials(
            model, x, y, lambda rows: batch_size or self._rows_of_a_batch(rows)
        )
        self.epochs = epochs = epochs or self._planned()
        self.trials.length = max(1, round(2 * epochs / _TRIALS))
        self.trials.left = 2 * epochs
        self.attempts = []
        self.progress = Progress(verbose)
        self.seen, self.kept = set(), []
        self.spare: _Spare | None = None
        self.fitted: set = set()

    @property
    def _run(self):
        trace = self.report.trace if self.report is not None else None
        return RunInfo() if trace is None else trace.run

    def _rows_of_a_batch(self, rows):
        steps = self._run.steps_per_epoch
        return -(-rows // steps) if steps else 32

    def _planned(self):
        planned = self._run.epochs_planned
        if planned:
            return planned
        return max(1, round(_STEPS / self._steps_per_epoch))

    @property
    def _steps_per_epoch(self):
        return max(1, -(-self.trials.rows // self.trials.batch_size))

    def run(self):
        """Return the healed model and the report."""
        if self.report is not None and not self.report.findings:
            return self.model, Report(
                [],
                notes=["The report has no findings: nothing to heal."],
                not_judged=self.report.not_judged,
            )
        self.progress.start(self.model, self.trials.length, self.trials.most)
        first, notes = self._first_findings()
        # What is to be cured first may be known; then its skill will do.
        known = self.report is not None or is_curable(first)
        original = best = self.trials.run(self._start(), watched=not known)
        if not known:
            first += not_known(best.findings, first)
        best.findings, best.notes = first, notes
        self.progress.unchanged(best)
        seen = best
        if not first and best.skill < GOOD:
            seen = self._whole_run(best)
            first = best.findings = list(seen.findings)
        useless = why_useless(seen)
        if not first and not (useless and self.trials.affordable):
            epochs = count(self._epochs_of(seen, best), "epoch")
            note = (
                f"{'Nothing' if useless else 'Healthy: nothing'} found before "
                f"training and in {epochs} of it, so nothing was changed."
            )
            return self.model, Report(
                [], notes=[note, *notes], not_judged=useless
            )
        several = together(first)
        if several is not None and self.trials.affordable:
            finding, remedy, parts = several
            better = self._attempt(best, finding, remedy)
            if better is not None:
                best = better
                self.kept += [key_of(part) for part in parts]
                self.seen.update(self.kept)
                self._note_fitted(first, best)
        while self.trials.affordable:
            # A model that is clean but learns little is tried further.
            todo = best.findings
            if not todo and best.skill < GOOD:
                todo = [*first, *self._too_slow(best)]
            better = self._improve(best, todo)
            if better is None and self._may_know_more(best):
                seen = self.trials.run(best.start)
                best.findings += not_known(seen.findings, best.findings)
                best.trace = seen.trace
                continue
            if better is None and not self.trials.is_short(best.start):
                better = self._spare_of(best)
            if better is None:
                break
            best = better
            if best.findings:
                # What did not help before may help now.
                self.seen = set(self.kept)
        return self._result(best, original)

    def _whole_run(self, best):
        """Return a watched training as long as planned, where time is left.

        Some faults show late, such as a penalty on recurrent weights.
        """
        length = self.trials.length
        longer = min(self.epochs, self.trials.left - length)
        if longer <= length:
            return best
        self.trials.length = longer
        seen = self.trials.run(self._start())
        self.trials.length = length
        self.progress.longer(seen, longer)
        return best if seen.error else seen

    def _epochs_of(self, seen, best):
        return self.trials.length if seen is best else self.epochs

    def _note_fitted(self, findings, better):
        """Remember which ends fit now: what else was told for them undoes it.

        The remedies of an output that does not fit stand for each other, as
        one for classes and one for numbers do.
        """
        left = {about(finding) for finding in better.findings}
        self.fitted |= {
            about(f) for f in findings if f.rule == "output_mismatch"
        } - left

    def _first_findings(self):
        if self.report is not None:
            return list(self.report.findings), []
        report = self._checked(self.model)
        return report.findings, report.notes

    def _checked(self, model):
        size = self.trials.batch_size
        return checked(model, self.x, self.y, size, notes_too=False)

    def _too_slow(self, best):
        """Return, as a finding, that a clean model learns too little.

        No rule says so of a run of few steps; how far its weights move until
        the end tells how much larger steps have to be.
        """
        trace = best.trace
        if trace is None or not len(trace.steps):
            return []
        ratio = trace.measured("update_ratio")[1]
        typical = float(np.nanmedian(ratio)) if np.isfinite(ratio).any() else 0
        steps = self.epochs * self._steps_per_epoch
        reach = max(typical * steps, 1e-3)
        enough = reach > _REACH or typical > _STEP
        fixes = for_slow(trace, _REACH / reach, _FACTOR)
        return [
            in_a_run(
                trace,
                rule="slow_convergence",
                severity="warning",
                layers=[],
                first_step=trace.steps[0],
                last_step=trace.steps[-1],
                evidence={"update_ratio": typical, "skill": best.skill},
                message="It learns too little in the planned epochs.",
                # Steps that go far enough are not what is missing.
                remedies=fixes[1:] if enough else fixes,
            )
        ]

    def _may_know_more(self, best):
        """Whether a watched training may tell what is still unknown."""
        return (
            self.report is None
            and best.trace is None
            and not best.error
            and self.trials.affordable
        )

    def _start(self):
        """Return a copy to begin with; one that has trained begins anew."""
        weights = self.model.trainable_variables
        finite = is_finite(host_copy(weight) for weight in weights)
        fresh = int(host_copy(self.model.optimizer.iterations)) == 0
        return edits.copy(self.model, keep_weights=finite and fresh)

    def _improve(self, best, findings):
        """Return a better trial, or None when all remedies are used up."""
        for finding in Report(findings).ranked:
            if about(finding) in self.fitted:
                continue
            for remedy in finding.remedies:
                if not self.trials.affordable:
                    return None
                key = key_of(remedy)
                if remedy.apply is None or key in self.seen:
                    continue
                if remedy.action is not None:
                    self.seen.add(key)
                better = self._attempt(best, finding, remedy)
                if better is not None:
                    self.kept.append(key)
                    self._note_fitted([finding], better)
                    return better
        return None

    def _attempt(self, best, finding, remedy):
        steps = self.epochs * self._steps_per_epoch
        try:
            changed = of_whole_run(remedy, steps).apply(best.start)
        except (TypeError, ValueError) as error:
            self._note(failed(finding, remedy, error))
            return None
        trial = self.trials.run(changed)
        gone = about(finding) not in {about(f) for f in trial.findings}
        if self.trials.may_keep(trial, best, gone):
            report = self._checked(changed)
            trial.notes = report.notes
            trial.findings += not_known(report.findings, trial.findings)
        rules = list(dict.fromkeys(f.rule for f in trial.findings))
        left = {about(f) for f in trial.findings}
        gone = about(finding) not in left and not trial.error
        if gone and best.skill >= GOOD:
            self.trials.train_on(trial, best)
        kept = is_better(trial.skill, best.skill, gone)
        # What hides a fault and teaches nothing is no cure.
        kept = kept and (gone or trial.skill >= USELESS)
        kept = kept or (gone and self.trials.sees_again(trial, best))
        told = about(finding) in {about(f) for f in best.findings}
        if not kept and gone and told and trial.skill >= best.skill:
            # It does no harm: better than nothing, if nothing else helps.
            former = self.spare
            if (
                former is None
                or former.of is not best
                or trial.skill > former.trial.skill
            ):
                at = len(self.attempts)
                self.spare = _Spare(trial, best, at, key_of(remedy))
        self._note(
            Attempt(
                finding.rule,
                remedy.title,
                kept,
                best.skill,
                trial.skill,
                rules,
                self.trials.length,
                trial.error,
            )
        )
        return trial if kept else None

    def _note(self, attempt):
        self.attempts.append(attempt)
        self.progress.attempt(attempt)

    def _spare_of(self, best):
        """Return the trial that cured the best model and did no harm, or None.

        It is kept once nothing helps more. What else is wrong shows then, and
        is tried where trainings are so long that to compile more of them
        hardly counts.
        """
        spare, self.spare = self.spare, None
        if spare is None or spare.of is not best:
            return None
        kept = dataclasses.replace(self.attempts[spare.at], kept=True)
        self.attempts[spare.at] = kept
        self.progress.kept_after_all(kept)
        self.kept.append(spare.key)
        return spare.trial

    def _result(self, best, original):
        best = self._spare_of(best) or best
        if best is original:
            note = "Nothing was changed: no remedy made the model better."
            healed = self.model
        else:
            done = [attempt.title for attempt in self.attempts if attempt.kept]
            note = f"Changed: {'; '.join(done)}."
            healed = self.trials.release(best)
        return healed, Report(
            best.findings,
            notes=[note, *left_to_you(best.findings), *best.notes],
            attempts=self.attempts,
            not_judged=why_useless(best),
        )
