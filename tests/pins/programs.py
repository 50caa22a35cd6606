"""Small programs, sick and healthy, whose diagnoses are pinned.

Weights are drawn by NumPy, so that a model starts the same on each backend.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import initializers
from keras import layers
from keras import optimizers

import keras_gradguard as kgg
from keras_gradguard.demo import cases as demo


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What `fit` and `check` need.

    `model` returns a compiled model, `data` returns `(x, y)`.
    """

    name: str
    model: Callable
    data: Callable
    epochs: int
    batch_size: int = 32


def build(program):
    """Return the model with weights that NumPy drew."""
    model = program.model()
    rng = np.random.default_rng(7)
    for layer in model.layers:
        for variable in layer.trainable_variables:
            name = variable.path.rsplit("/", maxsplit=1)[-1]
            initializer = getattr(layer, f"{name}_initializer", None)
            values = _draw(initializer, variable.shape, rng)
            if values is not None:
                variable.assign(values.astype("float32"))
    return model


def _draw(initializer, shape, rng):
    if isinstance(initializer, initializers.VarianceScaling):
        fan_in = float(np.prod(shape[:-1]))
        fan_out = float(np.prod(shape[:-2]) * shape[-1])
        fans = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
        }
        variance = initializer.scale / fans[initializer.mode]
        if initializer.distribution == "uniform":
            return rng.uniform(-1, 1, shape) * np.sqrt(3 * variance)
        return rng.normal(size=shape) * np.sqrt(variance)
    if isinstance(initializer, initializers.RandomUniform):
        return rng.uniform(initializer.minval, initializer.maxval, shape)
    if isinstance(initializer, initializers.RandomNormal):
        return initializer.mean + initializer.stddev * rng.normal(size=shape)
    return None  # a constant


def train(program, **arguments):
    """Train under a `GradientMonitor` and return it."""
    keras.utils.set_random_seed(3)
    monitor = kgg.GradientMonitor(verbose=0, **arguments)
    x, y = program.data()
    build(program).fit(
        x,
        y,
        batch_size=program.batch_size,
        epochs=program.epochs,
        verbose=0,
        shuffle=False,
        callbacks=[monitor],
    )
    return monitor


def dense(units, activation, name, **arguments):
    return layers.Dense(units, activation=activation, name=name, **arguments)


def stack(inputs, hidden, output, optimizer, loss):
    """Return a compiled `Sequential`; `hidden` and `output` are layers."""
    model = keras.Sequential([keras.Input(inputs), *hidden, output], name="net")
    model.compile(optimizer, loss)
    return model


# Data


def signs(scale=1.0, rows=192):
    """Eight features; the class is whether the first two have one sign."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(rows, 8))
    y = (x[:, 0] * x[:, 1] > 0).astype("float32")
    return (scale * x).astype("float32"), y


def numbers(scale=1.0, offset=0.0):
    """Eight features and a target that is nearly linear in them."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(192, 8))
    y = x @ rng.normal(size=(8, 1)) + 0.1 * rng.normal(size=(192, 1))
    return x.astype("float32"), (scale * y + offset).astype("float32")


def noise():
    """Targets that nothing tells: a fair coin."""
    rng = np.random.default_rng(13)
    x = rng.normal(size=(192, 8)).astype("float32")
    return x, rng.integers(0, 2, 192).astype("float32")


def with_nan():
    x, y = numbers()
    x[70, 3] = np.nan
    return x, y


def three_classes():
    rng = np.random.default_rng(14)
    x = rng.normal(size=(192, 8)).astype("float32")
    return x, np.argmax(x[:, :3], axis=1)


def pictures():
    """Stripes that lie or stand, 8 x 8."""
    rng = np.random.default_rng(15)
    y = rng.integers(0, 2, 128)
    lying = np.broadcast_to(np.sin(np.arange(8.0))[:, None], (8, 8))
    x = np.where(y[:, None, None] == 1, lying, lying.T)
    x = x + 0.3 * rng.normal(size=(128, 8, 8))
    return x[..., None].astype("float32"), y.astype("float32")


# Models


def dead_relu():
    hidden = [
        dense(16, "relu", "alive"),
        dense(
            16,
            "relu",
            "dying",
            bias_initializer=initializers.Constant(-20.0),
        ),
    ]
    output = dense(1, "sigmoid", "output")
    return stack((8,), hidden, output, "adam", "binary_crossentropy")


def vanishing_sigmoid():
    hidden = [dense(12, "sigmoid", f"sigmoid_{at}") for at in range(10)]
    output = dense(1, "sigmoid", "output")
    sgd = optimizers.SGD(0.1)
    return stack((8,), hidden, output, sgd, "binary_crossentropy")


def exploding():
    wide = initializers.VarianceScaling(6.0, "fan_in", "truncated_normal")
    hidden = [
        dense(24, "relu", f"relu_{at}", kernel_initializer=wide.clone())
        for at in range(8)
    ]
    output = dense(1, None, "output")
    return stack((8,), hidden, output, optimizers.SGD(0.01), "mse")


