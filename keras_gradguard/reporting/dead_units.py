"""Dead units: a table for the terminal, a map of all units."""

import warnings

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import error_in_words
from keras_gradguard._text import names
from keras_gradguard._text import put_out
from keras_gradguard._text import unlike_neighbours
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.reporting.drawing import new_figure

_OWNER = "DeadReLUDetector.plot"
_SHOWN = 8
# In a narrow layer of a healthy net so many units may never be active.
_USUAL = 0.6
# Layers that a summary lists.
_LISTED = 20
# Rows of a figure that a screen can hold with their names.
_DRAWN = 30
_DEAD = "#d1495b"


def rows(detector):
    """Return what the table shows, one tuple per layer.

    Args:
        detector: A `DeadReLUDetector`.

    Returns:
        List of `(path, units, dead, share, first, note)`: number of units and
        of dead ones, share of dead units now and in the first epoch, and a
        remark.
    """
    found = []
    for path, units in detector.dead_units.items():
        total = len(detector.share[path])
        history = detector.history[path]
        note = ""
        blocked = len(detector.blocked.get(path, ()))
        if total and len(units) == total:
            note = "wholly dead"
        elif blocked:
            note = f"{blocked} active without a gradient"
        elif len(units):
            note = "units " + _indices(units)
        found.append(
            (path, total, len(units), len(units) / total, history[0], note)
        )
    return found


def _indices(units):
    listed = ", ".join(str(unit) for unit in units[:_SHOWN])
    return listed + (", ..." if len(units) > _SHOWN else "")


def table(detector):
    """Return the table of all layers as text.

    Args:
        detector: A `DeadReLUDetector`.
    """
    body = rows(detector)
    if not any(dead for _, _, dead, _, _, _ in body):
        body = []
    return "\n".join([_verdict(detector), *_listed(body), *_notes(detector)])


def short_table(detector):
    """Return a line or two, and the layers of which most units are dead.

    Args:
        detector: A `DeadReLUDetector`.
    """
    body = rows(detector)
    many = [row for row in body if row[3] > _USUAL]
    lines = [_verdict(detector)]
    dead = sum(row[2] for row in body)
    if dead and not many:
        path, total, most, *_ = max(body, key=lambda row: row[3])
        lines.append(
            f"  The largest share is in {path}: {most} of {total}. Up to "
            f"{_USUAL:.0%} is usual."
        )
    if many:
        lines.append(f"  Over {_USUAL:.0%} are dead, more than usual, in:")
    lines += _listed(many[:_LISTED])
    if len(many) > _LISTED:
        left = len(many) - _LISTED
        lines.append(f"  and {left} more: print(detector.summary())")
    return "\n".join([*lines, *_notes(detector)])


def _listed(body):
    """Return the lines of a table of rows, none without any."""
    if not body:
        return []
    width = max(len(path) for path, *_ in body)
    lines = [f"  {'layer':{width}}  units  dead  first epoch  now"]
    for path, total, dead, share, first, note in body:
        lines.append(
            f"  {path:{width}}  {total:5d}  {dead:4d}  {first:10.0%}  "
            f"{share:4.0%}  {note}".rstrip()
        )
    return lines


def _notes(detector):
    """Return lines on what was not judged, revived, or not revived."""
    lines = [
        f"  {where}: not judged, because {reason}."
        for reason, where in _by_reason(detector.skipped)
    ]
    if detector.revived:
        total = sum(
            n
            for result in detector.revived
            for n in result.values()
            if isinstance(n, int)
        )
        lines.append(f"  Revived {count(total, 'unit')}.")
        reasons = {
            path: reason
            for result in detector.revived
            for path, reason in result.items()
            if isinstance(reason, str)
        }
        lines += [
            f"  {where}: not revived, because {reason}."
            for reason, where in _by_reason(reasons)
        ]
    return lines


def _by_reason(reasons):
    """Return pairs of a reason and the layers it holds for, in words."""
    layers: dict = {}
    for path, reason in reasons.items():
        layers.setdefault(reason, []).append(path)
    return [(reason, names(paths)) for reason, paths in layers.items()]


def _verdict(detector):
    body = rows(detector)
    total = sum(row[1] for row in body)
    dead = sum(row[2] for row in body)
    if not len(detector.trace.variables):
        return "GradGuard: nothing was seen, so nothing can be said."
    if not body:
        return "GradGuard: no activation of this model can die."
    of = f"{count(total, 'ReLU unit')} in {count(len(body), 'layer')}"
    if not dead:
        return f"GradGuard: no dead unit among {of}."
    epochs = "epoch"
    if detector.patience > 1:
        epochs = f"{detector.patience} epochs"
    were = "was" if dead == 1 else "were"
    return (
        f"GradGuard: {dead:,} of {of} {were} never active in the last {epochs}."
    )


def print_summary(detector, everything=False):
    """Print what a fit showed of the units.

    Args:
        detector: A `DeadReLUDetector`.
        everything: Bool. All layers, also where nothing stands out. Defaults
            to False.
    """
    text = table(detector) if everything else short_table(detector)
    error = put_out(f"\n{text}\n")
    if error is not None:
        warnings.warn(
            f"DeadReLUDetector: printing failed: {error_in_words(error)}. "
            "`detector.summary()` has what it would have said.",
            GradGuardWarning,
            stacklevel=2,
        )


def plot(detector):
    """Draw layers x units, the share of active samples of each.

    Args:
        detector: A `DeadReLUDetector`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    paths = list(detector.share)
    dead = [detector.dead_units.get(path, np.zeros(0, int)) for path in paths]
    units = [len(detector.share[path]) for path in paths]
    grid = np.full((max(1, len(paths)), max([1, *units])), np.nan)
    for at, path in enumerate(paths):
        grid[at, : units[at]] = detector.share[path]
    # In thin rows a cross would hide its neighbours: the cell is red instead.
    thin = len(paths) > _DRAWN
    if thin:
        for at, gone in enumerate(dead):
            grid[at, gone] = -1
    height = 1.6 + 0.38 * min(len(grid), _DRAWN)
    figure = new_figure((9, height), _OWNER)
    from matplotlib import colormaps

    axes = figure.add_subplot()
    image = axes.imshow(
        np.ma.masked_invalid(grid),
        aspect="auto",
        interpolation="nearest",
        cmap=colormaps["viridis"].with_extremes(under=_DEAD),
        vmin=0,
        vmax=1,
    )
    axes.set_facecolor("0.92")
    for at, gone in enumerate([] if thin else dead):
        axes.scatter(
            gone,
            np.full(len(gone), at),
            marker="x",
            color=_DEAD,
            s=26,
            linewidths=1.6,
        )
    named = range(0, len(paths), -(-len(paths) // _DRAWN) or 1)
    names_of = unlike_neighbours([paths[at] for at in named])
    axes.set_yticks(
        named,
        [
            f"{name}  {len(dead[at])}/{units[at]}"
            for name, at in zip(names_of, named, strict=True)
        ],
    )
    axes.set_xlabel(f"unit ({'red' if thin else 'a cross'}: dead)")
    figure.colorbar(image, ax=axes, label="share of active samples")
    figure.suptitle(_verdict(detector), fontsize="medium")
    return figure
