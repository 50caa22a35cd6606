"""Cost of watching: fit time watched over fit time plain.

All variants of one model take turns in one process, in an order that
reverses every round, and each is compared with the plain fit of its own
round; the table shows the median of those ratios and their quartiles. Each
timed fit runs through several epochs of data of its own model, after one fit
that compiles.

    KERAS_BACKEND=jax python benchmarks/overhead.py
    KERAS_BACKEND=tensorflow python benchmarks/overhead.py --jit
    KERAS_BACKEND=torch python benchmarks/overhead.py --models cnn --rounds 20
"""

import argparse
import gc
import os
import platform
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from models import MODELS

import keras_gradguard as kgg

EPOCHS = 2


class Recompute(keras.callbacks.Callback):
    """The usual workaround: the gradient once more, after each batch."""

    def __init__(self, x, y, batch_size):
        super().__init__()
        self._x, self._y, self._size = x, y, batch_size

    def on_train_batch_end(self, batch, logs=None):
        import tensorflow as tf

        part = slice(batch * self._size, (batch + 1) * self._size)
        x, y = self._x[part], self._y[part]
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(x, y, self.model(x, training=True))
        grads = tape.gradient(loss, self.model.trainable_variables)
        self.norms = [float(tf.norm(g)) for g in grads]


def variants(names, x, y, batch_size):
    """What is compared: name -> function that makes the callbacks."""
    known = {
        "plain": list,
        "plain again": list,
        "GradientMonitor": lambda: [kgg.GradientMonitor(verbose=0)],
        "DeadReLUDetector": lambda: [kgg.DeadReLUDetector(verbose=0)],
        "with log_dir": lambda: [
            kgg.GradientMonitor(tempfile.mkdtemp(), verbose=0)
        ],
        "keras TensorBoard": lambda: [
            keras.callbacks.TensorBoard(tempfile.mkdtemp(), histogram_freq=1)
        ],
        "recompute": lambda: [Recompute(x, y, batch_size)],
    }
    if keras.backend.backend() != "tensorflow":
        known.pop("recompute")
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(
            f"overhead.py: `--variants` must be of {sorted(known)} or `all`. "
            f"Received: {sorted(unknown)}."
        )
    return {n: known[n] for n in ["plain", *(n for n in names or known)]}


def measure(name, names, rounds, jit):
    builder, steps = MODELS[name]
    per_epoch = max(1, steps // EPOCHS)
    fits = {}
    for variant in ["plain", *[n for n in names if n != "plain"]]:
        keras.utils.set_random_seed(0)
        model, data, loss, batch_size = builder()
        jit_compile = jit if keras.backend.backend() == "tensorflow" else "auto"
        model.compile(
            keras.optimizers.Adam(1e-4), loss, jit_compile=jit_compile
        )
        x, y = data(per_epoch * batch_size)
        make = variants(names, x, y, batch_size)[variant]
        fits[variant] = _fit(model, x, y, batch_size, make)
        fits[variant]()
    times = {variant: [] for variant in fits}
    order = list(fits)
    for i in range(rounds):
        for variant in order if i % 2 else order[::-1]:
            gc.collect()
            start = time.perf_counter()
            fits[variant]()
            times[variant].append(time.perf_counter() - start)
    return {
        variant: (
            statistics.median(t) / (per_epoch * EPOCHS) * 1e6,
            np.quantile(
                np.divide(t, times["plain"]), [0.25, 0.5, 0.75]
            ).tolist(),
        )
        for variant, t in times.items()
    }


def _fit(model, x, y, batch_size, make):
    callbacks = make()

    def fit():
        model.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=EPOCHS,
            verbose=0,
            callbacks=callbacks,
        )

    return fit


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument(
        "--variants",
        nargs="*",
        default=["plain", "plain again", "GradientMonitor"],
        help="or: all",
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--jit", action="store_true", help="XLA on TensorFlow")
    arguments = parser.parse_args()
    backend = keras.backend.backend() + (" XLA" if arguments.jit else "")
    print(
        f"{backend}, keras {keras.__version__}, {os.cpu_count()} cores "
        f"{platform.machine()}, {arguments.rounds} rounds\n"
    )
    print("| model | variant | us/step | ratio | quartiles |")
    print("|---|---|---|---|---|")
    for name in arguments.models:
        names = arguments.variants
        if names == ["all"]:
            names = list(variants([], None, None, None))
        rows = measure(name, names, arguments.rounds, arguments.jit)
        for variant, (micros, (low, median, high)) in rows.items():
            print(
                f"| {name} | {variant} | {micros:.0f} | {median:.3f} "
                f"| {low:.3f} to {high:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
