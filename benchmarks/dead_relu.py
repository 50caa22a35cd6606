"""Dead units of a deep narrow ReLU net with a too high learning rate.

Trains the same net over several seeds, with and without reviving dead units,
and prints the share of dead units over time and the final accuracy.

    KERAS_BACKEND=torch python benchmarks/dead_relu.py --seeds 20
"""

import argparse
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import make_moons

import keras_gradguard as kgg

DEPTH, WIDTH = 8, 8


def data(seed):
    """Two moons, 500 rows to train on and 500 to test on."""
    x, y = make_moons(1000, noise=0.1, random_state=seed)
    x = x.astype("float32")
    return (x[:500], y[:500]), (x[500:], y[500:])


def train(seed, rate, epochs, revive):
    """Train one net.

    Returns:
        Share of dead units per epoch, and the accuracy on the test rows.
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((2,))])
    for _ in range(DEPTH):
        model.add(
            keras.layers.Dense(
                WIDTH, activation="relu", kernel_initializer="he_normal"
            )
        )
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile(
        keras.optimizers.Adam(rate), "binary_crossentropy", ["accuracy"]
    )
    detector = kgg.DeadReLUDetector(revive=revive, verbose=0, seed=seed)
    (x, y), test = data(seed)
    model.fit(
        x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[detector]
    )
    share = np.mean(list(detector.history.values()), axis=0)
    return share, model.evaluate(*test, verbose=0)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-3, 3e-2])
    arguments = parser.parse_args()
    print(
        f"{DEPTH} ReLU layers of width {WIDTH}, Adam, {arguments.epochs} "
        f"epochs, {arguments.seeds} seeds, {keras.backend.backend()}\n"
    )
    print(
        "| learning rate | revive | dead in epoch 1 | half-way | at the end | "
        "accuracy, median (quartiles) | runs at chance (< 0.6) |"
    )
    print("|---|---|---|---|---|---|---|")
    for rate in arguments.rates:
        for revive in (False, True):
            runs = [
                train(seed, rate, arguments.epochs, revive)
                for seed in range(arguments.seeds)
            ]
            shares = np.mean([share for share, _ in runs], axis=0)
            scores = [score for _, score in runs]
            low, _, high = statistics.quantiles(scores, n=4)
            print(
                f"| {rate:g} | {'yes' if revive else 'no'} "
                f"| {shares[0]:.0%} | {shares[len(shares) // 2]:.0%} "
                f"| {shares[-1]:.0%} | {statistics.median(scores):.3f} "
                f"({low:.3f} to {high:.3f}) "
                f"| {sum(score < 0.6 for score in scores)} of {len(scores)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
