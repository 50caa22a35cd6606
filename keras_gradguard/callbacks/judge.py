"""Keeps what the rules find while a run goes on."""

from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.causes import trace_causes


class Judge:
    """Runs rules on a growing trace and remembers what they found.

    Args:
        rules: List of rules.

    Attributes:
        findings: List of `Finding`, in order of their first step.
    """

    def __init__(self, rules):
        self.findings = []
        self._rules = rules

    def look(self, trace):
        """Judge the trace as it is now.

        Args:
            trace: `Trace` of the run.

        Returns:
            List of the findings that are new.
        """
        known = {finding.key for finding in self.findings}
        report = diagnose(trace, self._rules)
        current = {finding.key: finding for finding in report.findings}
        fresh = [f for f in report.findings if f.key not in known]
        kept = [current.get(f.key, f) for f in self.findings]
        told = sorted([*kept, *fresh], key=self._place)
        self.findings = trace_causes(told)
        if fresh:
            trace.remember(self.findings)
        return fresh

    def _place(self, finding):
        """Where a finding stands: as `diagnose` tells it, cause first."""
        rules = [rule.id for rule in self._rules]
        at = rules.index(finding.rule) if finding.rule in rules else len(rules)
        return finding.first_step, at
