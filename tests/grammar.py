"""What plain English in a message must not show."""

import re

from keras_gradguard.reporting.brief import first_sentence

MOST = 20
_MANY = (
    "values rows layers steps units samples epochs updates columns classes "
    "inputs outputs problems records lines batches measurements runs findings "
    "weights parameters variables targets labels remedies"
)
_BETWEEN = "(?:more |ReLU |recorded |nonfinite )?"
_PLURAL_OF_ONE = re.compile(
    rf"(?<![\w.,/-])1 {_BETWEEN}(?:{'|'.join(_MANY.split())})\b"
)
_ONE_HAVE = re.compile(r"\b1 (?:more )?\w+ (?:have|are|were|give|get)\b")
_TWO_HAS = re.compile(r"\b\w+ and \w+ (?:flattens|passes|gives|gets|has)\b")
# Words that point at what a sentence on its own does not show.
_POINTS_BACK = ("It ", "They ", "Those ", "This ", "That ", "These ", "So ")
_BANNED = (
    "gives any numbers",
    "had gone",
    "and with them everything",
    "left behind it",
    "takes them to exclude",
    "is none.",
    "no gradient than",
    "Concerned:",
    "Told ",
    "Judged ",
    "wired wrongly",
    "next to the same",
    "makes up for",
    "nan %",
    "None",
    "{",
    "..",
    "  ",
    " .",
    " ,",
    ":.",
    "?",
)


def disagreements(text):
    """Return where a text says "1 steps" or "1 step have", a list of str."""
    patterns = (_PLURAL_OF_ONE, _ONE_HAVE)
    return [found for one in patterns for found in one.findall(text)]


def faults(message):
    """Return what is wrong with the English of a message, a list of str."""
    found = [banned for banned in _BANNED if banned in _plain(message)]
    found += disagreements(message) + _TWO_HAS.findall(message)
    if not message.endswith("."):
        found.append("no full stop at the end")
    first = first_sentence(message)
    words = len(first.split())
    if words > MOST:
        found.append(f"{words} words in the first sentence: {first}")
    if first.startswith(_POINTS_BACK):
        found.append(f"the first sentence does not stand alone: {first}")
    return found


def _plain(message):
    # Where a long profile was cut there are three dots; "None of" is English.
    return message.replace("...", "0").replace("None of", "No one of")
