"""Programs that learn, the nearest to those that do not.

`HEALTHY` maps a name to (point, program).
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import circles
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_data import waves
from detection.field_sick import classifier
from detection.field_sick import own
from detection.field_sick import ring
from detection.field_sick import vae

HEALTHY = {}
_Adam, _SGD = keras.optimizers.Adam, keras.optimizers.SGD
_SPARSE = "sparse_categorical_crossentropy"


def healthy(point):
    def keep(function):
        HEALTHY[function.__name__] = (point, function)
        return function

    return keep


@healthy("A1")
def short_but_learns():
    return classifier(_Adam(3e-3), epochs=3)


@healthy("A1")
def converged():
    x, y = waves(400)
    return ready(
        dense((4,), (64, "tanh"), (64, "tanh"), (1, None)),
        _Adam(3e-3),
        "mse",
        x,
        y,
        epochs=150,
    )


@healthy("A3")
def likelihood_below_zero():
    x, y = waves()

    def loss(t, p):
        return ops.mean(
            p[:, 1:] + ops.square(t - p[:, :1]) * ops.exp(-2 * p[:, 1:]) / 2
        )

    return ready(
        dense((4,), (64, "tanh"), (64, "tanh"), (2, None)),
        _Adam(2e-3),
        loss,
        x,
        y,
        epochs=40,
    )


@healthy("A3")
def own_loss_that_fits():
    x, y = waves()
    return own(
        lambda t, p: ops.mean(ops.square(t - p)),
        _Adam(2e-3),
        x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=40,
    )


@healthy("A3")
def vae_that_learns():
    return vae(1e-3)


@healthy("A3")
def cosine_similarity():
    x, y = digits()
    y = keras.utils.to_categorical(y, 10)
    return ready(
        dense((64,), (64, "relu"), (10, None)),
        "adam",
        "cosine_similarity",
        x,
        y,
        epochs=15,
    )


@healthy("A4")
def frozen_backbone():
    x, y = digits()
    base = dense((64,), (64, "relu"), (64, "relu"))
    base.trainable = False
    return ready(
        keras.Sequential(
            [keras.Input((64,)), base, layers.Dense(10, "softmax")]
        ),
        _Adam(1e-2),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=20,
    )


@healthy("A5")
def noisy_linear():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1500, 6)).astype("float32")
    y = (x[:, :1] + 2.2 * rng.normal(size=(1500, 1))).astype("float32")
    return ready(
        dense((6,), (16, "relu"), (1, None)), "adam", "mse", x, y, epochs=40
    )


@healthy("A5")
def noisy_convolution():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1200, 10, 10, 1)).astype("float32")
    y = 3 * x[:, 2:7, 2:7].mean((1, 2, 3)) + 0.8 * rng.normal(size=1200)
    model = keras.Sequential(
        [
            keras.Input((10, 10, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )
    return ready(
        model, _Adam(1e-3), "mae", x, y.astype("float32")[:, None], epochs=25
    )


@healthy("A5")
def noisy_started_at_mean():
    x, y = waves(1500, noise=3.0)
    y = 40 + y
    model = dense(
        (4,),
        (32, "relu"),
        layers.Dense(1, bias_initializer=keras.initializers.Constant(40.0)),
    )
    return ready(model, _Adam(1e-3), "mse", x, y, epochs=30)


@healthy("A5")
def columns_with_offsets():
    x, y = waves()
    y = np.concatenate([y, 5 + y, -3 + y**2], axis=1)
    return ready(
        dense((4,), (64, "relu"), (64, "relu"), (3, None)),
        _Adam(3e-3),
        "mse",
        x,
        y,
        epochs=60,
    )


@healthy("A6")
def recurrent_orthogonal():
    x, y = sequences(length=40)
    model = keras.Sequential(
        [keras.Input((40, 1)), layers.SimpleRNN(32, "tanh"), layers.Dense(1)]
    )
    return ready(model, _Adam(2e-3), "mse", x, y, epochs=8)


@healthy("A6")
def targets_of_hundreds():
    x, y = waves()
    return ready(
        dense((4,), (64, "relu"), (64, "relu"), (1, None)),
        _Adam(1e-2),
        "mse",
        x,
        100 + 30 * y,
        epochs=60,
    )


@healthy("A7")
def text():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (1000, 12))
    y = (x == 7).any(1).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(50, 16),
            layers.GlobalMaxPooling1D(),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(
        model, _Adam(5e-3), "binary_crossentropy", x, y, ["accuracy"], epochs=20
    )


@healthy("A8")
def weak_penalty():
    return classifier("adam", penalty=keras.regularizers.L2(1e-4))


@healthy("A8")
def strong_but_learns():
    return classifier("adam", penalty=keras.regularizers.L2(1e-2))


@healthy("A8")
def decay_of_adamw():
    return classifier(keras.optimizers.AdamW(2e-3, weight_decay=0.01))


@healthy("A8")
def cosine_to_the_end():
    rate = keras.optimizers.schedules.CosineDecay(2e-3, 30 * 57)
    return classifier(_Adam(rate))


@healthy("A8")
def clipped_at_one():
    return classifier(_SGD(0.1, momentum=0.9, global_clipnorm=1.0))


@healthy("A8")
def clipped_small_adam():
    return classifier(_Adam(1e-3, clipnorm=1e-3))


@healthy("A9")
def unbalanced():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 8)).astype("float32")
    y = (x[:, :1] + x[:, 1:2] > 2.3).astype("float32")
    return ready(
        dense((8,), (32, "relu"), (1, "sigmoid")),
        _Adam(3e-3),
        "binary_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=15,
    )


@healthy("A9")
def masks():
    x, y = blobs()
    conv = [
        layers.Conv2D(12, 3, padding="same", activation="relu")
        for _ in range(3)
    ]
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            *conv,
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    return ready(
        model, _Adam(3e-3), "binary_crossentropy", x, y, ["accuracy"], epochs=8
    )


@healthy("A9")
def offset_behind_normalization():
    x, y = waves()
    model = dense(
        (4,), layers.BatchNormalization(), (32, "relu"), (32, "relu"), (1, None)
    )
    return ready(model, _Adam(3e-3), "mse", 20 + 0.5 * x, y, epochs=40)


@healthy("A10")
def narrow_relu():
    return ring(
        [(5, "relu"), (5, "relu"), (1, "sigmoid")],
        keras.initializers.HeUniform(),
        _Adam(1e-2),
        40,
    )


@healthy("A10")
def deep_tanh():
    return ring([(16, "tanh")] * 8 + [(1, "sigmoid")], None, _Adam(1e-3), 40)


@healthy("A10")
def bottleneck_of_one():
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, (800, 1))
    x = np.concatenate([t, t**2, np.sin(3 * t)], axis=1).astype("float32")
    return ready(
        dense((3,), (32, "tanh"), (1, None), (32, "tanh"), (3, None)),
        _Adam(5e-3),
        "mse",
        x,
        x,
        epochs=60,
    )


@healthy("other")
def batch_of_one():
    x, y = cancer()
    return ready(
        dense((30,), (8, "relu"), (1, "sigmoid")),
        _SGD(0.01),
        "binary_crossentropy",
        x[:300],
        y[:300],
        ["accuracy"],
        epochs=8,
        batch_size=1,
    )


@healthy("other")
def autoencoder():
    x, _ = digits()
    return ready(
        dense((64,), (32, "relu"), (8, "relu"), (32, "relu"), (64, "sigmoid")),
        _Adam(3e-3),
        "binary_crossentropy",
        x,
        x,
        epochs=40,
    )


@healthy("other")
def lstm():
    x, y = sequences()
    model = keras.Sequential(
        [keras.Input((30, 1)), layers.LSTM(24), layers.Dense(1)]
    )
    return ready(model, _Adam(5e-3), "mse", x, y, epochs=10)


@healthy("other")
def dropout_and_norm():
    x, y = digits((8, 8, 1))
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, "softmax"),
        ]
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=10)


@healthy("other")
def plain_sgd():
    x, y = circles()
    return ready(
        dense((2,), (32, "relu"), (32, "relu"), (1, "sigmoid")),
        _SGD(0.1),
        "binary_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=60,
    )


@healthy("other")
def positive_targets():
    x, y = waves()
    return ready(
        dense((4,), (32, "relu"), (32, "relu"), (1, "softplus")),
        _Adam(3e-3),
        "mse",
        x,
        np.exp(y),
        epochs=50,
    )


@healthy("other")
def counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 5)).astype("float32")
    y = rng.poisson(np.exp(0.6 * x[:, :1] + 0.5)).astype("float32")
    return ready(
        dense((5,), (16, "relu"), (1, "exponential")),
        _Adam(3e-3),
        "poisson",
        x,
        y,
        epochs=20,
    )
