"""Time of `kgg.heal(epochs=E)` against a plain `fit` of E epochs.

    KERAS_BACKEND=jax python benchmarks/heal_cost.py [--only NAME]
        [--before CHECKOUT]

Nine sick networks; each number is taken in a process of its own, which
compiles everything anew, plain and heal by turns. The imports are left out.
CPU time, of all threads of the process, is disturbed less by what else runs.
`--before` names a checkout of an earlier version, which takes its turn.
"""

import json
import os
import statistics
import time

from apart import BEFORE
from apart import by_turns
from apart import head
from apart import medians
from apart import options

os.environ.setdefault("KERAS_BACKEND", "jax")


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
    kgg.heal  # noqa: B018  imports what it needs
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
    arguments = options(__doc__, runs=3).parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    ways = ["plain", "heal", *([BEFORE] if arguments.before else [])]
    head(
        "program",
        *(f"{way}, s (CPU)" for way in ways),
        *(f"{way} / plain (CPU)" for way in ways[1:]),
        "trials",
        "healthy",
    )
    found = {way: [] for way in ways[1:]}
    for name, lines in by_turns(
        __file__, PROGRAMS, ("plain", "heal"), arguments
    ):
        _row(name, lines, found)
    for way, ratios in found.items():
        for i, kind in enumerate(("wall", "CPU")):
            values = [both[i] for both in ratios]
            print(
                f"\n{way}, {kind}: median {statistics.median(values):.1f}, "
                f"{max(values):.1f} at most."
            )


def _row(name, lines, found):
    """Print the row of a program, and note its ratios by their way."""
    taken = medians(lines, "wall", "cpu")
    cells = [f"{wall:.1f} ({cpu:.1f})" for wall, cpu in taken.values()]
    for way, ratios in found.items():
        pair = zip(taken[way], taken["plain"], strict=True)
        ratios.append([one / plain for one, plain in pair])
        cells.append("{:.1f} ({:.1f})".format(*ratios[-1]))
    others = [lines[way][-1] for way in found]
    cells.append(", ".join(str(len(line["tried"])) for line in others))
    cells.append(", ".join(str(line["healthy"]) for line in others))
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for way in found:
        for text in lines[way][-1]["tried"]:
            print(f"<!-- {way}: {text} -->")


if __name__ == "__main__":
    main()
