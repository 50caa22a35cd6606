"""Warnings and errors that this package raises."""

from typing import Any


class GradGuardWarning(UserWarning):
    """Something the user should know, while training goes on."""


class GradGuardFinding(RuntimeError):
    """Raised by `on_finding="raise"`, with the finding as `.finding`.

    Args:
        finding: The `Finding` that stopped the run.
    """

    def __init__(self, finding: Any) -> None:
        super().__init__(finding.message)
        self.finding = finding
