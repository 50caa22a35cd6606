"""Cost per step and memory over a long watched run: both stay flat.

KERAS_BACKEND=jax python benchmarks/scale.py --steps 100000
"""

import argparse
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from models import tiny_mlp

import keras_gradguard as kgg


class Clock(keras.callbacks.Callback):
    """Time and memory at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.rows.append((time.perf_counter(), peak))


def run(steps, callbacks, parts=10):
    keras.utils.set_random_seed(0)
    model, data, loss, batch_size = tiny_mlp()
    model.compile(keras.optimizers.Adam(1e-4), loss)
    x, y = data(steps // parts * batch_size)
    clock = Clock()
    start = time.perf_counter()
    model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=parts,
        verbose=0,
        callbacks=[*callbacks, clock],
    )
    times = np.diff([start, *[t for t, _ in clock.rows]])
    return times / (steps / parts) * 1e6, [m for _, m in clock.rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000)
    arguments = parser.parse_args()
    monitor = kgg.GradientMonitor(verbose=0)
    plain, _ = run(arguments.steps, [])
    watched, memory = run(arguments.steps, [monitor])
    print(
        f"{keras.backend.backend()}, {arguments.steps} steps, "
        f"{len(monitor.trace.steps)} records kept\n"
    )
    print("| tenth of the run | plain us/step | watched us/step | peak MiB |")
    print("|---|---|---|---|")
    for i, (a, b, m) in enumerate(zip(plain, watched, memory, strict=True)):
        print(f"| {i + 1} | {a:.0f} | {b:.0f} | {m:.0f} |")


if __name__ == "__main__":
    main()
