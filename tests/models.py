"""Small models of many makes, with data."""

import keras
import numpy as np
from keras import layers
from keras import ops


def dataset(rows=64, features=8, classes=3, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype("float32")
    return x, random.integers(0, classes, rows).astype("int32")


def mlp(width=16, depth=2, features=8, classes=3, activation="tanh"):
    model = keras.Sequential([keras.Input((features,))])
    for _ in range(depth):
        model.add(layers.Dense(width, activation=activation))
    model.add(layers.Dense(classes))
    return model


def images(rows=48, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 8, 8, 3)).astype("float32")
    return x, random.integers(0, 3, rows).astype("int32")


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def tokens(rows=48, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(0, 5, (rows, 6)).astype("int32")
    return x, random.integers(0, 3, rows).astype("int32")


def embedding():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )


def nested_and_shared():
    """A functional model with a nested model that is called twice."""
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(4)],
        name="inner",
    )
    inputs = keras.Input((8,))
    left = inner(layers.Dense(4, name="left")(inputs))
    right = inner(layers.Dense(4, name="right")(inputs))
    outputs = layers.Dense(3, name="head")(layers.Add()([left, right]))
    return keras.Model(inputs, outputs)


class Subclassed(keras.Model):
    """Layers made in another order than they are called in."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(3, name="head")
        self.body = layers.Dense(8, activation="relu", name="body")
        self.unused = layers.Dense(2, name="unused")
        self.unused.build((None, 8))

    def call(self, x):
        return self.head(self.body(x))


class CustomStep(keras.Model):
    """A functional model with a train step of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def to_numpy(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]
