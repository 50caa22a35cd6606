"""Time of `kgg.check` against a fit of three epochs of the same program.

    KERAS_BACKEND=jax python benchmarks/check_cost.py [--only NAME]
        [--before CHECKOUT]

Small programs as people publish them. Each number is taken in a process of its
own, which compiles everything anew, by turns. A fit of a tiny net comes first,
so that what Keras does once in a process is in no number. CPU time, of all
threads, is disturbed less by what else runs. `--before` names a checkout of an
earlier version, which takes its turn. The bar: half of the fit or two seconds,
whichever is more.
"""

import json
import os
import pathlib
import sys
import time

from apart import BEFORE
from apart import by_turns
from apart import head
from apart import medians
from apart import options

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = pathlib.Path(__file__).resolve().parent.parent
_ROWS = 64
# Of `models`, and of the programs that the tests of `check` leave alone.
_MODELS = ("tiny_mlp", "wide_mlp", "cnn", "transformer")
_PROGRAMS = (
    "conv_autoencoder",
    "unet",
    "resnet",
    "mbconv",
    "mixer",
    "text_transformer",
    "lstm_forecast",
    "gru_words",
    "encoder_decoder",
    "layer_without_config",
    "functional_subclass",
    "pretrained_backbone",
)


def program(name):
    """Return a compiled model and its data."""
    import keras

    keras.utils.set_random_seed(0)
    if name in _MODELS:
        import models

        builder, _ = models.MODELS[name]
        model, data, loss, _ = builder()
        model.compile(keras.optimizers.Adam(1e-4), loss)
        return (model, *data(_ROWS))
    sys.path.append(str(ROOT))
    from tests.preflight import programs

    return getattr(programs, name)()


def one(name, way):
    """Time one way in this process, and print the line."""
    import keras
    import numpy as np

    import keras_gradguard as kgg

    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    small.compile("sgd", "mse")
    small.fit(np.zeros((4, 2)), np.zeros(4), verbose=0)
    model, x, y = program(name)
    kgg.check  # noqa: B018  imports what it needs
    start = time.perf_counter(), time.process_time()
    if way == "fit":
        model.fit(x, y, epochs=3, verbose=0)
        said = []
    else:
        said = [finding.rule for finding in kgg.check(model, x, y).findings]
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(json.dumps({"wall": wall, "cpu": cpu, "said": said}))


def main():
    arguments = options(__doc__, runs=1).parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    ways = ["fit", "check", *([BEFORE] if arguments.before else [])]
    head(
        "program",
        *(f"{way}, s (CPU)" for way in ways),
        *(f"{way} / fit (CPU)" for way in ways[1:]),
        "within the bar",
    )
    names = _MODELS + _PROGRAMS
    for name, lines in by_turns(__file__, names, ("fit", "check"), arguments):
        print(_row(name, lines), flush=True)


def _row(name, lines):
    taken = medians(lines, "wall", "cpu")
    cells = [f"{wall:.2f} ({cpu:.2f})" for wall, cpu in taken.values()]
    for both in list(taken.values())[1:]:
        pair = zip(both, taken["fit"], strict=True)
        cells.append("{:.2f} ({:.2f})".format(*(a / b for a, b in pair)))
    within = [
        "yes" if checked <= max(2, fit / 2) else "no"
        for checked, fit in zip(taken["check"], taken["fit"], strict=True)
    ]
    cells.append("{} ({})".format(*within))
    said = [runs[-1]["said"] for way, runs in lines.items() if way != "fit"]
    if any(other != said[0] for other in said):
        cells[-1] += ", says something else"
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
