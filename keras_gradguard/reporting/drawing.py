"""Pieces of figures: lines, bands, rows with names, marks of findings."""

import io
from typing import Any

import numpy as np

from keras_gradguard._optional import require
from keras_gradguard._text import number
from keras_gradguard._text import unlike_neighbours

# Rows of the map that have room for a name.
_NAMED = 25
_COLOURS = {"critical": "#b3261e", "warning": "#c77700"}


def new_figure(size, owner):
    """Return a figure that notebooks show without pyplot.

    Args:
        size: Width and height in inches.
        owner: Str. What draws, for the error where matplotlib is missing.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure_module: Any = require("matplotlib.figure", "plot", owner)
    agg = require("matplotlib.backends.backend_agg", "plot", owner)

    class Figure(figure_module.Figure):
        def _repr_png_(self):
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=80)
            return buffer.getvalue()

    figure = Figure(figsize=size, layout="constrained")
    agg.FigureCanvasAgg(figure)
    return figure


def mark(axes, findings, label=False):
    """Draw a line where each finding began."""
    for at, finding in enumerate(findings):
        colour = _COLOURS.get(finding.severity, "0.3")
        axes.axvline(
            finding.first_step, color=colour, linewidth=1.2, linestyle=":"
        )
        if label:
            axes.annotate(
                finding.rule,
                (finding.first_step, 0.94 - 0.11 * (at % 7)),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                color=colour,
                fontsize="small",
                verticalalignment="top",
                bbox={"color": "white", "alpha": 0.8, "pad": 1},
            )


def lines(axes, x, values, trace, chosen):
    """Draw one line per layer, dark at the input, light at the output."""
    colours = depth_colours(len(chosen))
    style = "o-" if len(x) <= 20 else "-"
    names = unlike_neighbours(trace.run.names(trace.layers[chosen]))
    for colour, at, name in zip(colours, chosen, names, strict=True):
        series = np.where(np.isfinite(values[:, at]), values[:, at], np.nan)
        axes.plot(
            x,
            series,
            style,
            color=colour,
            linewidth=1,
            markersize=3,
            label=name,
        )


def over_epochs(axes, epochs, values, trace, chosen):
    """Draw one line per layer through the epochs that were measured."""
    known = np.isfinite(values).any(axis=1)
    lines(axes, epochs[known], values[known], trace, chosen)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if not known.any():
        say_empty(axes, "not measured at the end of any epoch yet")


def say_empty(axes, why):
    """Say in a panel why it has no lines; ticks would mean nothing."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        *(0.5, 0.5, why),
        transform=axes.transAxes,
        horizontalalignment="center",
        color="0.35",
    )


def bands(axes, x, low, high, chosen):
    """Fill what lies between minimum and maximum of each layer."""
    for colour, at in zip(depth_colours(len(chosen)), chosen, strict=True):
        lower, upper = low[:, at], high[:, at]
        seen = np.isfinite(lower) & np.isfinite(upper)
        axes.fill_between(
            x[seen], lower[seen], upper[seen], color=colour, alpha=0.15, lw=0
        )


def depth_colours(count):
    """One colour per layer, dark at the input, light at the output."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.9, max(1, count)))[:count]


def depth_legend(figure, axes, count):
    """Say which colour is which depth, where layers are too many to name."""
    from matplotlib import cm
    from matplotlib import colors

    cmap = colors.ListedColormap(depth_colours(256))
    scale = cm.ScalarMappable(colors.Normalize(1, count), cmap)
    bar = figure.colorbar(
        scale, ax=list(axes), location="bottom", shrink=0.5, aspect=40, pad=0.02
    )
    bar.set_label("layer, counted from the input")


def name_rows(axes, trace, chosen, findings):
    """Name rows of the map, the culprits first of all and in red."""
    found = {str(layer) for finding in findings for layer in finding.layers}
    guilty = [str(layer) in found for layer in trace.layers[chosen]]
    names = trace.run.names(trace.layers[chosen])
    every = max(1, len(names) // _NAMED)
    culprits = np.flatnonzero(guilty)
    rows: list = []
    # A name that would touch another is left out.
    for i in (*culprits, *range(0, len(names), every)):
        if all(abs(i - other) >= every for other in rows):
            rows.append(i)
    rows.sort()
    axes.set_yticks(
        rows, unlike_neighbours([names[i] for i in rows]), fontsize="x-small"
    )
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        if guilty[row]:
            label.set_color(_COLOURS["critical"])


def say_norms(bar):
    """Label a bar of colours whose numbers are the log10 of norms."""
    bar.ax.yaxis.set_major_formatter(lambda value, _: number(10**value))
    bar.set_label("norm")


def draw_over_time(figure, axes, profiles):
    """Draw gradients through time, layers by time steps.

    Args:
        figure: The figure of the axes.
        axes: Axes to draw on.
        profiles: `map_over_time.TimeProfiles`.
    """
    axes.set_title(
        f"Gradient through time at step {profiles.step}: norm with respect to "
        "the state",
        loc="left",
    )
    low, high = profiles.log_range
    cells = np.where(np.isneginf(profiles.cells), low, profiles.cells)
    image = axes.imshow(
        cells,
        aspect="auto",
        interpolation="nearest",
        extent=(0, 1, len(cells) - 0.5, -0.5),
        vmin=low,
        vmax=max(high, low + 1e-3),
    )
    say_norms(figure.colorbar(image, ax=axes, pad=0.01))
    axes.set_xticks([0, 1], ["first time step", "last"])
    every = max(1, len(cells) // _NAMED)
    shown = range(0, len(cells), every)
    axes.set_yticks(
        [*shown], [profiles.layers[at] for at in shown], fontsize="x-small"
    )
