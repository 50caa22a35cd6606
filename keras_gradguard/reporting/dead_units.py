"""Dead units: a table for the terminal, a map of all units."""

import sys

import numpy as np

from keras_gradguard._optional import require

_OWNER = "DeadReLUDetector.plot"
_SHOWN = 8
# Layers of a figure that a screen can hold.
_DRAWN = 40


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
    """Return the table as text.

    Args:
        detector: A `DeadReLUDetector`.
    """
    lines = [_verdict(detector)]
    body = rows(detector)
    if any(dead for _, _, dead, _, _, _ in body):
        width = max(len(path) for path, *_ in body)
        lines.append(f"  {'layer':{width}}  units  dead  first epoch  now")
        for path, total, dead, share, first, note in body:
            lines.append(
                f"  {path:{width}}  {total:5d}  {dead:4d}  {first:10.0%}  "
                f"{share:4.0%}  {note}".rstrip()
            )
    for path, reason in detector.skipped.items():
        lines.append(f"  {path}: not judged, because {reason}.")
    if detector.revived:
        total = sum(
            n
            for told in detector.revived
            for n in told.values()
            if isinstance(n, int)
        )
        lines.append(f"  Revived {total} units.")
        reasons = {
            path: reason
            for told in detector.revived
            for path, reason in told.items()
            if isinstance(reason, str)
        }
        for path, reason in reasons.items():
            lines.append(f"  {path}: not revived, because {reason}.")
    return "\n".join(lines)


def _verdict(detector):
    body = rows(detector)
    total = sum(row[1] for row in body)
    dead = sum(row[2] for row in body)
    if not len(detector.trace.variables):
        return "GradGuard: nothing was seen, so nothing can be said."
    if not body:
        return "GradGuard: no activation of this model can die."
    if not dead:
        return f"GradGuard: none of {total} units is dead."
    return (
        f"GradGuard: {dead} of {total} units were never active in the last "
        f"{'epoch' if detector.patience == 1 else 'epochs'}."
    )


def print_summary(detector):
    """Print the table.

    Args:
        detector: A `DeadReLUDetector`.
    """
    sys.stdout.write("\n" + table(detector) + "\n")
    sys.stdout.flush()


def _worst(detector):
    """Return the layers to draw, in forward order: of many, the worst."""
    paths = list(detector.share)
    if len(paths) <= _DRAWN:
        return paths
    dead = detector.dead_units
    share = [
        len(dead.get(path, ())) / max(1, len(detector.share[path]))
        for path in paths
    ]
    worst = np.argsort(-np.array(share), kind="stable")[:_DRAWN]
    return [paths[at] for at in sorted(worst)]


def plot(detector):
    """Draw layers x units, the share of active samples of each.

    Args:
        detector: A `DeadReLUDetector`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    require("matplotlib", "plot", _OWNER)
    from matplotlib.figure import Figure

    paths = _worst(detector)
    left_out = len(detector.share) - len(paths)
    width = max([len(detector.share[path]) for path in paths], default=1)
    grid = np.full((max(1, len(paths)), width), np.nan)
    for at, path in enumerate(paths):
        grid[at, : len(detector.share[path])] = detector.share[path]
    figure = Figure(figsize=(9, 1.6 + 0.38 * len(grid)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        np.ma.masked_invalid(grid),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        vmin=0,
        vmax=1,
    )
    axes.set_facecolor("0.92")
    for at, path in enumerate(paths):
        dead = detector.dead_units.get(path, np.zeros(0, int))
        axes.scatter(
            dead,
            np.full(len(dead), at),
            marker="x",
            color="#d1495b",
            s=26,
            linewidths=1.6,
            label="dead" if at == 0 else None,
        )
    labels = [
        f"{path}  {len(detector.dead_units.get(path, ()))}/"
        f"{len(detector.share[path])}"
        for path in paths
    ]
    axes.set_yticks(range(len(paths)), labels)
    more = f"; {left_out} layers with fewer dead units are not shown"
    axes.set_xlabel("unit (a cross: dead)" + (more if left_out else ""))
    figure.colorbar(image, ax=axes, label="share of active samples")
    figure.suptitle(_verdict(detector), fontsize="medium")
    return figure
