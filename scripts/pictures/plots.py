"""Figures of `Trace.plot`: 6, 10, 60 and 200 layers."""

import sys

import keras_gradguard as kgg

_RUNS = {
    6: "moons_sigmoid",
    10: "ten_sigmoid",
    60: "resnet",
    200: "backbone",
}


def make(folder, runs):
    """Make the pictures of the figures."""
    for layers, name in _RUNS.items():
        trace = kgg.Trace.load(runs / name / "trace.npz")
        figure = trace.plot(findings=kgg.diagnose(trace).findings)
        figure.savefig(folder / f"plot_{layers}.png", dpi=75)
        sys.stdout.write(f"plot_{layers}.png {len(trace.layers)} layers\n")
    trace = kgg.Trace.load(runs / "memory" / "trace.npz")
    trace.plot().savefig(folder / "plot_recurrent.png", dpi=75)
