"""What `heal` tried, as a plain record."""

import dataclasses
import math

from keras_gradguard._text import error_in_words


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One remedy that `heal` applied and trained with.

    Args:
        rule: Str. Rule id of the finding that it was to cure.
        title: Str. What was done.
        kept: Bool. Whether the change is in the model that came back.
        before: Float. Skill before: 1 is perfect, 0 is always giving the mean
            or the most frequent class. NaN if it was not measured.
        after: Float. Skill after as many epochs of training.
        left: List of str. Rule ids found afterwards.
        epochs: Int. Epochs of training.
        error: Str. Why it could not be done, "" if it could.
    """

    rule: str
    title: str
    kept: bool
    before: float
    after: float
    left: list[str]
    epochs: int
    error: str = ""

    def to_dict(self):
        """Return what JSON can hold; unknown numbers are None."""
        from keras_gradguard._files import jsonable

        return jsonable(dataclasses.asdict(self))

    def __str__(self):
        done = f"{self.title}, against {self.rule}"
        if self.error:
            return f"{done}: not possible. {self.error.rstrip('.')}."
        verdict = "kept" if self.kept else "not kept"
        if self.before != self.before and self.after != self.after:
            return f"{done}: {verdict}, not verified on data."
        found = ", ".join(self.left) or "nothing"
        epochs = f"{self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}"
        return (
            f"{done}: {verdict}. After {epochs}: skill {share(self.after)} "
            f"(before {share(self.before)}), found {found}."
        )


def failed(finding, remedy, error):
    """Return the `Attempt` of a remedy that could not be applied."""
    first = error_in_words(error)
    return Attempt(
        finding.rule, remedy.title, False, math.nan, math.nan, [], 0, first
    )


def share(skill):
    """Return a skill as people read it: two places, "none" if not finite."""
    if skill != skill:
        return "unknown"
    if abs(skill) == math.inf:
        return "none (not finite)"
    # Noise around zero has no sign.
    return f"{round(skill, 2) + 0.0:.2f}"
