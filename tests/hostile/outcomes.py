"""What came of a case, and how many came to what."""

import collections
import traceback

REFUSED = "refused"
RIGHT = "right"
RAW = "raw error"


class Counts:
    """How many cases came to what, and an example of each raw error."""

    def __init__(self):
        self.of = collections.Counter()
        self.examples = {}

    def add(self, outcome, what):
        """Count one case.

        Args:
            outcome: Str. One of the above, or `"raw error: ..."`.
            what: Str. The case, for the list of examples.
        """
        kind = outcome.split(":", 1)[0]
        self.of["tried"] += 1
        self.of[kind] += 1
        if kind == RAW:
            self.examples.setdefault(outcome, []).append(what)

    def lines(self):
        """The counts, then each raw error with its number and a case."""
        yield ", ".join(f"{n} {kind}" for kind, n in self.of.items())
        for outcome, cases in sorted(
            self.examples.items(), key=lambda item: -len(item[1])
        ):
            yield f"  {len(cases)} x {outcome}  e.g. {cases[0]}"


def raw(error, where=""):
    """An outcome: this error came through to the user as it is."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    text = f"{type(error).__name__} at {place}"
    return f"{RAW}: {where + ' ' if where else ''}{text}: {str(error)[:100]}"
