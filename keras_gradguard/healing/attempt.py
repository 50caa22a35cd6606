"""What `heal` tried, as a plain record."""

import dataclasses

from keras_gradguard._text import count


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
        if self.error:
            return f"{self.title} ({self.rule}): not possible, {self.error}"
        verdict = "kept" if self.kept else "not kept"
        if self.before != self.before and self.after != self.after:
            return f"{self.title} ({self.rule}): {verdict}, not verified."
        left = ", ".join(self.left) if self.left else "nothing"

        def skill(value):
            # 0 is a constant prediction, 1 is perfect.
            return (
                "unknown" if value != value else f"{round(value, 2) + 0.0:.2f}"
            )

        return (
            f"{self.title} ({self.rule}): {verdict}. After "
            f"{count(self.epochs, 'epoch')} its skill was {skill(self.after)}, "
            f"{skill(self.before)} without it; still found: {left}."
        )
