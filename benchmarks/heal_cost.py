"""Time of `kgg.heal(epochs=E)` against a plain `fit` of E epochs.

    KERAS_BACKEND=jax python benchmarks/heal_cost.py [--only NAME]
        [--before CHECKOUT]

Nine sick networks; each number is taken in a process of its own, which
compiles everything anew, plain and heal by turns. The imports are left out.
CPU time, of all threads of the process, is disturbed less by what else runs.
`--before` names a checkout of an earlier version, which takes its turn.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

from apart import apart

os.environ.setdefault("KERAS_BACKEND", "jax")
_RUNS = 3


def digits():
    """Images of ten noisy patterns, and their classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1024)
    patterns = rng.normal(size=(10, 8, 8, 1))
    x = patterns[labels] + 0.5 * rng.normal(size=(1024, 8, 8, 1))
    return x.astype("float32"), labels


def circles():
    """Points on two circles, and on which."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000)
    angles = rng.uniform(0, 2 * np.pi, 1000)
    radius = np.where(labels == 1, 0.5, 1.0)
    x = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    x = x + 0.05 * rng.normal(size=x.shape)
    return x.astype("float32"), labels.astype("float32")


def series(classes):
    """Noisy waves of several frequencies, and which or how high."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 512)
    at = np.arange(60)[None]
    x = np.sin(at * (labels[:, None] + 1) * 0.1 + rng.uniform(0, 6, (512, 1)))
    x = (x + 0.1 * rng.normal(size=x.shape))[..., None].astype("float32")
    return x, labels if classes else x[:, -10:, 0].mean(axis=1)


def _dense(units, activation, out, shape, **arguments):
    import keras

    hidden = [
        keras.layers.Dense(u, activation, name=f"h{i}", **arguments)
        for i, u in enumerate(units)
    ]
    flat = [keras.layers.Flatten()] if len(shape) > 1 else []
    return keras.Sequential(
        [
            keras.Input(shape),
            *flat,
            *hidden,
            keras.layers.Dense(*out, name="out"),
        ]
    )


def program(name):
    """Return a compiled model, its data and its epochs."""
    import keras

    layers = keras.layers
    entropy = "sparse_categorical_crossentropy"
    if name == "cnn_sigmoid":
        convolutions = [
            layers.Conv2D(8, 3, activation="sigmoid", padding="same")
            for _ in range(6)
        ]
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                *convolutions,
                layers.Flatten(),
                layers.Dense(10, "softmax"),
            ]
        )
        model.compile("adam", entropy)
        return model, digits(), 15
    if name == "unscaled_targets":
        x, y = series(classes=False)
        model = _dense([32, 32], "relu", (1,), (60, 1))
        model.compile(keras.optimizers.SGD(0.01), "mse")
        return model, (x, 1e4 * y + 5e4), 30
    if name == "softmax_of_one":
        model = _dense([16, 16], "relu", (1, "softmax"), (2,))
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
        return model, circles(), 30
    if name == "relu_50":
        x, y = digits()
        model = _dense([32] * 50, "relu", (10, "softmax"), (8, 8, 1))
        model.compile("adam", entropy)
        return model, (x, y), 20
    if name == "saturated_tanh":
        x, y = digits()
        model = _dense(
            [64] * 4,
            "tanh",
            (10, "softmax"),
            (8, 8, 1),
            kernel_initializer=keras.initializers.RandomNormal(stddev=3.0),
        )
        model.compile(keras.optimizers.SGD(0.01), entropy)
        return model, (x, y), 20
    if name == "dead_bias":
        model = _dense(
            [16, 16],
            "relu",
            (1, "sigmoid"),
            (2,),
            bias_initializer=keras.initializers.Constant(-50.0),
        )
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
        return model, circles(), 30
    if name == "simple_rnn":
        x, y = series(classes=False)
        cell = layers.SimpleRNN(
            32,
            activation="relu",
            recurrent_initializer=keras.initializers.RandomNormal(stddev=0.35),
        )
        model = keras.Sequential([keras.Input((60, 1)), cell, layers.Dense(1)])
        model.compile("adam", "mse")
        return model, (x, y), 20
    if name == "circles":
        model = _dense(
            [8] * 5,
            "tanh",
            (1, "sigmoid"),
            (2,),
            kernel_initializer=keras.initializers.RandomUniform(0, 1),
        )
        model.compile(keras.optimizers.SGD(0.01, 0.9), "binary_crossentropy")
        return model, circles(), 60
    if name == "lstm":
        cells = [
            layers.LSTM(16, activation="sigmoid", return_sequences=i < 3)
            for i in range(4)
        ]
        model = keras.Sequential(
            [keras.Input((60, 1)), *cells, layers.Dense(4, "softmax")]
        )
        model.compile(keras.optimizers.SGD(0.01), entropy)
        return model, series(classes=True), 15
    raise ValueError(f"Unknown program: {name}")


