"""A series as one word: a bar a value."""

import numpy as np

_BARS = "▁▂▃▄▅▆▇█"
_ASCII = "_.:-=+*#"
# What hardly moves must look flat: the bars span this share of the values.
_LEAST_SPAN = 0.2
_MANY = 20.0


def sparkline(values, encoding="utf-8"):
    """Return a bar for each value, the higher the larger.

    Logarithmic where all values are positive or zero and far apart. Zero is
    told apart from what is small, and so is what is not finite.

    Args:
        values: Sequence of floats.
        encoding: Str. Encoding of where it is shown; where that has no bars,
            signs of ASCII take their place. Defaults to `"utf-8"`.

    Returns:
        Str of as many characters as values. A blank is what is not known
        (NaN), `0` what is exactly zero on a logarithmic scale, or if nothing
        else is known, `!` what is infinite.
    """
    values = np.asarray(values, np.float64)
    bars = _BARS if can_show(_BARS, encoding) else _ASCII
    known = values[np.isfinite(values)]
    if not len(known):
        return "".join("!" if np.isinf(v) else " " for v in values)
    levels = _levels(values, known, len(bars))
    zeros_told = is_logarithmic(known) or not known.any()
    signs = []
    for value, level in zip(values, levels, strict=True):
        if np.isnan(value):
            signs.append(" ")
        elif np.isinf(value):
            signs.append("!")
        elif zeros_told and value == 0:
            signs.append("0")
        else:
            signs.append(bars[int(level)])
    return "".join(signs)


def is_logarithmic(values):
    """Whether finite values span so much that only a logarithm shows them."""
    positive = values[values > 0]
    if not len(positive) or (values < 0).any():
        return False
    return bool((values == 0).any() or positive.max() > _MANY * positive.min())


def _levels(values, known, count):
    """Return the bar of each value, from 0 to count - 1."""
    if is_logarithmic(known):
        known = np.log10(known[known > 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(values)
        least = 0.0
    else:
        least = _LEAST_SPAN * float(np.abs(known).max())
    low, high = float(known.min()), float(known.max())
    span = max(high - low, least)
    if not span > 0:
        return np.full(len(values), count // 2)
    if span > high - low:
        # What hardly moves stands in the middle of a bar.
        low = (low + high) / 2 - span * (count // 2 + 0.5) / count
    share = np.nan_to_num((values - low) / span, nan=0, posinf=0, neginf=0)
    return np.clip(np.floor(share * count), 0, count - 1).astype(int)


def bands(values, most):
    """Return medians of at most so many equal groups of neighbours.

    Args:
        values: Float array (N,).
        most: Int. The most groups.

    Returns:
        Float array, of N values if they are few enough. A group holds NaN if
        nothing in it is known.
    """
    values = np.asarray(values, np.float64)
    if len(values) <= most:
        return values
    return np.array(
        [
            np.nan if np.isnan(part).all() else np.nanmedian(part)
            for part in np.array_split(values, most)
        ]
    )


def can_show(text, encoding):
    """Whether an encoding has all characters of a text."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
