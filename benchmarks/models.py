"""The models of the cost benchmarks, with data of the right shape."""

import keras
import numpy as np
from keras import layers


def tiny_mlp():
    """Ten layers of width 10, batch 32: a step is all framework overhead."""
    model = keras.Sequential([keras.Input((10,))])
    for _ in range(9):
        model.add(layers.Dense(10, activation="relu"))
    model.add(layers.Dense(1))
    return model, _data((10,), (1,)), "mse", 32


def wide_mlp():
    """Four layers of width 512, batch 256."""
    model = keras.Sequential([keras.Input((512,))])
    for _ in range(4):
        model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(10))
    return model, _data((512,), 10), _crossentropy(), 256


def cnn():
    """Six convolutions with batch normalisation on 32x32x3, batch 32."""
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for i, filters in enumerate((16, 16, 32, 32, 64, 64)):
        stride = 2 if i % 2 else 1
        model.add(
            layers.Conv2D(
                filters, 3, strides=stride, padding="same", use_bias=False
            )
        )
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10))
    return model, _data((32, 32, 3), 10), _crossentropy(), 32


def deep_mlp():
    """A hundred layers of width 64, batch 64: as much to write as to train."""
    model = keras.Sequential([keras.Input((64,))])
    for _ in range(99):
        model.add(
            layers.Dense(64, activation="relu", kernel_initializer="he_normal")
        )
    model.add(layers.Dense(10))
    return model, _data((64,), 10), _crossentropy(), 64


def transformer():
    """Four blocks, d=128, sequence of 64, batch 16."""
    inputs = keras.Input((64,), dtype="int32")
    x = layers.Embedding(1000, 128)(inputs)
    for _ in range(4):
        attended = layers.MultiHeadAttention(4, 32)(x, x)
        x = layers.LayerNormalization()(x + attended)
        y = layers.Dense(512, activation="gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(128)(y))
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    model = keras.Model(inputs, outputs)

    def data(rows):
        random = np.random.default_rng(0)
        return (
            random.integers(0, 1000, (rows, 64)).astype("int32"),
            random.integers(0, 10, rows),
        )

    return model, data, _crossentropy(), 16


def dense_1e8():
    """A hundred million parameters, batch 32: with Adam 1.6 GiB."""
    model = keras.Sequential([keras.Input((5000,))])
    for _ in range(4):
        model.add(
            layers.Dense(
                5000, activation="relu", kernel_initializer="he_normal"
            )
        )
    return model, _data((5000,), (5000,)), "mse", 32


def _crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _data(shape, target):
    def data(rows):
        random = np.random.default_rng(0)
        x = random.normal(size=(rows, *shape)).astype("float32")
        if isinstance(target, int):
            return x, random.integers(0, target, rows)
        return x, random.normal(size=(rows, *target)).astype("float32")

    return data


# name: (builder, steps of one timed fit)
MODELS = {
    "tiny_mlp": (tiny_mlp, 3000),
    "wide_mlp": (wide_mlp, 120),
    "cnn": (cnn, 60),
    "transformer": (transformer, 40),
    "deep_mlp": (deep_mlp, 300),
    "dense_1e8": (dense_1e8, 40),
}
# Taken only where they are asked for.
LARGE = ("dense_1e8",)
