"""Cost of watching a first fit, which compiles: watched over plain.

Each fit is the first one of a process of its own, so that nothing has been
compiled. Processes take turns: plain, then watched. The time is that of `fit`,
of a few steps, without the imports; the last column compares CPU time, which
other programs on the machine disturb less. `--before` names a checkout of an
earlier version, whose watched fits take their turn as well.

    KERAS_BACKEND=jax python benchmarks/first_fit.py --models cnn transformer
    KERAS_BACKEND=jax python benchmarks/first_fit.py --before ../earlier
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 4


def first_fit(name, watched):
    """Return the seconds that a first fit takes here, and its CPU time."""
    import keras
    from models import MODELS

    import keras_gradguard as kgg

    builder, _ = MODELS[name]
    keras.utils.set_random_seed(0)
    model, data, loss, batch_size = builder()
    x, y = data(STEPS * batch_size)
    # What Keras itself does once in a process is no cost of watching.
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    small.compile("sgd", "mse")
    small.fit(x[:4].reshape(4, -1)[:, :2], x[:4].ravel()[:4], verbose=0)
    model.compile(keras.optimizers.Adam(1e-4), loss)
    callbacks = [kgg.GradientMonitor(verbose=0)] if watched else []
    start = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch_size, verbose=0, callbacks=callbacks)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def in_process(name, way, folder):
    """Return what `first_fit` does in a process of its own."""
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    told = subprocess.run(
        [sys.executable, __file__, "--one", name, way],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(map(float, told.stdout.split()[-2:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--models", nargs="*", default=["tiny_mlp", "cnn", "transformer"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", help="checkout of an earlier version")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, way = arguments.one
        print(*first_fit(name, way != "plain"))
        return
    ways = {"plain": HERE.parent, "watched": HERE.parent}
    if arguments.before:
        ways["watched before"] = pathlib.Path(arguments.before).resolve()
    names = ["model", *ways, "ratios", "CPU"]
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    for name in arguments.models:
        seconds = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, folder in ways.items():
                seconds[way].append(in_process(name, way, folder))
        medians = {
            way: [statistics.median(each) for each in zip(*taken, strict=True)]
            for way, taken in seconds.items()
        }
        row = [f"{wall:.2f} s" for wall, _ in medians.values()]
        for i in range(2):
            plain, *others = (both[i] for both in medians.values())
            row.append(", ".join(f"{other / plain:.2f}" for other in others))
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
