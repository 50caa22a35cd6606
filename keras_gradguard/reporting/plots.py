"""Figures of a trace, without pyplot and its global state."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_names
from keras_gradguard._validation import fail
from keras_gradguard.findings.finding import Finding
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.drawing import bands
from keras_gradguard.reporting.drawing import depth_legend
from keras_gradguard.reporting.drawing import draw_over_time
from keras_gradguard.reporting.drawing import lines
from keras_gradguard.reporting.drawing import mark
from keras_gradguard.reporting.drawing import name_rows
from keras_gradguard.reporting.drawing import new_figure
from keras_gradguard.reporting.drawing import over_epochs
from keras_gradguard.reporting.drawing import say_empty
from keras_gradguard.reporting.drawing import say_norms
from keras_gradguard.reporting.loss_plot import draw_loss
from keras_gradguard.reporting.map_over_time import last_profiles
from keras_gradguard.reporting.tables import binned
from keras_gradguard.reporting.tables import verdict
from keras_gradguard.reporting.tables import weight_history

_OWNER = "GradientMonitor.plot"
_MANY = 10
_POINTS = 150


def plot_of(trace, what, layers, findings):
    """Draw what `Trace.plot` is asked for.

    Args:
        trace: `keras_gradguard.Trace`.
        what: `"run"` or `"weights"`.
        layers: List of layer paths to show, or None for all.
        findings: Iterable of `Finding` to mark.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an argument is of the wrong type.
        ValueError: If `what` or a layer is unknown.
    """
    owner = "Trace.plot"
    check_choice(owner, "what", what, ("run", "weights"))
    if layers is not None:
        layers = check_names(owner, "layers", layers)
    if isinstance(findings, (str, bytes)):
        findings = [findings]
    try:
        findings = list(findings)
    except TypeError:
        findings = [findings]
    for finding in findings:
        if not isinstance(finding, Finding):
            fail(TypeError, owner, "findings", "a list of Finding", finding)
    if what == "weights":
        return plot_weights(trace, layers)
    # Without findings nobody has said yet that there are none.
    return plot(trace, findings, layers, judged=bool(findings))


def plot(trace, findings=(), layers=None, judged=True):
    """Draw what was recorded.

    Loss over steps with the findings marked; a heatmap of the gradient norms,
    layers by steps, with non-finite cells marked; norms per layer; update
    ratios beside the usual 1e-3; weights over epochs; gradients through time,
    where they were measured.

    Args:
        trace: `keras_gradguard.Trace`.
        findings: List of `Finding` to mark. Defaults to none.
        layers: List of layer paths to show. Defaults to all.
        judged: Bool. Whether `findings` are all there are. Defaults to True.

    Returns:
        A `matplotlib.figure.Figure`. Notebooks show it as it is;
        `figure.savefig("x.png")` saves it.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If a layer is unknown.
    """
    chosen = _choose(trace, layers)
    figure = new_figure((11, 13), _OWNER)
    if not len(trace.steps):
        return _empty(figure)
    profiles = last_profiles(trace)
    heights = [2, 3, 2.4, 2.4, *([] if profiles is None else [1.2])]
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    loss = figure.add_subplot(grid[0, :])
    draw_loss(loss, trace, findings)
    heat = figure.add_subplot(grid[1, :], sharex=loss)
    _draw_heatmap(figure, heat, trace, findings, chosen)
    norms = figure.add_subplot(grid[2, 0], sharex=loss)
    _draw_series(norms, trace.steps, trace.get("grad_norm"), trace, chosen)
    _draw_threshold(norms, trace)
    norms.set_title("Gradient norm per layer", loc="left")
    ratio = figure.add_subplot(grid[2, 1], sharex=loss)
    steps, ratios = trace.measured("update_ratio")
    _draw_series(ratio, steps, ratios, trace, chosen)
    if np.isfinite(ratios).any():
        ratio.axhline(1e-3, color="0.4", linestyle="--", linewidth=1)
    else:
        say_empty(ratio, "not measured yet")
    ratio.set_title("Update / weights (usual: about 1e-3)", loc="left")
    for axes in (norms, ratio):
        axes.set_xlabel("step")
        mark(axes, findings)
    left, right = (figure.add_subplot(grid[3, at]) for at in (0, 1))
    _draw_weights(left, right, trace, chosen)
    if profiles is not None:
        below = figure.add_subplot(grid[4, :])
        draw_over_time(figure, below, profiles)
    if len(chosen) > _MANY:
        depth_legend(figure, (norms, ratio, left, right), len(chosen))
    else:
        drawn, names = norms.get_legend_handles_labels()
        figure.legend(
            drawn,
            names,
            loc="outside lower center",
            # Rows of equal length: the last is not one name alone.
            ncols=-(-len(names) // -(-len(names) // 6)) if names else 1,
            fontsize="small",
        )
    title = verdict(trace, list(findings)) if judged else repr(trace)[1:-1]
    figure.suptitle(f"GradGuard: {title}", x=0.5)
    return figure


def plot_weights(trace, layers=None):
    """Draw the weights of each layer over the epochs.

    Four panels: norm; change of the norm per epoch in percent; distance from
    the start over the norm at the start; share of weights that are zero.

    Args:
        trace: `keras_gradguard.Trace`.
        layers: List of layer paths to show. Defaults to all.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If a layer is unknown.
    """
    chosen = _choose(trace, layers)
    figure = new_figure((11, 7), _OWNER)
    history = weight_history(trace)
    panels = (
        ("weight_norm", "Norm of the weights"),
        ("percent_change", "Change of the norm per epoch [%]"),
        ("since_start", "Distance from the start / norm at the start"),
        ("zero_fraction", "Share of weights that are zero"),
    )
    for at, (name, title) in enumerate(panels):
        axes = figure.add_subplot(2, 2, at + 1)
        over_epochs(axes, history["epoch"] + 1, history[name], trace, chosen)
        axes.set_title(title, loc="left")
        if at == 0 and 0 < len(chosen) <= _MANY and len(history["epoch"]):
            axes.legend(fontsize="x-small")
    return figure


def _choose(trace, layers):
    """Return the indices of the layers to show."""
    if layers is None:
        return np.arange(len(trace.layers))
    known = {str(layer): at for at, layer in enumerate(trace.layers)}
    for layer in layers:
        if str(layer) not in known:
            shown = ", ".join(repr(name) for name in list(known)[:20])
            raise ValueError(
                f"Trace.plot: `layers` must hold layer paths of the trace "
                f"({shown}). Received: {layer!r}."
            )
    return np.array([known[str(layer)] for layer in layers], int)


def _draw_heatmap(figure, axes, trace, findings, chosen):
    axes.set_title(
        "Gradient norm, layers from input (top) to output", loc="left"
    )
    if not len(trace.steps) or not len(chosen):
        return
    from matplotlib import colormaps

    parts, cells, gone = binned(trace)
    cells, gone = cells[:, chosen], gone[:, chosen]
    known = cells[np.isfinite(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    zero = np.isneginf(cells)
    edges = parts.edges
    rows = np.arange(len(chosen) + 1) - 0.5
    mesh = axes.pcolormesh(
        edges,
        rows,
        np.where(zero, low - 1, cells).T,
        # What is exactly 0 lies under all colours.
        cmap=colormaps["viridis"].with_extremes(under="black"),
        vmin=low,
        vmax=max(high, low + 1e-3),
        rasterized=True,
    )
    say_norms(figure.colorbar(mesh, ax=axes, pad=0.01))
    if zero.any():
        axes.set_title("black: exactly 0", loc="right", fontsize="small")
    at, layer = np.nonzero(gone)
    if len(at):
        middle = (edges[at] + edges[at + 1]) / 2
        axes.scatter(
            middle,
            layer,
            marker="x",
            s=12,
            color="#b3261e",
            linewidths=0.8,
            label="NaN or infinite",
        )
        axes.legend(fontsize="x-small", loc="upper right")
    axes.invert_yaxis()
    name_rows(axes, trace, chosen, findings)
    mark(axes, findings)


def _draw_series(axes, steps, values, trace, chosen):
    known = np.isfinite(values).any(axis=1)
    steps, values = steps[known], values[known]
    if len(steps) > 2 * _POINTS:
        # Medians of equal parts: the noise of batches hides what differs.
        # Behind them the range, so that no spike is hidden.
        parts = StepBins.of(steps, _POINTS)
        low, high = parts.min(values), parts.max(values)
        steps, values = parts.middles, parts.median(values)
        if len(chosen) <= _MANY:
            bands(axes, steps, low, high, chosen)
    lines(axes, steps, values, trace, chosen)
    known = values[:, chosen]
    if (known[np.isfinite(known)] > 0).any():
        axes.set_yscale("log")


def _draw_threshold(axes, trace):
    """Draw what the global norm was and what it was clipped to."""
    threshold = trace.extra.get("clip_threshold")
    if threshold is None or not np.isfinite(threshold).any():
        return
    parts = StepBins.of(trace.steps, 2 * _POINTS)
    for values, label, style in (
        (trace.global_grad_norm, "all layers", "0.6"),
        (threshold, "clip threshold", "#b3261e"),
    ):
        shown = np.where(np.isfinite(values), values, np.nan)
        axes.plot(
            parts.middles,
            parts.median(shown),
            color=style,
            label=label,
            linewidth=1,
        )


def _empty(figure):
    """Say in a figure that there is nothing to draw."""
    figure.set_size_inches(7, 1.6)
    figure.text(
        0.5,
        0.5,
        "Nothing was recorded yet. Train first:\n"
        "model.fit(..., callbacks=[monitor])",
        horizontalalignment="center",
        verticalalignment="center",
    )
    return figure


def _draw_weights(left, right, trace, chosen):
    history = weight_history(trace)
    epochs = history["epoch"] + 1
    over_epochs(left, epochs, history["weight_norm"], trace, chosen)
    left.set_title("Norm of the weights", loc="left")
    moved = history["since_start"]
    title = "Distance from the start / norm at the start"
    if not np.isfinite(moved).any():
        moved = history["percent_change"]
        title = "Change of the weight norm per epoch [%]"
    over_epochs(right, epochs, moved, trace, chosen)
    right.set_title(title, loc="left", fontsize="medium")
    zero = history["zero_fraction"]
    zero = zero[:, chosen]
    if zero.size and np.nanmax(zero, initial=0.0) > 0:
        share = number(100 * np.nanmax(zero))
        right.set_xlabel(f"epoch (weights that are zero: up to {share} %)")