def sign_network(activation="relu", optimizer="adam"):
    hidden = [dense(16, activation, f"hidden_{at}") for at in range(2)]
    output = dense(1, "sigmoid", "output")
    return stack((8,), hidden, output, optimizer, "binary_crossentropy")


def number_network(optimizer="adam"):
    hidden = [dense(16, "relu", f"hidden_{at}") for at in range(2)]
    return stack((8,), hidden, dense(1, None, "output"), optimizer, "mse")


def output_mismatch():
    hidden = [dense(16, "relu", "hidden")]
    output = dense(1, "softmax", "output")
    return stack((8,), hidden, output, "adam", "binary_crossentropy")


def sigmoid_for_numbers():
    hidden = [dense(16, "relu", "hidden")]
    return stack((8,), hidden, dense(1, "sigmoid", "output"), "adam", "mse")


def relu_output():
    hidden = [dense(16, "relu", "hidden")]
    output = dense(3, "relu", "output")
    loss = "sparse_categorical_crossentropy"
    return stack((8,), hidden, output, "adam", loss)


def frozen_layer():
    """A branch whose units are all dead, beside one that learns."""
    inputs = keras.Input((8,))
    front = dense(16, "relu", "front")(inputs)
    dead = dense(
        8, "relu", "branch_in", bias_initializer=initializers.Constant(-30.0)
    )(front)
    dead = dense(8, "linear", "branch_out")(dead)
    joined = layers.Concatenate(name="join")([front, dead])
    outputs = dense(1, "sigmoid", "output")(joined)
    model = keras.Model(inputs, outputs, name="net")
    model.compile("adam", "binary_crossentropy")
    return model


def constant_weights():
    hidden = [
        dense(16, "tanh", f"tanh_{at}", kernel_initializer="zeros")
        for at in range(3)
    ]
    output = dense(1, "sigmoid", "output")
    return stack((8,), hidden, output, "adam", "binary_crossentropy")


def saturated():
    far = initializers.RandomNormal(stddev=3.0)
    hidden = [
        dense(16, "tanh", f"tanh_{at}", kernel_initializer=far.clone())
        for at in range(3)
    ]
    output = dense(1, "sigmoid", "output")
    sgd = optimizers.SGD(1e-4)
    return stack((8,), hidden, output, sgd, "binary_crossentropy")


def plateau():
    # The sum of sigmoids hides the inputs from the output.
    hidden = [
        dense(8, "sigmoid", "hidden_0"),
        layers.GaussianNoise(1e-6, name="noise", seed=1),
        dense(8, "sigmoid", "hidden_1"),
    ]
    output = dense(1, "sigmoid", "output")
    sgd = optimizers.SGD(0.02)
    return stack((8,), hidden, output, sgd, "binary_crossentropy")


def clipping():
    norm = kgg.AutoClip(optimizers.SGD(0.05), kgg.clippers.FixedNorm(1e-3))
    return number_network(norm)


def convolutional():
    hidden = [
        layers.Conv2D(8, 3, activation="relu", name="conv_0"),
        layers.Conv2D(8, 3, name="conv_1"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.GlobalAveragePooling2D(name="pool"),
    ]
    output = dense(1, "sigmoid", "output")
    return stack((8, 8, 1), hidden, output, "adam", "binary_crossentropy")


def _own():
    return [
        Program("healthy", sign_network, signs, 15),
        Program("healthy_regression", number_network, numbers, 15),
        Program("convolutional", convolutional, pictures, 12),
        Program("dead_relu", dead_relu, signs, 25),
        Program("vanishing_sigmoid", vanishing_sigmoid, signs, 20),
        Program("exploding", exploding, numbers, 10),
        Program("nan_data", number_network, with_nan, 5),
        Program("output_mismatch", output_mismatch, signs, 20),
        Program("short_output", sigmoid_for_numbers, numbers, 20),
        Program("relu_output", relu_output, three_classes, 20),
        Program(
            "unscaled_inputs",
            lambda: sign_network(optimizer=optimizers.SGD(0.05)),
            lambda: signs(1000.0),
            20,
        ),
        Program(
            "unscaled_targets",
            lambda: number_network(optimizers.SGD(0.01)),
            lambda: numbers(300.0, 5000.0),
            20,
        ),
        Program("frozen_layer", frozen_layer, signs, 40),
        Program(
            "zero_rate",
            lambda: sign_network(optimizer=optimizers.SGD(0.0)),
            signs,
            60,
        ),
        Program("constant_weights", constant_weights, signs, 15),
        Program("saturated", saturated, signs, 60),
        Program("plateau", plateau, noise, 110),
        Program(
            "oscillating",
            lambda: sign_network("tanh", optimizers.Adam(0.5)),
            signs,
            40,
        ),
        Program(
            "slow",
            lambda: sign_network(optimizer=optimizers.SGD(1e-6)),
            signs,
            60,
        ),
        Program(
            "large_steps",
            lambda: sign_network("tanh", optimizers.SGD(30.0)),
            noise,
            40,
        ),
        Program("clipping", clipping, numbers, 100),
    ]


def _demo():
    return [
        Program(case.name, case.build, case.data, 15)
        for pair in demo.CASES.values()
        for case in pair
    ]


PROGRAMS = {program.name: program for program in [*_demo(), *_own()]}
