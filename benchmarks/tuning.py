"""A random search with and without `stop_hopeless`.

    KERAS_BACKEND=torch python benchmarks/tuning.py run SEED OUT.jsonl [SPACE]
    python benchmarks/tuning.py table OUT.jsonl

`run` takes a search up where it was left, and stops after `--part` trials.

60 networks are drawn from a space with sick corners: up to 12 layers, four
activations, rates from 3e-5 to 3, weights drawn too small or too large; or from
one that is "mostly sick", in which fewer than a third learn at all. Each
is trained twice on scikit-learn's digits, plain and with the callback, from the
same weights and in alternating order. A trial that is not ended is the same bit
for bit, so only time is won or, if a good trial were ended, a score lost.

Like BTTackler's (KDD 2024, arXiv:2402.17128): time to the best score of the
plain search, and good trials that were ended. Seconds are those that the
process had a CPU for; epochs are exact.
"""

import argparse
import json
import pathlib
import time

import numpy as np

TRIALS, EPOCHS, BATCH = 60, 12, 32
# (depths, log10 of rates, log10 of the weights' variance times the fan-in).
SPACES = {
    "corners": ((1, 13), (-4.5, 0.5), (-0.7, 0.7)),
    "mostly sick": ((1, 21), (-5.0, 1.5), (-1.5, 1.0)),
}


def draw(rng, space):
    depths, rates, scales = SPACES[space]
    return {
        "depth": int(rng.integers(*depths)),
        "width": int(2 ** rng.integers(2, 7)),
        "activation": str(rng.choice(["relu", "tanh", "sigmoid", "gelu"])),
        "optimizer": str(rng.choice(["SGD", "Adam", "RMSprop"])),
        "rate": float(10 ** rng.uniform(*rates)),
        "scale": float(10 ** rng.uniform(*scales)),
        "seed": int(rng.integers(2**31)),
    }


def build(drawn):
    import keras

    keras.utils.set_random_seed(drawn["seed"])
    initializer = {"scale": drawn["scale"], "mode": "fan_in"}
    model = keras.Sequential(
        [
            keras.Input((64,)),
            *(
                keras.layers.Dense(
                    drawn["width"],
                    drawn["activation"],
                    kernel_initializer=keras.initializers.VarianceScaling(
                        **initializer
                    ),
                )
                for _ in range(drawn["depth"])
            ),
            keras.layers.Dense(10),
        ]
    )
    optimizer = getattr(keras.optimizers, drawn["optimizer"])
    model.compile(
        optimizer(drawn["rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(drawn, data, watched):
    import keras_gradguard as kgg

    model = build(drawn)
    stop = kgg.stop_hopeless()
    start = time.process_time()
    history = model.fit(
        *data[0],
        validation_data=data[1],
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[stop] if watched else [],
    )
    seconds = time.process_time() - start
    scores = history.history["val_accuracy"]
    return {
        "score": max(scores),
        "epochs": len(scores),
        "seconds": seconds,
        "verdict": stop.verdict,
    }


def run(seed, path, space="corners", part=None):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    order = np.random.default_rng(seed).permutation(len(x))
    first, second = order[:1000], order[1000:1400]
    data = (x[first], y[first]), (x[second], y[second])
    rng = np.random.default_rng(1000 + seed)
    train(draw(np.random.default_rng(0), space), data, True)  # imports, caches
    path = pathlib.Path(path)
    lines = path.read_text().splitlines() if path.exists() else []
    done = sum(json.loads(line)["search"] == seed for line in lines)
    last = TRIALS if part is None else min(TRIALS, done + part)
    with path.open("a") as file:
        for trial in range(last):
            drawn = draw(rng, space)
            if trial < done:
                continue
            row = {"search": seed, "trial": trial, "drawn": drawn}
            for watched in (trial % 2 == 0, trial % 2 == 1):
                row["watched" if watched else "plain"] = train(
                    drawn, data, watched
                )
            file.write(json.dumps(row) + "\n")
            file.flush()


def until(rows, arm, key, best):
    """What a search spends until it has the best score of the plain one."""
    spent = 0.0
    for row in rows:
        spent += row[arm][key]
        if row[arm]["score"] >= best:
            return spent
    return float("inf")


def within(rows, arm, key, budget, good):
    """How many of the good trials are done within what may be spent."""
    spent = np.cumsum([row[arm][key] for row in rows])
    return int((spent[sorted(good)] <= budget).sum())


def table(path):
    lines = pathlib.Path(path).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    print(
        "| search | ended | of the best third | best score, both | "
        "to the best score: epochs, seconds | whole search: epochs, seconds | "
        "of the best third in half of the plain epochs, seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    for search in sorted({row["search"] for row in rows}):
        own = [row for row in rows if row["search"] == search]
        scores = np.array([row["plain"]["score"] for row in own])
        third = np.argsort(-scores, kind="stable")[: len(own) // 3]
        ended = [at for at, r in enumerate(own) if r["watched"]["verdict"]]
        best = scores.max()
        cells = [
            f"{len(ended)} of {len(own)}",
            len(set(ended) & set(third.tolist())),
            f"{best:.3f}, {max(r['watched']['score'] for r in own):.3f}",
        ]
        for what in ("until", "all"):
            parts = []
            for key in ("epochs", "seconds"):
                if what == "until":
                    two = [
                        until(own, arm, key, best)
                        for arm in ("plain", "watched")
                    ]
                else:
                    two = [
                        sum(r[arm][key] for r in own)
                        for arm in ("plain", "watched")
                    ]
                parts.append(f"{two[0]:.0f} to {two[1]:.0f}")
            cells.append(", ".join(parts))
        halves = []
        for key in ("epochs", "seconds"):
            budget = sum(row["plain"][key] for row in own) / 2
            counts = [
                within(own, arm, key, budget, third.tolist())
                for arm in ("plain", "watched")
            ]
            halves.append(f"{counts[0]} to {counts[1]}")
        cells.append(", ".join(halves))
        print(f"| {search} | {' | '.join(map(str, cells))} |")
    wrong = [
        (row["search"], row["trial"], row["plain"]["score"])
        for row in rows
        if row["watched"]["verdict"]
    ]
    print(
        f"\nBest scores that ended trials reach without: "
        f"{sorted((s for *_, s in wrong), reverse=True)[:5]}"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("arguments", nargs="+")
    parser.add_argument("--part", type=int)
    options = parser.parse_args()
    if options.what == "run":
        seed, path, *space = options.arguments
        run(int(seed), path, *space, part=options.part)
    else:
        table(options.arguments[0])


if __name__ == "__main__":
    main()
