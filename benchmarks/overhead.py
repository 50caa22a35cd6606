"""Cost of watching: fit time watched over fit time plain.

All variants of one model take turns in one process, in an order that
reverses every round. Those with the same optimizer train the very same model
on the very same data: two equal models can differ by a tenth, by where their
arrays lie in memory. Each variant is timed between two plain fits and compared
with their mean (`AutoClip` with fits by Keras's `global_clipnorm`); the table
shows the median of those ratios and their quartiles, the ratio of the fastest
fits of both, and the median for the CPU time of all threads; other programs
disturb the latter two less. Each timed fit runs through two epochs of data,
after one fit that compiles.

"First fit" is the same ratio for a fit of four steps, the first of a process of
its own, compiling included, and in brackets that of CPU time; "peak memory" is
the process's in MiB, and how far above that of the other fit. It needs Linux.

    KERAS_BACKEND=jax python benchmarks/overhead.py
    KERAS_BACKEND=tensorflow python benchmarks/overhead.py --jit
    KERAS_BACKEND=torch python benchmarks/overhead.py --models cnn --rounds 20
"""

import argparse
import dataclasses
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from apart import apart
from apart import head
from apart import medians
from first_fit import STEPS
from first_fit import first_fit
from models import LARGE
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


class Predict(keras.callbacks.Callback):
    """The usual search for dead units: the data once more, each epoch."""

    def __init__(self, x, batch_size):
        super().__init__()
        self._x, self._size = x, batch_size

    def on_epoch_end(self, epoch, logs=None):
        if not hasattr(self, "_outputs"):
            outputs = [layer.output for layer in self.model.layers]
            self._outputs = keras.Model(self.model.inputs, outputs)
        shown = self._outputs.predict(self._x, self._size, verbose=0)
        self.dead = [int((np.asarray(s) == 0).all(0).sum()) for s in shown]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        callbacks: Function that makes the callbacks of a fit.
        optimizer: Function that makes the optimizer.
        against: Name of the variant it is compared with.
    """

    callbacks: Callable = list
    optimizer: Callable = lambda: keras.optimizers.Adam(1e-4)
    against: str = "plain"


def variants(names, x, y, batch_size):
    """What is compared: name -> `Variant`."""

    def clipping(**arguments):
        return lambda: kgg.AutoClip(keras.optimizers.Adam(1e-4), **arguments)

    fixed = "global_clipnorm"
    known = {
        "plain": Variant(),
        "plain again": Variant(),
        "GradientMonitor": Variant(lambda: [kgg.GradientMonitor(verbose=0)]),
        "DeadReLUDetector": Variant(lambda: [kgg.DeadReLUDetector(verbose=0)]),
        "DeadReLUDetector, gradient": Variant(
            lambda: [kgg.DeadReLUDetector(method="gradient", verbose=0)]
        ),
        "both": Variant(
            lambda: [
                kgg.GradientMonitor(verbose=0),
                kgg.DeadReLUDetector(verbose=0),
            ]
        ),
        "with log_dir": Variant(
            lambda: [kgg.GradientMonitor(tempfile.mkdtemp(), verbose=0)]
        ),
        "keras TensorBoard": Variant(
            lambda: [
                keras.callbacks.TensorBoard(
                    tempfile.mkdtemp(), histogram_freq=1
                )
            ]
        ),
        "recompute": Variant(lambda: [Recompute(x, y, batch_size)]),
        "predict each epoch": Variant(lambda: [Predict(x, batch_size)]),
        fixed: Variant(
            optimizer=lambda: keras.optimizers.Adam(1e-4, global_clipnorm=1.0)
        ),
        "AutoClip": Variant(optimizer=clipping(), against=fixed),
        "AutoClip, window 1000": Variant(
            optimizer=clipping(window=1000), against=fixed
        ),
    }
    if keras.backend.backend() != "tensorflow":
        known.pop("recompute")
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(
            f"overhead.py: `--variants` must be of {sorted(known)} or `all`. "
            f"Received: {sorted(unknown)}."
        )
    names = [*(names or known)]
    names += [known[n].against for n in names]
    return {n: known[n] for n in known if n in names}


def measure(name, names, rounds, jit, longer, minutes):
    builder, steps = MODELS[name]
    per_epoch = max(1, steps * longer // EPOCHS)
    fits, against, models = {}, {}, {}
    _, data, loss, batch_size = builder()
    x, y = data(per_epoch * batch_size)
    for variant, made in variants(names, x, y, batch_size).items():
        if made.optimizer not in models:
            keras.utils.set_random_seed(0)
            models[made.optimizer] = builder()[0]
            models[made.optimizer].compile(
                made.optimizer(), loss, jit_compile=jit
            )
        against[variant] = made.against
        model = models[made.optimizer]
        fits[variant] = _fit(model, x, y, batch_size, made.callbacks)
        fits[variant]()
    times = {variant: [] for variant in fits}
    bases = {variant: [] for variant in fits}
    ratios = {variant: [] for variant in fits}  # of wall and of CPU time
    order = list(fits)
    end = time.perf_counter() + 60 * minutes
    for i in range(rounds):
        if i and time.perf_counter() > end:
            break
        for variant in order if i % 2 else order[::-1]:
            base = fits[against[variant]]
            before, taken, after = map(_time, (base, fits[variant], base))
            times[variant].append(taken[0])
            bases[variant] += [before[0], after[0]]
            ratios[variant].append(2 * taken / (before + after))
    return {
        variant: (
            statistics.median(times[variant]) / (per_epoch * EPOCHS) * 1e6,
            against[variant],
            min(times[variant]) / min(bases[variant]),
            *np.quantile(ratios[variant], [0.25, 0.5, 0.75], axis=0).T,
        )
        for variant in order
        if variant != "plain"
    }


def first_fits(name, names, runs, more):
    """Cells of the columns "first fit" and "peak memory": variant -> two.

    Each fit runs in a process of its own; the variants take turns.
    """
    known = variants(names, None, None, None)
    lines = {variant: [] for variant in known}
    for _ in range(runs):
        for variant in known:
            lines[variant].append(apart(__file__, name, variant, more=more))
    if not runs:
        return dict.fromkeys(known, ("", ""))
    taken = medians(lines, "wall", "cpu", "peak")
    cells = {}
    for variant, (wall, cpu, peak) in taken.items():
        base = taken[known[variant].against]
        cells[variant] = (
            f"{wall / base[0]:.2f} ({cpu / base[1]:.2f})",
            f"{peak:.0f} ({peak - base[2]:+.0f})",
        )
    return cells


def one(name, variant, jit):
    """Take a first fit in this process, and print the line."""
    _, data, _, size = MODELS[name][0]()
    made = variants([variant], *data(STEPS * size), size)[variant]
    taken = first_fit(name, made.callbacks(), made.optimizer(), jit)
    print(json.dumps(taken))


def _time(fit):
    """Return wall and CPU time of a fit in seconds, an array."""
    gc.collect()
    clocks = (time.perf_counter, time.process_time)
    start = np.array([clock() for clock in clocks])
    fit()
    return np.array([clock() for clock in clocks]) - start


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
    parser.add_argument(
        "--models",
        nargs="*",
        default=[name for name in MODELS if name not in LARGE],
    )
    parser.add_argument(
        "--variants",
        nargs="*",
        default=["plain", "plain again", "GradientMonitor"],
        help="or: all",
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--minutes",
        type=float,
        default=60,
        help="begin no other round of a model after so many",
    )
    parser.add_argument("--jit", action="store_true", help="XLA on TensorFlow")
    parser.add_argument(
        "--longer", type=int, default=1, help="times as many steps in a fit"
    )
    parser.add_argument(
        "--first", type=int, default=3, help="first fits of each; 0: none"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    jit = "auto"
    if keras.backend.backend() == "tensorflow":
        jit = arguments.jit
    if arguments.one:
        one(*arguments.one, jit)
        return
    backend = keras.backend.backend() + (" XLA" if arguments.jit else "")
    print(
        f"{backend}, keras {keras.__version__}, {os.cpu_count()} cores "
        f"{platform.machine()}, {arguments.rounds} rounds, "
        f"{arguments.longer} times as long\n"
    )
    head(
        "model",
        "variant",
        "us/step",
        "against",
        "ratio",
        "quartiles",
        "fastest",
        "CPU",
        "first fit (CPU)",
        "peak memory",
    )
    for name in arguments.models:
        names = arguments.variants
        if names == ["all"]:
            names = list(variants([], None, None, None))
        rows = measure(
            name,
            names,
            arguments.rounds,
            jit,
            arguments.longer,
            arguments.minutes,
        )
        more = ["--jit"] if arguments.jit else []
        firsts = first_fits(name, names, arguments.first, more)
        for variant, row in rows.items():
            micros, base, fastest, wall, (_, cpu, _) = row
            low, median, high = wall
            print(
                f"| {name} | {variant} | {micros:.0f} | {base} | {median:.3f} "
                f"| {low:.3f} to {high:.3f} | {fastest:.3f} | {cpu:.3f} "
                f"| {' | '.join(firsts[variant])} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
