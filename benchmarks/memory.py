"""Peak memory of watched steps above that of plain ones.

Each fit runs in a process of its own. The kernel's mark of the peak is set
back before each batch and read behind it, so that steps that measure the
weights and their update stand apart from those that only read gradients. The
peak of a fit is that of the process, with its compilation. It needs Linux.

    KERAS_BACKEND=torch python benchmarks/memory.py --models dense cnn
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from apart import apart

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STEPS, SETTLED = 24, 5
MIB = 1024.0
WAYS = ("plain", "monitor", "detector", "both", "global_clipnorm", "autoclip")


def dense():
    """One `Dense(4000)` on 4000 inputs: 61 MiB of weights."""
    import keras
    import numpy as np

    def data(count):
        random = np.random.default_rng(0)
        x = random.normal(size=(count, 4000)).astype("float32")
        return x, x[:, ::-1].copy()

    layers = [keras.Input((4000,)), keras.layers.Dense(4000, "relu")]
    return keras.Sequential(layers), data, "mse", 32


def peak(key="VmHWM"):
    """The peak of this process since the mark was set back, in MiB."""
    text = Path("/proc/self/status").read_text()
    line = next(s for s in text.splitlines() if s.startswith(key))
    return int(line.split()[1]) / MIB


def mark_peak():
    """Set the mark of the peak back."""
    Path("/proc/self/clear_refs").write_text("5")


def warm_up(kgg):
    """Import and touch all code that any of the ways runs.

    That is no cost of a step. Tensors are large enough for the kernels that
    large ones take, which are read from their libraries when first used.
    """
    import keras
    import numpy as np

    layers = [keras.Input((512,)), keras.layers.Dense(512, "relu")]
    small = keras.Sequential(layers)
    small.compile(kgg.AutoClip(keras.optimizers.Adam(1e-4)), "mse")
    zeros = np.zeros((64, 512), "float32")
    callbacks = [
        kgg.GradientMonitor(verbose=0),
        kgg.DeadReLUDetector(verbose=0),
    ]
    small.fit(zeros, zeros, batch_size=4, verbose=0, callbacks=callbacks)


def fit(name, way):
    """Peaks of one fit: of all, of steps that read and that measure."""
    import keras
    from models import MODELS

    import keras_gradguard as kgg

    class Peaks(keras.callbacks.Callback):
        """The peak of each batch."""

        def __init__(self):
            super().__init__()
            self.each = []
            self.all = 0.0

        def on_train_batch_begin(self, batch, logs=None):
            self.all = max(self.all, peak())
            mark_peak()

        def on_train_batch_end(self, batch, logs=None):
            self.each.append(peak())

    warm_up(kgg)
    build = dense if name == "dense" else MODELS[name][0]
    keras.utils.set_random_seed(0)
    model, data, loss, batch_size = build()
    clip = {"global_clipnorm": 1.0} if way == "global_clipnorm" else {}
    optimizer = keras.optimizers.Adam(1e-4, **clip)
    if way == "autoclip":
        optimizer = kgg.AutoClip(optimizer)
    model.compile(optimizer, loss)
    x, y = data(STEPS * batch_size)
    callbacks = []
    if way in ("monitor", "both"):
        callbacks.append(kgg.GradientMonitor(verbose=0))
    if way in ("detector", "both"):
        callbacks.append(kgg.DeadReLUDetector(verbose=0))
    peaks = Peaks()
    model.fit(
        x,
        y,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[peaks, *callbacks],
    )
    whole = max(peaks.all, *peaks.each)
    # Those that are measured in full come at fixed places.
    full = [16]
    spared = [i for i in range(SETTLED, STEPS - 1) if i not in full]
    weights = 4 * model.count_params()
    return {
        "fit": whole,
        "reads": max(peaks.each[i] for i in spared),
        "measures": max(peaks.each[i] for i in full),
        "weights": weights / MIB**2,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=["dense"])
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(fit(*arguments.one)))
        return
    print("| model | weights | way | fit | steps that read | that measure |")
    print("|---" * 6 + "|")
    for name in arguments.models:
        taken = {way: [] for way in arguments.ways}
        for _ in range(arguments.rounds):
            for way in arguments.ways:
                taken[way].append(apart(__file__, name, way))
        medians = {
            way: {k: statistics.median(t[k] for t in runs) for k in runs[0]}
            for way, runs in taken.items()
        }
        for way, found in medians.items():
            base = medians[
                "global_clipnorm" if way == "autoclip" else arguments.ways[0]
            ]
            cells = [
                f"{found[k]:.0f} ({found[k] - base[k]:+.1f})"
                for k in ("fit", "reads", "measures")
            ]
            print(
                f"| {name} | {found['weights']:.0f} | {way} | "
                + " | ".join(cells)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
