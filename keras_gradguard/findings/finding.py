"""What a rule found, and what to change: plain records."""

import dataclasses
from typing import Any

from keras_gradguard.findings.remedy import Remedy


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a run: what, where, since when, by which measurement.

    Args:
        rule: Str. Rule id, e.g. `"vanishing_gradient"`.
        severity: Str. `"warning"` or `"critical"`.
        layers: List of str. Layer paths, the culprits first; [] if the whole
            model is concerned.
        first_step: Int. The step where it began.
        last_step: Int. The last step that shows it.
        epoch: Int, the epoch of `first_step`; None if it is not known.
        evidence: Dict of what JSON can hold: measured values, threshold,
            window.
        message: Str. One or two sentences with the numbers.
        remedies: List of `Remedy`, the most promising first.
        cause: Str. Rule id of the finding that this one follows from; None if
            it is a cause itself. Defaults to None.
        status: Str. `"raised"`; `"confirmed"` once it has held as long again
            as was needed to tell it; `"resolved"` where the run has outgrown
            it; `"withdrawn"` where another finding explains it. Defaults to
            `"raised"`.
        resolved_step: Int, or None. The step from which on it is resolved.
    """

    rule: str
    severity: str
    layers: list[str]
    first_step: int
    last_step: int
    epoch: int | None
    evidence: dict[str, Any]
    message: str
    remedies: list[Remedy] = dataclasses.field(default_factory=list)
    cause: str | None = None
    status: str = "raised"
    resolved_step: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What makes it the same finding later in the run."""
        return (self.rule, self.first_step)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; the inverse is `from_dict`."""
        from keras_gradguard._files import jsonable

        return {
            "rule": self.rule,
            "severity": self.severity,
            "layers": [str(layer) for layer in self.layers],
            "first_step": int(self.first_step),
            "last_step": int(self.last_step),
            "epoch": None if self.epoch is None else int(self.epoch),
            "evidence": jsonable(self.evidence),
            "message": self.message,
            "remedies": [remedy.to_dict() for remedy in self.remedies],
            "cause": self.cause,
            "status": self.status,
            "resolved_step": self.resolved_step,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Finding":
        """Return the finding that `to_dict` described."""
        remedies = [Remedy.from_dict(item) for item in data["remedies"]]
        return cls(**{**data, "remedies": remedies})

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from keras_gradguard.reporting.notebook import finding_html

        return finding_html(self)

    def __str__(self) -> str:
        return f"{self.rule} ({self.severity}): {self.message}"
