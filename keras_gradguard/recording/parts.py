"""The parts of what is recorded: each fails alone, and the others go on."""

from typing import Any

from keras_gradguard._text import error_in_words

GRADIENTS, WEIGHTS, ACTIVATIONS = "gradients", "weights", "activations"
DATA, LOSS = "batch data", "the loss of each step"
HISTOGRAMS, UNITS = "histograms", "counts of units"
TIME = "gradients through time"
# In the order in which they are named.
ALL = (GRADIENTS, WEIGHTS, ACTIVATIONS, DATA, LOSS, HISTOGRAMS, UNITS, TIME)


class Parts:
    """What is recorded still, and what is not any more.

    Attributes:
        wanted: Set of the parts that somebody wants.
        failed: Set of the parts that failed.
        on_failure: Callable that takes a sentence on what failed, or None.
        of_gradients: Set of the parts that come in one row with the gradients.
    """

    def __init__(self):
        self.wanted = {GRADIENTS, WEIGHTS, ACTIVATIONS, DATA, LOSS}
        self.failed = set()
        self.on_failure: Any = None
        self.of_gradients = {LOSS}
        self._notices: list = []

    @property
    def has_faults(self):
        """Whether something failed that a new attempt may not find again."""
        never = {part for parts, _ in self._notices for part in parts}
        return bool(self.failed - never)

    def work(self, *parts):
        """Whether any of these parts is recorded still."""
        return any(part not in self.failed for part in parts)

    def guard(self, parts, function, *arguments, default=None):
        """Run a function of ours, unless all that it serves failed before.

        Args:
            parts: Tuple of str. What fails with it.
            function: Callable.
            *arguments: Its arguments.
            default: What to return where there is nothing.

        Returns:
            What it returns.
        """
        if not self.work(*parts):
            return default
        try:
            return function(*arguments)
        except Exception as error:
            self.fail(parts, error)
            return default

    def fail(self, parts, error):
        """Record some parts no more, and say so once.

        Args:
            parts: Tuple of str.
            error: The exception. One with `is_notice` is no failure of ours:
                it says what cannot be measured, and why.
        """
        if GRADIENTS in parts:
            parts = (*parts, *self.of_gradients)
        fresh = [part for part in ALL if part in parts and self.work(part)]
        self.failed.update(fresh)
        if getattr(error, "is_notice", False):
            self._notices.append((fresh, error))
        self._say(fresh, error)

    def say_again(self):
        """Say to who came now what this step cannot measure."""
        for parts, error in self._notices:
            self._say(parts, error)

    def _say(self, parts, error):
        lost = [part for part in parts if part in self.wanted]
        if lost and self.on_failure is not None:
            self.on_failure(self._sentences(lost, error))

    def _sentences(self, lost, error):
        left = [p for p in ALL if p in self.wanted and self.work(p)]
        on = f" What goes on: {_listed(left)}." if left else ""
        if getattr(error, "is_notice", False):
            return f"{_listed(lost)} cannot be measured, because {error}.{on}"
        on = on or " Training goes on unwatched."
        return (
            f"the recording of {_listed(lost)} failed with "
            f"{error_in_words(error)}.{on} This is a bug of keras-gradguard; "
            "please report it with this message."
        )


def _listed(names):
    """Names as a sentence lists them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
