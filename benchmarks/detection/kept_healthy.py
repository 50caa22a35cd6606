"""Programs that learn, that no rule was made or tuned with.

They are the nearest to those of `kept_sick`. `HEALTHY` maps a name to (point,
program); `LABELLED` and `ONLY` are those of `kept_sick`.
"""

import keras
import numpy as np
from keras import layers

from detection import kept_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY
from detection.kept_sick import classes
from detection.kept_sick import conv_vae
from detection.kept_sick import images
from detection.kept_sick import numbers

HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def healthy(point, labelled=False, only=None):
    def keep(function):
        HEALTHY[function.__name__] = (point, function)
        if labelled:
            LABELLED.add(function.__name__)
        if only:
            ONLY[function.__name__] = only
        return function

    return keep


@healthy("A3")
def conv_vae_learns():
    return conv_vae(1e-4, 40)


@healthy("A4")
def frozen_convolutions():
    base = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
        ]
    )
    base.trainable = False
    return images(_opt.Adam(3e-3), base, layers.Dense(4, "softmax"), epochs=15)


@healthy("A4")
def fine_tuning_goes_on():
    """Train, then go on at a low rate from the weights of then."""
    x, y = data.clusters()
    model = dense((12,), (48, "relu"), (48, "relu"), (5, "softmax"))
    model.compile(_opt.Adam(3e-3), _SPARSE)
    model.fit(x, y, epochs=25, verbose=0)
    return ready(model, _opt.Adam(1e-5), _SPARSE, x, y, ["accuracy"], epochs=6)


@healthy("A5")
def noisy_friedman():
    x, y = data.friedman(1200, noise=7.0, seed=3)
    model = dense((10,), (24, "relu"), (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=30)


@healthy("A5")
def noisy_quantile():
    x, y = data.friedman(1200, noise=5.0, seed=5)

    def pinball(t, p):
        gap = t - p
        return keras.ops.mean(keras.ops.maximum(0.8 * gap, -0.2 * gap))

    model = dense((10,), (32, "elu"), (1, None))
    return ready(model, _opt.Adam(2e-3), pinball, x, y, epochs=30)


@healthy("A6")
def gru_of_rising_series():
    x, y = data.walks()
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.GRU(16), layers.Dense(1, "sigmoid")]
    )
    return ready(model, _opt.Adam(3e-3), _BINARY, x, y, ["accuracy"], epochs=12)


@healthy("A8")
def penalty_and_cosine():
    how = layers.Dense(
        48, "relu", kernel_regularizer=keras.regularizers.L2(1e-3)
    )
    rate = _rates.CosineDecay(3e-3, 29 * 25)
    return classes(_opt.AdamW(rate, weight_decay=0.004), how, epochs=25)


@healthy("A8")
def clipped_lstm():
    x, y = data.tokens()
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(24, 16),
            layers.Bidirectional(layers.LSTM(12)),
            layers.Dense(1, "sigmoid"),
        ]
    )
    rate = _opt.Adam(5e-3, clipnorm=0.5)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=12)


@healthy("A9")
def weighted_classes():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(3000, 6)).astype("float32")
    y = (x[:, :1] - x[:, 2:3] > 2.2).astype("float32")
    model = dense((6,), (24, "relu"), (1, "sigmoid"))
    return ready(
        model,
        _opt.Adam(3e-3),
        _BINARY,
        x,
        y,
        ["accuracy"],
        epochs=12,
        class_weight={0: 1.0, 1: 8.0},
    )


@healthy("A9")
def normalised_in_the_model():
    x, y = data.friedman()
    x = 1000 + 5 * x
    scale = layers.Normalization()
    scale.adapt(x)
    model = dense((10,), scale, (48, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@healthy("A10")
def narrow_relu_of_moons():
    x, y = data.moons()
    how = {"kernel_initializer": "he_normal"}
    model = dense((2,), (6, "relu"), (6, "relu"), (1, "sigmoid"), **how)
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, ["accuracy"], epochs=25)


@healthy("A10")
def deep_tanh_of_wines():
    x, y = data.wine()
    model = dense((13,), *[(20, "tanh")] * 9, (3, "softmax"))
    return ready(
        model,
        _opt.Adam(1e-3),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=40,
        batch_size=16,
    )


@healthy("A11")
def small_transformer():
    x, y = data.tokens(900)
    model = data.transformer(24, 16, 24, 2)
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=12)


@healthy("A11", labelled=True, only=["tensorflow", "torch"])
def sides_in_balance():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.moons(1280)
    generator = dense((LATENT,), (48, "relu"), (48, "relu"), (2, None))
    discriminator = dense((2,), (48, "relu"), (48, "relu"), (1, None))
    model = GAN(generator, discriminator)
    model.compile(_opt.Adam(5e-4, 0.5), _opt.Adam(5e-4, 0.5))
    return model, x, None, {"epochs": 30}


@healthy("A12")
def convolutional_autoencoder():
    x, _ = data.stripes()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(16, 3, 2, "same", activation="relu"),
            layers.Conv2D(8, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(16, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid"),
        ]
    )
    return ready(model, _opt.Adam(3e-3), _BINARY, x, x, epochs=25)


@healthy("A12")
def one_wine_at_a_time():
    x, y = data.wine()
    model = dense((13,), (12, "relu"), (3, "softmax"))
    return ready(
        model,
        _opt.SGD(0.02),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=8,
        batch_size=1,
    )


@healthy("A12")
def residual_with_norms():
    x, y = data.stripes()
    inputs = keras.Input(x.shape[1:])
    h = layers.Conv2D(12, 3, padding="same")(inputs)
    for _ in range(3):
        inner = layers.BatchNormalization()(h)
        inner = layers.Conv2D(12, 3, padding="same", activation="relu")(inner)
        h = layers.Add()([h, inner])
    h = layers.GlobalAveragePooling2D()(layers.ReLU()(h))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    return ready(
        model,
        _opt.SGD(0.05, momentum=0.9),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=12,
    )


@healthy("A12")
def huber_of_deep_silu():
    return numbers(
        _opt.Nadam(2e-3),
        *[(32, "silu")] * 4,
        (1, None),
        loss="huber",
        epochs=25,
    )
