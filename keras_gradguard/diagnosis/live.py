"""Keeps what the rules find while a run goes on, and decides when to look."""

import time

from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.findings.causes import trace_causes

# Rules run again when the trace has doubled: their cost grows with the trace,
# so the cost per step stays the same. Where steps are so fast that judging
# would be felt, they wait until it has grown fourfold.
_GROWTH, _MOST_GROWTH = 2, 4
_SHARE_OF_TIME = 0.01


class Judge:
    """Runs rules on a growing trace and remembers what they found.

    Args:
        rules: List of rules.
        first_look: Int. Number of records before the first look.
        by_clock: Bool. Whether looks may wait where judging would be felt.
            False where several processes have to look at the same steps.

    Attributes:
        findings: List of `Finding`, in order of their first step.
        history: List of `Finding`. All, also those that are resolved or
            withdrawn.
        not_judged: List of str. Why a run without findings may not be called
            healthy.
    """

    def __init__(self, rules, first_look=1, by_clock=True):
        self.findings = []
        self.history: list = []
        self.not_judged = ["nothing was recorded"]
        self._rules = rules
        self._looked_at = first_look / _MOST_GROWTH
        self._latest = None
        self._by_clock = by_clock
        self._began = time.monotonic()
        self._spent = 0.0

    def is_due(self, records):
        """Whether the trace has grown enough for another look.

        Args:
            records: Int. Records so far.
        """
        if records < _GROWTH * self._looked_at:
            return False
        if not self._by_clock or records >= _MOST_GROWTH * self._looked_at:
            return True
        elapsed = time.monotonic() - self._began
        return self._spent <= _SHARE_OF_TIME * elapsed

    def look(self, trace, records):
        """Judge the trace as it is now, unless that was done.

        Args:
            trace: `Trace` of the run.
            records: Int. Records so far.

        Returns:
            List of the findings that are new.
        """
        latest = records, len(trace.epochs), len(trace.activation_steps)
        if latest == self._latest:
            return []
        start = time.monotonic()
        self._looked_at, self._latest = max(records, self._looked_at), latest
        known = {f.key for f in [*self.findings, *self.history]}
        report = diagnose(trace, self._rules)
        self.not_judged = trace.meta["not_judged"] = report.not_judged
        current = {finding.key: finding for finding in report.findings}
        fresh = [f for f in report.findings if f.key not in known]
        ended = {f.key for f in report.history if f.status == "resolved"}
        # What was told stays, also where its proof was thinned out.
        ended |= set(current)
        kept = [f for f in self.findings if f.key not in ended]
        self.history = report.history
        told = sorted([*report.findings, *kept], key=self._place)
        self.findings = trace_causes(told, effects_of(self._rules))
        if fresh:
            trace.remember(self.findings)
        self._spent += time.monotonic() - start
        return fresh

    def _place(self, finding):
        """Where a finding stands: as `diagnose` tells it, cause first."""
        rules = [rule.id for rule in self._rules]
        at = rules.index(finding.rule) if finding.rule in rules else len(rules)
        return finding.first_step, at
