"""Keeps what the rules find while a run goes on, and decides when to look."""

import time

from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.evidence.certainty import causes_judged
from keras_gradguard.diagnosis.life import confirmed_at
from keras_gradguard.diagnosis.life import withdraw
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.diagnosis.rules import options_of
from keras_gradguard.findings.causes import ENDED
from keras_gradguard.findings.causes import is_symptom
from keras_gradguard.findings.causes import trace_causes

# Rules run again when the trace has doubled: their cost grows with the trace,
# so the cost per step stays the same. Where steps are so fast that judging
# would be felt, they wait until it has grown fourfold.
_GROWTH, _MOST_GROWTH = 2, 4
_SHARE_OF_TIME = 0.01
_SHARE_AT_MARKS = 0.02


class Judge:
    """Runs rules on a growing trace and remembers what they found.

    Args:
        rules: List of rules.
        first_look: Int. Number of records before the first look.
        early: Int. Up to so many records the clock counts for nothing.
        marks: List of int. Numbers of records at which to look, too, where that
            is not felt.
        sure: List of int. Numbers of records at which to look in any case.
        by_clock: Bool. Whether looks may wait where judging would be felt.
            False where several processes have to look at the same steps.
        said: Dict from keys of findings to the status that was said of them
            before. Defaults to none.

    Attributes:
        findings: List of `Finding`, in order of their first step.
        history: List of `Finding`. All, also those that are resolved or
            withdrawn.
        not_judged: List of str. Why a run without findings may not be called
            healthy.
        said: Dict from keys of findings to what was last said of each.
    """

    def __init__(
        self,
        rules,
        first_look=1,
        by_clock=True,
        early=0,
        marks=(),
        said=None,
        sure=(),
    ):
        self.findings = []
        self.history: list = []
        self.not_judged = ["nothing was recorded"]
        self._rules = rules
        self._looked_at = self._grown_from = first_look / _GROWTH
        self._early, self._marks = early, tuple(marks)
        self._sure = tuple(sure)
        self._latest = None
        self.said = dict(said or {})
        # The steps of further looks, each at a finding that is not confirmed.
        self._second_looks: dict = {}
        self._by_clock = by_clock
        self._began = time.monotonic()
        self._spent = 0.0

    def is_due(self, records, step=-1):
        """Whether the trace has grown enough for another look.

        Args:
            records: Int. Records so far.
            step: Int. The latest step, where that is known.
        """
        if any(0 <= wanted <= step for wanted in self._second_looks.values()):
            return True
        if any(self._looked_at < mark <= records for mark in self._sure):
            return True
        elapsed = time.monotonic() - self._began
        if any(self._looked_at < mark <= records for mark in self._marks):
            few = self._spent <= _SHARE_AT_MARKS * elapsed
            if few or not self._by_clock:
                return True
        if records < _GROWTH * self._grown_from:
            return False
        if not self._by_clock or records >= _MOST_GROWTH * self._grown_from:
            return True
        if records <= self._early:
            return True
        return self._spent <= _SHARE_OF_TIME * elapsed

    def look(self, trace, records, is_last=False):
        """Judge the trace as it is now, unless that was done.

        What only shows that the run does not learn is not said before the
        rules that name causes had the records that they ask for.

        Args:
            trace: `Trace` of the run.
            records: Int. Records so far.
            is_last: Bool. Whether no records will follow.

        Returns:
            List of the findings whose status has changed, the new ones among
            them, and list of the new ones alone.
        """
        latest = (
            records,
            len(trace.epochs),
            len(trace.activation_steps),
            trace.meta.get("not_recorded"),
            trace.meta.get("left_by"),
        )
        if latest == self._latest:
            return self._changes(trace, is_last)
        start = time.monotonic()
        self._looked_at, self._latest = max(records, self._looked_at), latest
        if records >= _GROWTH * self._grown_from:
            # A look at a mark in between puts none of these off.
            self._grown_from = records
        # What rules share serves what is asked behind them, too.
        with trace.unchanged():
            changes = self._look(trace, is_last)
        self._spent += time.monotonic() - start
        return changes

    def _look(self, trace, is_last):
        report = diagnose(trace, self._rules)
        self.not_judged = trace.meta["not_judged"] = report.not_judged
        options = options_of(self._rules)
        if options:
            trace.meta["rules"], trace.meta["notes"] = options, report.notes
        judged = {f.key for f in report.history}
        # What was reported stays, also where its proof was thinned out.
        kept = [f for f in self.findings if f.key not in judged]
        told = sorted([*report.findings, *kept], key=self._place)
        self.findings = trace_causes(told, effects_of(self._rules))
        stand = {f.key for f in self.findings}
        gone = [f for f in report.history if f.key not in stand]
        gone += [withdraw(f, self.findings) for f in kept if f.key not in stand]
        self.history = sorted(
            [*self.findings, *gone], key=lambda f: f.first_step
        )
        changes = self._changes(trace, is_last)
        if changes[0]:
            trace.remember(self.findings)
        self._plan_second_looks(trace)
        return changes

    def _changes(self, trace, is_last):
        """Return what has changed since it was last said, and what is new."""
        changed, fresh = [], []
        ripe = is_last or causes_judged(trace)
        for finding in self.history:
            before = self.said.get(finding.key)
            if finding.status == before:
                continue
            if before is None:
                if finding.status in ENDED:
                    continue  # what was never said is not taken back
                if is_symptom(finding) and not ripe:
                    continue
                fresh.append(finding)
            self.said[finding.key] = finding.status
            changed.append(finding)
        return changed, fresh

    def _plan_second_looks(self, trace):
        """Have another look as soon as a finding can be confirmed, once."""
        step = int(trace.steps[-1]) if len(trace.steps) else -1
        for finding in self.findings:
            if finding.status == "raised":
                self._second_looks.setdefault(
                    finding.key, confirmed_at(finding)
                )
        # -1: that look is over, whatever came of it.
        self._second_looks = {
            key: -1 if wanted <= step else wanted
            for key, wanted in self._second_looks.items()
        }

    def _place(self, finding):
        """Where a finding stands: as `diagnose` tells it, cause first."""
        rules = [rule.id for rule in self._rules]
        at = rules.index(finding.rule) if finding.rule in rules else len(rules)
        return finding.first_step, at
