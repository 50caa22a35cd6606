"""A verdict on a run, to read or to save."""


class Report:
    """Findings on a run, most important first.

    Args:
        findings: List of `Finding`.
        trace: The `Trace` they were found on, or None. Defaults to None.

    Attributes:
        findings: List of `Finding`, in order of `first_step`.
        trace: The trace, or None.
    """

    def __init__(self, findings, trace=None):
        self.findings = list(findings)
        self.trace = trace

    @property
    def healthy(self):
        """Bool. Whether nothing was found."""
        return not self.findings

    def to_dict(self):
        """Return what JSON can hold."""
        return {
            "healthy": self.healthy,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def __str__(self):
        return "\n".join(str(f) for f in self.findings) or "Healthy."
