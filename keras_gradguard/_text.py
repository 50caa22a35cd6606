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
