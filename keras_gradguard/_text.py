"""Numbers and names as people read them."""

import numpy as np


def number(value):
    """Return a number as people write it: two digits that count."""
    value = float(value)
    if not np.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    power = int(np.floor(np.log10(abs(value))))
    if 2 <= power < 6:
        return f"{round(value, 1 - power):,.0f}"
    if -3 <= power < 2:
        text = f"{value:.{max(0, 1 - power)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def many_times(factor):
    """Return a factor as people say it: "52 times", "95 million times"."""
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if size <= factor < 1e12:
            return f"{number(factor / size)} {name} times"
    return f"{number(factor)} times"


def count(number, thing, things=None):
    """Return a number of things in words: "1 value", "2 values".

    Args:
        number: Int.
        thing: Str. Its name.
        things: Str. The name of several. Defaults to `thing` with an s.
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def showable(text, stream):
    """Return a text with question marks for what a stream's encoding lacks.

    A name that cannot be shown must not end a record, nor a training.

    Args:
        text: Str.
        stream: Stream that it will be written to.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, errors="replace").decode(encoding)


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
