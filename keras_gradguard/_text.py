"""Numbers and names as people read them."""

import re
import sys

import numpy as np

# Bold and colours, which Keras puts into its errors.
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_LISTING = "Arguments received by"
_NAMED = ((9, "billion"), (6, "million"))


def number(value, digits=2):
    """Return a number as people write it: few digits, and words if large.

    From a million on it is "95 million" or "95 billion", from a thousand
    billion on a power of ten: "7 x 10^16".

    Args:
        value: Float.
        digits: Int. Digits that count. Defaults to 2.
    """
    value = float(value)
    if not np.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    power = int(np.floor(np.log10(abs(value))))
    # 999,999 are a million where two digits count.
    value = float(f"{value:.{digits - 1}e}") or value
    power = max(power, int(np.floor(np.log10(abs(value)) + 1e-12)))
    if power >= 12:
        front = round(value / 10.0**power)
        times = {1: "", -1: "-"}.get(front, f"{front} x ")
        return f"{times}10^{power}"
    for size, name in _NAMED:
        if power >= size:
            return f"{number(value / 10**size, digits)} {name}"
    if power >= digits:
        return f"{value:,.0f}"
    if power >= -3:
        text = f"{value:.{max(0, digits - 1 - power)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    front, back = f"{value:.{digits - 1}e}".split("e")
    front = front.rstrip("0").rstrip(".") if "." in front else front
    return f"{front}e{int(back)}"


def many_times(factor):
    """Return a factor as people say it: "52 times", "95 million times"."""
    return f"{number(factor)} times"


def count(number, thing, things=None):
    """Return a number of things in words: "1 value", "2 values".

    Args:
        number: Int.
        thing: Str. Its name.
        things: Str. The name of several. Defaults to `thing` with an s.
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def error_in_words(error, limit=300):
    """Return an exception as one line: its class, and what it says.

    Without the escapes for bold, line breaks and lists of arguments that
    Keras adds, and cut where it is long.

    Args:
        error: Exception.
        limit: Int. Characters to keep of what it says. Defaults to 300.
    """
    text = _ESCAPES.sub("", str(error)).split(_LISTING)[0]
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[:limit].rstrip()
    name = type(error).__name__
    return f"{name}: {text.rstrip('.')}" if text else name


def showable(text, stream):
    """Return a text with question marks for what a stream's encoding lacks.

    A name that cannot be shown must not end a record, nor a training.

    Args:
        text: Str.
        stream: Stream that it will be written to.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, errors="replace").decode(encoding)


def put_out(text):
    """Write a text to stdout, where there is one and it takes it.

    A program without a console has none, and a pipe may be gone: that must
    end no training.

    Args:
        text: Str.

    Returns:
        The exception that kept it from being written, or None.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.write(showable(text, sys.stdout))
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        return error
    return None


def names(layers, limit=4):
    """Return layer paths as a list in words, cut after `limit`."""
    layers = [str(layer) for layer in layers]
    if len(layers) > limit + 1:
        rest = len(layers) - limit
        return f"{', '.join(layers[:limit])} and {rest} more layers"
    if len(layers) < 2:
        return "".join(layers)
    return f"{', '.join(layers[:-1])} and {layers[-1]}"


def profile_text(values, limit=12):
    """Return gradient norms from input to output, cut in the middle."""
    shown = [number(value) for value in values]
    if len(shown) > limit:
        half = limit // 2
        shown = [*shown[:half], "...", *shown[-half:]]
    return ", ".join(shown)


def unlike_neighbours(layers, width=26):
    """Return short names by which a list of layer paths can be told apart.

    Leading pieces that all paths share are left out. Of a name that is still
    too long, what the row before has as well is left out, then its middle.

    Args:
        layers: List of str, paths with "/" between their pieces.
        width: Int. The most characters of a name.

    Returns:
        List of str.
    """
    pieces = [layer.split("/") for layer in layers]
    shared = 0
    most = min([len(own) - 1 for own in pieces], default=0)
    while len(pieces) > 1 and shared < most:
        if len({own[shared] for own in pieces}) > 1:
            break
        shared += 1
    short = []
    for at, own in enumerate(pieces):
        own, before = own[shared:], pieces[at - 1][shared:] if at else []
        text, same = "/".join(own), 0
        if len(text) > width:
            while same < min(len(own) - 1, len(before)):
                if own[same] != before[same]:
                    break
                same += 1
            text = ".../" + "/".join(own[same:]) if same else text
        if len(text) > width:
            text = _squeezed(own[same:] if same else own, width)
        short.append(text)
    return short


def _squeezed(pieces, width):
    """Return a path within a width: the end of each piece tells most."""
    room = max(3, (width - len(pieces) + 1) // len(pieces))
    cut = [p if len(p) <= room else f"..{p[2 - room :]}" for p in pieces]
    text = "/".join(cut)
    return text if len(text) <= width else f"...{text[3 - width :]}"
