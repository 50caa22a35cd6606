"""Every optimizer of Keras at its default rate on three sound networks.

    KERAS_BACKEND=torch python benchmarks/optimizers.py
        [--only NAME] [--seeds 1] [--out optimizers.jsonl]

Each is trained for about 2,000 steps, watched with defaults. A run that learnt
must be silent. Of one that did not, within these steps, a finding is right:
then the rate that Keras sets by default is none for such a run.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from detection import kept_data
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.gains import LEARNT
from detection.gains import gain
from keras import layers

import keras_gradguard as kgg

OPTIMIZERS = (
    "SGD",
    "RMSprop",
    "Adam",
    "AdamW",
    "Adadelta",
    "Adagrad",
    "Adamax",
    "Adafactor",
    "Nadam",
    "Ftrl",
    "Lion",
    "Lamb",
    "Muon",
)
_CLASSES = "sparse_categorical_crossentropy"


def of_digits(optimizer):
    x, y = digits()
    model = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    return ready(model, optimizer, _CLASSES, x, y, ["accuracy"], epochs=35)


def of_numbers(optimizer):
    x, y = kept_data.friedman(960)
    model = dense((10,), (64, "tanh"), (64, "tanh"), (1, None))
    return ready(model, optimizer, "mse", x, y, epochs=66)


def of_images(optimizer):
    x, y = kept_data.stripes(480, 10)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Conv2D(16, 3, 2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(32, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    return ready(model, optimizer, _CLASSES, x, y, ["accuracy"], epochs=133)


NETWORKS = (of_digits, of_numbers, of_images)


def run(name, network, seed):
    """Train a network with an optimizer, watched, and return its line."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model, x, y, fit = network(getattr(keras.optimizers, name)())
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, verbose=0, **fit, callbacks=[monitor])
    report = monitor.report()
    return {
        "optimizer": name,
        "network": network.__name__,
        "seed": seed,
        "rate": float(model.optimizer.learning_rate),
        "gain": gain(model, x, y),
        "healthy": report.healthy,
        "told": [f.rule for f in report.ranked if f.cause is None],
        "words": [f.message for f in report.ranked][:1],
        "steps": int(report.trace.records_seen),
    }


def score(lines):
    """Print the table, and how many of those that learnt are silent."""
    print("| optimizer | rate | digits | numbers | images |")
    print("|---|---|---|---|---|")
    for name in OPTIMIZERS:
        own = [line for line in lines if line["optimizer"] == name]
        cells = [
            ", ".join(_cell(e) for e in own if e["network"] == n.__name__)
            for n in NETWORKS
        ]
        if own:
            print(f"| {name} | {own[0]['rate']:g} | {' | '.join(cells)} |")
    good = [line for line in lines if line["gain"] >= LEARNT]
    rest = [line for line in lines if not line["gain"] >= LEARNT]
    flagged = sum(line["healthy"] is False for line in good)
    told = sum(line["healthy"] is False for line in rest)
    print(f"learnt: {len(good)}, of them flagged {flagged}")
    print(f"did not learn: {len(rest)}, of them told {told}")


def _cell(line):
    told = line["told"][0] if line["told"] else "silent"
    return f"{line['gain']:.2f} {told}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--out", default="optimizers.jsonl")
    arguments = parser.parse_args()
    out, lines = pathlib.Path(arguments.out), []
    if out.exists():
        lines = [json.loads(text) for text in out.read_text().splitlines()]
    done = {(e["optimizer"], e["network"], e["seed"]) for e in lines}
    for name in OPTIMIZERS:
        for network in NETWORKS:
            for seed in map(int, arguments.seeds.split(",")):
                key = name, network.__name__, seed
                if arguments.only not in name or key in done:
                    continue
                lines.append(run(name, network, seed))
                print(*lines[-1].values(), flush=True)
                with out.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    score(lines)


if __name__ == "__main__":
    main()
