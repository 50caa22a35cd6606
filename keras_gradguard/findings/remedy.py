"""What to change to cure a finding: a plain record."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any


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

    def __post_init__(self) -> None:
        # Rules know no Keras, so a change is a name until it is made.
        if self.apply is None and self.action is not None:
            bound = functools.partial(_apply, self.action, self.arguments)
            object.__setattr__(self, "apply", bound)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: title, why, code and, if any, action."""
        data: dict[str, Any] = {
            "title": self.title,
            "why": self.why,
            "code": self.code,
        }
        if self.action is not None:
            data |= {"action": self.action, "arguments": self.arguments}
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Remedy":
        """Return the remedy that `to_dict` described."""
        return cls(
            data["title"],
            data["why"],
            data.get("code", ""),
            action=data.get("action"),
            arguments=data.get("arguments", {}),
        )


def edits_of(remedy: Remedy) -> list[tuple[str | None, dict[str, Any]]]:
    """Return the edits of a remedy, each a pair of name and arguments.

    Args:
        remedy: `Remedy`.
    """
    if remedy.action == "several":
        changes = remedy.arguments.get("changes", [])
        return [(one["action"], one["arguments"]) for one in changes]
    return [(remedy.action, remedy.arguments)]


def _apply(action: str, arguments: dict[str, Any], model: Any) -> Any:
    from keras_gradguard import edits

    return edits.apply(model, action, arguments)
