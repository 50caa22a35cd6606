"""More programs: precision, added losses, validation, and pairs of networks.

They go into `SICK` and `HEALTHY`, as those of `field_sick`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_healthy import healthy
from detection.field_sick import sick
from detection.gan import GAN
from detection.gan import LATENT

_CLASSES = "sparse_categorical_crossentropy"
_Adam = keras.optimizers.Adam


def shuffled():
    """Return the digits in a random order."""
    x, y = digits()
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order]


# 8: half precision, added losses, a clip under a large epsilon


@sick("A8", "update_ratio", "nonfinite_gradient")
def float16_under_adam():
    x, y = digits()
    model = dense(
        (64,),
        layers.Dense(48, "relu", dtype="float16"),
        layers.Dense(48, "relu", dtype="float16"),
        layers.Dense(10, dtype="float16"),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, "adam", loss, x.astype("float16"), y, epochs=10)


class Penalised(layers.Dense):
    """A layer that adds a loss of its own."""

    def call(self, inputs):
        self.add_loss(0.5 * ops.sum(ops.square(self.kernel)))
        return super().call(inputs)


@sick("A8", "update_ratio")
def added_loss_outweighs():
    x, y = digits()
    model = dense(
        (64,), Penalised(48, "relu"), Penalised(48, "relu"), (10, "softmax")
    )
    return ready(model, "adam", _CLASSES, x, y, epochs=15)


@sick("A8", "clipping")
def clipnorm_under_large_epsilon():
    x, y = digits()
    optimizer = _Adam(1e-3, epsilon=0.1, clipnorm=1e-4)
    model = dense((64,), (48, "relu"), (10, "softmax"))
    return ready(model, optimizer, _CLASSES, x, y, ["accuracy"], epochs=15)


# 9: a rare class by number; validation that cannot be


@sick("A9", "output_mismatch")
def rare_class_by_number():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 8)).astype("float32")
    y = np.zeros(3000, "int32")
    y[rng.choice(3000, 9, False)] = 1
    model = dense((8,), (32, "relu"), (2, "softmax"))
    return ready(model, "adam", _CLASSES, x, y, ["accuracy"], epochs=8)


@sick("A9", "output_mismatch")
def validation_of_other_classes():
    x, y = digits()
    order = np.argsort(y, kind="stable")
    model = dense((64,), (48, "relu"), (10, "softmax"))
    return ready(
        model,
        "adam",
        _CLASSES,
        x[order],
        y[order],
        ["accuracy"],
        epochs=12,
        validation_split=0.2,
    )


def normalised(momentum):
    return [
        layers.Conv2D(16, 3, use_bias=False),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
        layers.Conv2D(16, 3),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    ]


def with_averages(momentum, scale, offset):
    x, y = shuffled()
    x = x.reshape(-1, 8, 8, 1) * scale + offset
    return ready(
        dense((8, 8, 1), *normalised(momentum)),
        _Adam(3e-3),
        _CLASSES,
        x,
        y,
        ["accuracy"],
        epochs=6,
        batch_size=64,
        validation_split=0.2,
    )


@sick("A9", "frozen_layer")
def averages_of_few_updates():
    return with_averages(0.999, 10, 5)


@healthy("A9")
def averages_that_follow():
    return with_averages(0.9, 1, 0)


@healthy("A9")
def overfitting():
    x, y = shuffled()
    model = dense((64,), (256, "relu"), (256, "relu"), (10, "softmax"))
    return ready(
        model,
        "adam",
        _CLASSES,
        x[:300],
        y[:300],
        ["accuracy"],
        epochs=40,
        validation_split=0.3,
    )


# 11: two networks; not for JAX, see `gan`


def pair(d_rate, g_rate, epochs):
    generator = dense((LATENT,), (32, "relu"), (8, None))
    discriminator = dense((8,), (64, "relu"), (64, "relu"), (1, None))
    model = GAN(generator, discriminator)
    model.compile(_Adam(d_rate), _Adam(g_rate))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1280, 2)) @ rng.normal(size=(2, 8)) + 3
    return model, x.astype("float32"), None, {"epochs": epochs}


@healthy("A11")
def discriminator_far_ahead_for_a_while():
    return pair(4e-4, 1e-4, 60)


@sick("A11", "update_ratio")
def discriminator_wins():
    return pair(1e-2, 1e-5, 30)
