"""The table of layers on a terminal, whatever its width."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard._text import unlike_neighbours
from keras_gradguard.reporting.tables import layer_numbers

# (key, lines of the title, unit). Of a run that is longer, the gradients are
# those of the first and of the last 100 steps.
COLUMNS = (
    ("grad_first", ("Gradient", "at first"), ""),
    ("grad_last", ("Gradient", "at last"), ""),
    ("update_ratio", ("Update /", "weights"), ""),
    ("since_start", ("Moved since", "the start"), " %"),
    ("zero_fraction", ("Weights", "at zero"), " %"),
    ("finding", ("Finding",), ""),
)
_DROPPED = ("zero_fraction", "since_start", "grad_first", "update_ratio")
# More layers are shown in bands of neighbours.
_ROWS, _BANDS = 30, 10
_SHORTEST, _LONGEST = 16, 48
_GAP = "  "


def layer_table(trace, findings, width):
    """Return the lines of a table of layers that is at most so wide.

    Of more than 30 layers neighbours are put together: a cell then holds the
    smallest and the largest of its band. What says nothing is left out: zero
    weights where there are none, the first steps of a run so short that they
    are the last ones too. If it is still too wide, columns go by importance,
    and names are shortened.

    Args:
        trace: `Trace`.
        findings: List of `Finding`, in the order in which they are numbered.
        width: Int. Columns of the terminal.

    Returns:
        List of str.
    """
    numbers = layer_numbers(trace)
    groups = _groups(len(trace.layers))
    keys = _worth_showing(numbers, findings)
    cells = {
        key: _column(key, numbers, groups, trace, findings) for key in keys
    }
    names = _names(trace, groups, _LONGEST)
    drop = [key for key in _DROPPED if key in keys]
    while drop and _width(names, cells, _SHORTEST) > width:
        del cells[drop.pop(0)]
    room = max(_SHORTEST, width - _width([], cells, 0))
    if max(map(len, names)) > room:
        names = _names(trace, groups, room)
    return _lines(names, cells)


def _groups(count):
    """Return index arrays: each layer, or bands of neighbours."""
    if count <= _ROWS:
        return [np.array([at]) for at in range(count)]
    return np.array_split(np.arange(count), _BANDS)


def _worth_showing(numbers, findings):
    keys = []
    for key, _, _ in COLUMNS:
        if key == "finding":
            if findings:
                keys.append(key)
            continue
        values = numbers[key]
        if np.isnan(values).all():
            continue
        if key == "zero_fraction" and not np.nanmax(values) > 0:
            continue
        if key == "grad_first" and numbers["short"]:
            continue
        keys.append(key)
    return keys


def _column(key, numbers, groups, trace, findings):
    """Return the texts of a column."""
    if key == "finding":
        layers = [str(layer) for layer in trace.layers]
        hits = []
        for group in groups:
            inside = {layers[at] for at in group}
            hit = [
                str(at + 1)
                for at, finding in enumerate(findings)
                if inside & set(map(str, finding.layers))
            ]
            hits.append(" ".join(hit))
        return hits
    unit = {name: unit for name, _, unit in COLUMNS}[key]
    factor = 100.0 if unit else 1.0
    return [span(factor * numbers[key][group], unit) for group in groups]


def span(values, unit=""):
    """Return the smallest and the largest of some numbers in words."""
    values = values[~np.isnan(values)]
    if not len(values):
        return ""
    low, high = number(values.min()), number(values.max())
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _names(trace, groups, room):
    layers = trace.run.names(trace.layers)
    if len(groups) == len(layers):
        if max(map(len, layers), default=0) <= room:
            return layers
        return unlike_neighbours(layers, room)
    # Of a band: its ends, without what all layers share. Where these do not
    # fit, their places from the input on: what is cut names no layer.
    short = unlike_neighbours(layers, max(map(len, layers)))
    ends = [f"{short[group[0]]} to {short[group[-1]]}" for group in groups]
    if max(map(len, ends)) <= room and len(set(ends)) == len(ends):
        return ends
    return [f"{group[0] + 1} to {group[-1] + 1}" for group in groups]


def _width(names, cells, least):
    titles = {key: title for key, title, _ in COLUMNS}
    total = min(max(map(len, ["Layer", *names])), max(least, len("Layer")))
    for key, texts in cells.items():
        total += len(_GAP) + max(map(len, [*titles[key], *texts]))
    return total


def _lines(names, cells):
    titles = {key: title for key, title, _ in COLUMNS}
    columns: list = [(("Layer",), names, str.ljust)]
    columns += [(titles[key], cells[key], str.rjust) for key in cells]
    height = max(len(title) for title, _, _ in columns)
    shown = []
    for title, texts, side in columns:
        lines = [*[""] * (height - len(title)), *title, *texts]
        wide = max(map(len, lines))
        shown.append([side(line, wide) for line in lines])
    return [_GAP.join(row).rstrip() for row in zip(*shown, strict=True)]
