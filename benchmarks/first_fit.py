"""Cost of watching a first fit, which compiles: watched over plain.

Each fit is the first one of a process of its own, so that nothing has been
compiled. Processes take turns: plain, then watched. The time is that of `fit`,
of a few steps, without the imports; the last column compares CPU time, which
other programs on the machine disturb less. `--before` names a checkout of an
earlier version, whose watched fits take their turn as well.

    KERAS_BACKEND=jax python benchmarks/first_fit.py --models cnn transformer
    KERAS_BACKEND=jax python benchmarks/first_fit.py --before ../earlier
"""

import json
import time

from apart import BEFORE
from apart import by_turns
from apart import head
from apart import medians
from apart import options
from memory import mark_peak
from memory import peak

STEPS = 4


def first_fit(name, callbacks=(), optimizer=None, jit="auto"):
    """Return what a first fit takes here: seconds, CPU seconds, peak in MiB.

    Args:
        name: Name of the model.
        callbacks: List of callbacks.
        optimizer: Its optimizer. Defaults to Adam.
        jit: Its `jit_compile`.
    """
    import keras
    from models import MODELS

    builder, _ = MODELS[name]
    keras.utils.set_random_seed(0)
    model, data, loss, batch_size = builder()
    x, y = data(STEPS * batch_size)
    # What Keras itself does once in a process is no cost of watching.
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    small.compile("sgd", "mse")
    small.fit(x[:4].reshape(4, -1)[:, :2], x[:4].ravel()[:4], verbose=0)
    optimizer = optimizer or keras.optimizers.Adam(1e-4)
    model.compile(optimizer, loss, jit_compile=jit)
    mark_peak()
    start = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch_size, verbose=0, callbacks=callbacks)
    return {
        "wall": time.perf_counter() - start[0],
        "cpu": time.process_time() - start[1],
        "peak": peak(),
    }


def one(name, way):
    """Time a first fit in this process, and print the line."""
    import keras_gradguard as kgg

    watched = [] if way == "plain" else [kgg.GradientMonitor(verbose=0)]
    print(json.dumps(first_fit(name, watched)))


def main():
    parser = options(__doc__, runs=5)
    parser.add_argument(
        "--models", nargs="*", default=["tiny_mlp", "cnn", "transformer"]
    )
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    ways = ("plain", "watched")
    before = [BEFORE] if arguments.before else []
    head("model", *ways, *before, "ratios", "CPU")
    for name, lines in by_turns(__file__, arguments.models, ways, arguments):
        taken = medians(lines, "wall", "cpu")
        row = [f"{wall:.2f} s" for wall, _ in taken.values()]
        for i in range(2):
            plain, *others = (both[i] for both in taken.values())
            row.append(", ".join(f"{other / plain:.2f}" for other in others))
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
