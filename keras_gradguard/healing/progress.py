"""What `heal` says while it works."""

from keras_gradguard._text import put_out
from keras_gradguard.healing.attempt import share


class Progress:
    """Prints one line for each training, as soon as it is over.

    Args:
        verbose: Int. 0 prints nothing.
    """

    def __init__(self, verbose):
        self._verbose = verbose

    def start(self, model, epochs, most):
        """Say what is about to be done."""
        self._say(
            f"heal: training copies of {model.name!r}, {epochs} "
            f"{'epoch' if epochs == 1 else 'epochs'} each, at most {most} "
            f"{'time' if most == 1 else 'times'}. Skill: 1 is perfect, 0 is no "
            "better than a constant."
        )

    def unchanged(self, trial):
        """Say how the model does as it came."""
        said = _found(trial)
        self._say(f"  as it is: skill {share(trial.skill)}, found {said}")

    def longer(self, trial, epochs):
        """Say how it does when trained as long as planned.

        Args:
            trial: `Trial`.
            epochs: Int.
        """
        self._say(
            f"  it learns little, so once more for {epochs} epochs: skill "
            f"{share(trial.skill)}, found {_found(trial)}"
        )

    def attempt(self, attempt):
        """Say what came of one remedy."""
        if attempt.error:
            self._say(f"  {attempt.title}: not possible")
            return
        verdict = "kept" if attempt.kept else "not kept"
        self._say(f"  {attempt.title}: skill {share(attempt.after)}, {verdict}")

    def kept_after_all(self, attempt):
        """Say that a change that did no harm stays, since it cured."""
        self._say(f"  {attempt.title}: kept after all, nothing helped more")

    def _say(self, text):
        if not self._verbose:
            return
        if put_out(f"{text}\n") is not None:
            self._verbose = 0  # What could not be said is in the report.


def _found(trial):
    found = list(dict.fromkeys(f.rule for f in trial.findings))
    return ", ".join(found) or "nothing"
