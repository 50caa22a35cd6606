"""Compares what JSON can hold, numbers with a tolerance."""

import math
import re

_NUMBER = re.compile(
    r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])", re.IGNORECASE
)


def differences(expected, found, relative=1e-6, words=0.0, at=""):
    """Return a line per difference, [] if there is none.

    Args:
        expected: What JSON can hold.
        found: The same.
        relative: Float. Tolerance of numbers.
        words: Float. Tolerance of numbers inside of a text; on top of it,
            they may differ by one in their last digit.
        at: Str. Where this is.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        lines = [
            f"{at}/{key}: only {'expected' if key in expected else 'found'}"
            for key in sorted(expected.keys() ^ found.keys())
        ]
        for key in sorted(expected.keys() & found.keys()):
            lines += differences(
                expected[key], found[key], relative, words, f"{at}/{key}"
            )
        return lines
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return [
                f"{at}: {len(expected)} items expected, {len(found)} found: "
                f"{expected!r:.200} against {found!r:.200}"
            ]
        lines = []
        for index, pair in enumerate(zip(expected, found, strict=True)):
            lines += differences(*pair, relative, words, f"{at}/{index}")
        return lines
    if _same(expected, found, relative, words):
        return []
    return [f"{at}: {expected!r} expected, {found!r} found"]


def _same(expected, found, relative, words):
    if isinstance(expected, str) and isinstance(found, str):
        return expected == found or (
            words > 0 and _same_words(expected, found, words)
        )
    if _is_number(expected) and _is_number(found):
        return math.isclose(expected, found, rel_tol=relative, abs_tol=1e-12)
    return type(expected) is type(found) and expected == found


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same_words(expected, found, relative):
    if _NUMBER.sub("#", expected) != _NUMBER.sub("#", found):
        return False
    pairs = zip(_NUMBER.findall(expected), _NUMBER.findall(found), strict=True)
    for left, right in pairs:
        one, other = float(left.replace(",", "")), float(right.replace(",", ""))
        last = max(_last_digit(left), _last_digit(right))
        if abs(one - other) > 1.001 * last + relative * max(
            abs(one), abs(other)
        ):
            return False
    return True


def _last_digit(text):
    """Return what one in the last digit of a number is worth.

    Whole numbers are counts: they must be equal.
    """
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent and "." not in mantissa:
        return 0.0
    digits = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - digits)