PROGRAMS = (
    "cnn_sigmoid",
    "unscaled_targets",
    "softmax_of_one",
    "relu_50",
    "saturated_tanh",
    "dead_bias",
    "simple_rnn",
    "circles",
    "lstm",
)


def one(name, way):
    """Time one way in this process, and print the line."""
    import keras

    import keras_gradguard as kgg

    keras.utils.set_random_seed(0)
    model, (x, y), epochs = program(name)
    start = time.perf_counter(), time.process_time()
    if way == "plain":
        model.fit(x, y, epochs=epochs, verbose=0)
        said = {}
    else:
        _, report = kgg.heal(model, x, y, epochs=epochs, verbose=0)
        said = {
            "healthy": report.healthy,
            "tried": [str(attempt) for attempt in report.attempts],
        }
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(json.dumps({"wall": wall, "cpu": cpu, **said}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--before", help="checkout of an earlier version")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=_RUNS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    here = pathlib.Path(__file__).resolve().parent.parent
    ways = {"plain": here, "heal": here}
    if arguments.before:
        ways["before"] = pathlib.Path(arguments.before).resolve()
    table = _Table(list(ways))
    for name in PROGRAMS:
        if arguments.only not in name:
            continue
        lines = {way: [] for way in ways}
        for _ in range(arguments.runs):
            for way, folder in ways.items():
                lines[way].append(apart(__file__, name, way, folder))
        table.row(name, lines)
    table.end()


class _Table:
    """Prints seconds and ratios of the ways, a row for each program."""

    def __init__(self, ways):
        self._ratios = {}
        heads = [f"{way}, s (CPU)" for way in ways]
        heads += [f"{way} / plain (CPU)" for way in ways[1:]]
        heads += ["trials", "healthy"]
        print(f"| program | {' | '.join(heads)} |")
        print("|---" * (len(heads) + 1) + "|")

    def row(self, name, lines):
        """Print the row of a program."""
        taken = {
            way: [
                statistics.median(r[c] for r in runs) for c in ("wall", "cpu")
            ]
            for way, runs in lines.items()
        }
        cells = [f"{wall:.1f} ({cpu:.1f})" for wall, cpu in taken.values()]
        for way, both in list(taken.items())[1:]:
            pair = zip(both, taken["plain"], strict=True)
            ratios = [one / plain for one, plain in pair]
            self._ratios.setdefault(way, []).append(ratios)
            cells.append("{:.1f} ({:.1f})".format(*ratios))
        others = [runs[-1] for way, runs in lines.items() if way != "plain"]
        cells.append(", ".join(str(len(line["tried"])) for line in others))
        cells.append(", ".join(str(line["healthy"]) for line in others))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        for way, runs in lines.items():
            for text in runs[-1].get("tried", ()):
                print(f"<!-- {way}: {text} -->")

    def end(self):
        """Print what holds for all programs together."""
        for way, ratios in self._ratios.items():
            for kind, values in zip(
                ("wall", "CPU"), zip(*ratios, strict=True), strict=True
            ):
                print(
                    f"\n{way}, {kind}: median {statistics.median(values):.1f}, "
                    f"{max(values):.1f} at most."
                )


if __name__ == "__main__":
    main()
