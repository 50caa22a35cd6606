"""The picture of docs/gradient_norm.md: the net of the README and its cure."""

import numpy as np
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import keras_gradguard as kgg

COLOURS = {"sigmoid": "#b3261e", "relu": "#1b6e3c"}


def draw(traces):
    """Return a figure: a map of each net, and the norms over depth."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3, width_ratios=[1.1, 1.1, 1])
    norms = {name: trace.get("grad_norm") for name, trace in traces.items()}
    low = min(float(values.min()) for values in norms.values())
    high = max(float(values.max()) for values in norms.values())
    scale = colors.LogNorm(max(low, 1e-8), high)
    for axes, (name, trace) in zip(panels, traces.items(), strict=False):
        image = axes.imshow(
            norms[name].T,
            aspect="auto",
            interpolation="nearest",
            norm=scale,
            cmap="viridis",
        )
        layers = [str(layer).split("/")[-1] for layer in trace.layers]
        axes.set_yticks(range(len(layers)), layers, fontsize="small")
        loss = trace.logs["loss"]
        axes.set_title(
            f"{name}: loss {loss[0]:.2f} to {loss[-1]:.2f}", loc="left"
        )
        axes.set_xlabel("step")
    panels[0].set_ylabel("input at the top")
    figure.colorbar(image, ax=list(panels[:2]), label="gradient norm", pad=0.01)
    for name, values in norms.items():
        depth = np.arange(1, values.shape[1] + 1)
        panels[2].plot(
            depth,
            np.median(values, axis=0),
            "o-",
            color=COLOURS[name],
            label=name,
        )
    panels[2].set_yscale("log")
    panels[2].set_title("Gradient norm by layer", loc="left")
    panels[2].set_xlabel("layer, counted from the input")
    panels[2].legend()
    return figure


def make(folder, runs):
    """Make the picture."""
    traces = {
        name: kgg.Trace.load(runs / f"ten_{name}" / "trace.npz")
        for name in COLOURS
    }
    draw(traces).savefig(folder / "gradient_norm.png", dpi=110)
