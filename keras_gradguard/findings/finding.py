"""What a rule found, and what to change: plain records."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

SEVERITIES = ("warning", "critical")


@dataclasses.dataclass(frozen=True, slots=True)
class Remedy:
    """One change that may cure a finding.

    Args:
        title: Str. What to do, in a few words.
        why: Str. Why it helps here, with the evidence.
        code: Str. Python to paste, with the user's own layer names.
        apply: Callable that takes a model and returns a new one with the
            change made, or None where the change cannot be made for the user.
            Defaults to `action` carried out, or None without one. It is no
            part of equality and of `to_dict`.
        action: Str. Name of a change in `keras_gradguard.edits`,
            or None. Defaults to None.
        arguments: Dict of what JSON can hold. Arguments of the action.
    """

    title: str
    why: str
    code: str = ""
    apply: Callable[[Any], Any] | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    action: str | None = None
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        # Rules know no Keras, so a change is a name until it is made.
        if self.apply is None and self.action is not None:
            bound = functools.partial(_apply, self.action, self.arguments)
            object.__setattr__(self, "apply", bound)

    def to_dict(self):
        """Return what JSON can hold: title, why, code and, if any, action."""
        data = {"title": self.title, "why": self.why, "code": self.code}
        if self.action is not None:
            data |= {"action": self.action, "arguments": self.arguments}
        return data

    @classmethod
    def from_dict(cls, data):
        """Return the remedy that `to_dict` described."""
        return cls(
            data["title"],
            data["why"],
            data.get("code", ""),
            action=data.get("action"),
            arguments=data.get("arguments", {}),
        )


def _apply(action, arguments, model):
    from keras_gradguard import edits

    return edits.apply(model, action, arguments)


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

    @property
    def key(self):
        """What makes it the same finding later in the run."""
        return (self.rule, self.first_step)

    def to_dict(self):
        """Return what JSON can hold; the inverse is `from_dict`."""
        from keras_gradguard.trace.file import jsonable

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
        }

    @classmethod
    def from_dict(cls, data):
        """Return the finding that `to_dict` described."""
        remedies = [Remedy.from_dict(item) for item in data["remedies"]]
        return cls(**{**data, "remedies": remedies})

    def __str__(self):
        return f"{self.rule} ({self.severity}): {self.message}"
