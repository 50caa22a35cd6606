"""Trains the models that the pictures of the documentation show."""

import sys

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.datasets import make_moons

import keras_gradguard as kgg


class Block(layers.Layer):
    """Two dense layers; with a skip connection, unless that was forgotten."""

    def __init__(self, width, activation, skip, **arguments):
        super().__init__(**arguments)
        self.skip = skip
        start = "he_normal" if skip else "glorot_uniform"
        self.parts = [
            layers.Dense(
                width, activation, kernel_initializer=start, name="expand"
            ),
            layers.Dense(width, None if skip else activation, name="project"),
        ]

    def build(self, shape):
        for part in self.parts:
            part.build(shape)

    def call(self, x):
        y = self.parts[1](self.parts[0](x))
        # Scaled, so that the signal stays as large over all blocks.
        return x + 0.1 * y if self.skip else y


class Stage(layers.Layer):
    """Blocks in a row."""

    def __init__(self, count, width, activation, skip, **arguments):
        super().__init__(**arguments)
        self.blocks = [
            Block(width, activation, skip, name=f"block_{at + 1:02}")
            for at in range(count)
        ]

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def backbone():
    """200 dense layers in stages; stage 2 has sigmoids and lacks its skips."""
    stages = [
        Stage(25, 32, "relu", True, name="stage_1"),
        Stage(12, 32, "sigmoid", False, name="stage_2"),
        Stage(31, 32, "relu", True, name="stage_3"),
        Stage(31, 32, "relu", True, name="stage_4"),
    ]
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, name="stem"),
            *stages,
            layers.Dense(10, "softmax", name="head"),
        ],
        name="backbone",
    )


def resnet(blocks=29):
    """A ResNet of 60 layers with kernels, for digits of 8 x 8."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(x))
    width, inside = 8, {1: 0, 2: 0, 3: 0}
    for at in range(blocks):
        stage = 1 + 3 * at // blocks
        inside[stage] += 1
        name = f"stage{stage}_block{inside[stage]}"
        stride = 2 if stage > 1 and inside[stage] == 1 else 1
        skip = x
        if stride > 1:
            width *= 2
            skip = layers.AveragePooling2D(2)(skip)
            skip = layers.Concatenate()([skip, skip])
        for part in (1, 2):
            x = layers.Conv2D(
                width,
                3,
                strides=stride if part == 1 else 1,
                padding="same",
                use_bias=False,
                name=f"{name}_conv{part}",
            )(x)
            x = layers.BatchNormalization(name=f"{name}_bn{part}")(x)
            x = layers.ReLU()(x) if part == 1 else layers.Add()([x, skip])
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(10, "softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="resnet")


def dense(count, activation):
    """A net of so many layers of ten units, the last of them one sigmoid."""
    hidden = [
        layers.Dense(10, activation, name=f"h{at}") for at in range(1, count)
    ]
    output = layers.Dense(1, "sigmoid", name="output")
    return keras.Sequential([keras.Input((2,)), *hidden, output], name="net")


def recurrent():
    """A recurrent net that has to remember its first input for 100 steps."""
    return keras.Sequential(
        [
            keras.Input((100, 1)),
            layers.SimpleRNN(16, name="rnn"),
            layers.Dense(1, "sigmoid", name="output"),
        ],
        name="memory",
    )


def moons():
    """250 points in the plane, of two classes."""
    return make_moons(250, noise=0.05, random_state=42)


def digits(image=False):
    """1,797 digits, scaled to 0 to 1."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return x.reshape(-1, 8, 8, 1) if image else x, y


def remember():
    """Noise, and whether its first value is positive."""
    x = np.random.default_rng(0).normal(size=(256, 100, 1)).astype("float32")
    return x, (x[:, 0, 0] > 0).astype("float32")


def fit(folder, name, make, data, optimizer, loss, epochs, batch, **monitor):
    """Train a model with a seed of its own, and keep its run directory."""
    keras.utils.set_random_seed(1)
    model = make()
    model.compile(optimizer, loss)
    callback = kgg.GradientMonitor(
        log_dir=folder / name, on_finding="ignore", verbose=0, **monitor
    )
    x, y = data
    model.fit(
        *(x, y),
        epochs=epochs,
        batch_size=batch,
        validation_split=0.1,
        verbose=0,
        callbacks=[callback],
    )
    verdict = callback.report().verdict
    sys.stdout.write(f"{name}: {verdict}\n")
    sys.stdout.flush()


_BINARY = "binary_crossentropy"
_MANY = "sparse_categorical_crossentropy"


def train(folder):
    """Train all models whose run is not there yet.

    Args:
        folder: Path. Each run has a directory in it.
    """
    binary, many = _BINARY, _MANY
    adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
    runs = {
        "moons_sigmoid": (
            *(lambda: dense(6, "sigmoid"), moons(), "adam", binary),
            *(20, 32),
        ),
        "moons_relu": (
            *(lambda: dense(6, "relu"), moons(), "adam", binary, 20, 32),
        ),
        "moons_tanh": (
            *(lambda: dense(6, "tanh"), moons(), "adam", binary, 30, 32),
        ),
        "ten_sigmoid": (
            *(lambda: dense(10, "sigmoid"), moons(), "adam", binary, 20, 32),
        ),
        "ten_relu": (
            *(lambda: dense(10, "relu"), moons(), "adam", binary, 20, 32),
        ),
        "resnet": (resnet, digits(True), adam(1e-3), many, 8, 64),
        "backbone": (backbone, digits(), adam(3e-4), many, 193, 31),
        "too_fast": (
            *(lambda: dense(6, "relu"), moons(), sgd(1e6), binary, 5, 32),
        ),
        "memory": (recurrent, remember(), adam(1e-3), binary, 60, 32),
    }
    for name, run in runs.items():
        if (folder / name / "trace.npz").is_file():
            continue
        extra = {"through_time": True} if name == "memory" else {}
        fit(folder, name, *run, **extra)
