"""Two famous sick networks and their cures, on data of scikit-learn."""

import dataclasses
from collections.abc import Callable

import keras
from keras import initializers
from keras import layers

from keras_gradguard._optional import require

_OWNER = "keras_gradguard demo"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A network to train, and what is known of it.

    Attributes:
        name: Name of its run directory.
        title: What it is, in words.
        sick: Whether it cannot learn.
        epochs: After so many a healed one has learned.
        data: Function that returns `(x, y)`.
        build: Function that returns the compiled model.
    """

    name: str
    title: str
    sick: bool
    epochs: int
    data: Callable
    build: Callable


def circles():
    """Return two noisy circles in (-1, 1), 500 points, and their classes."""
    datasets = require("sklearn.datasets", "demo", _OWNER)
    x, y = datasets.make_circles(n_samples=1000, noise=0.1, random_state=1)
    low, high = x.min(axis=0), x.max(axis=0)
    x = 2 * (x - low) / (high - low) - 1
    return x[:500].astype("float32"), y[:500].astype("float32")


def moons():
    """Return two half moons, 250 points, and their classes."""
    datasets = require("sklearn.datasets", "demo", _OWNER)
    x, y = datasets.make_moons(n_samples=250, noise=0.05, random_state=42)
    return x.astype("float32"), y.astype("float32")


def circles_sick():
    """Five tanh layers of width 5 whose weights all start positive.

    Positive weights add up instead of cancelling, so tanh runs into its flat
    ends, and the gradient loses a part of itself in each layer.
    """

    def positive():
        return initializers.RandomUniform(0, 1)

    hidden = [
        layers.Dense(
            5,
            activation="tanh",
            kernel_initializer=positive(),
            name=f"tanh_{at}",
        )
        for at in range(1, 6)
    ]
    outputs = [
        layers.Dense(
            1, activation="sigmoid", kernel_initializer=positive(), name=name
        )
        for name in ("sigmoid", "output")
    ]
    return _classifier("circles_sick", [*hidden, *outputs], _sgd())


def circles_healed():
    """The same five layers with ReLU and He's initializer."""
    return _classifier("circles_healed", _stack("relu", 5, 5, "he"), _sgd())


def moons_sick():
    """Nine sigmoid layers: each passes at most a quarter of the gradient."""
    return _classifier("moons_sick", _stack("sigmoid", 9, 10), "adam")


def moons_relu():
    """The same nine layers with ReLU."""
    return _classifier("moons_relu", _stack("relu", 9, 10), "adam")


def moons_two_sigmoid():
    """Two sigmoid layers instead of nine."""
    return _classifier("moons_two_sigmoid", _stack("sigmoid", 2, 10), "adam")


CASES = {
    "circles": (
        Case(
            "circles_sick",
            "Circles: five tanh layers, all weights positive at the start",
            True,
            60,
            circles,
            circles_sick,
        ),
        Case(
            "circles_healed",
            "Circles, healed: five ReLU layers with He initialization",
            False,
            60,
            circles,
            circles_healed,
        ),
    ),
    "moons": (
        Case(
            "moons_sick",
            "Moons: nine sigmoid layers",
            True,
            60,
            moons,
            moons_sick,
        ),
        Case(
            "moons_relu",
            "Moons, healed: nine ReLU layers",
            False,
            60,
            moons,
            moons_relu,
        ),
        Case(
            "moons_two_sigmoid",
            "Moons, healed: two sigmoid layers instead of nine",
            False,
            100,
            moons,
            moons_two_sigmoid,
        ),
    ),
}


def _stack(activation, count, units, initializer=None):
    kernel = "he_uniform" if initializer == "he" else "glorot_uniform"
    hidden = [
        layers.Dense(
            units,
            activation=activation,
            kernel_initializer=kernel,
            name=f"{activation}_{at}",
        )
        for at in range(1, count + 1)
    ]
    return [*hidden, layers.Dense(1, activation="sigmoid", name="output")]


def _classifier(name, stack, optimizer):
    model = keras.Sequential([keras.Input((2,)), *stack], name=name)
    model.compile(
        optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"]
    )
    return model


def _sgd():
    return keras.optimizers.SGD(0.01, momentum=0.9)
