"""Sixteen programs, each with its corrected twin: does the advice heal?

Written, twins included, before any of them ran, after public reports: images
and signals that are not scaled, outputs that cannot reach, shapes that
broadcast, losses cut off, penalties, indices. `SICK` as in `kept_sick`; each
program takes `right`, which builds the corrected one.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import fourth_data
from detection import kept_data
from detection import third_data
from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import digits
from detection.field_data import ready
from detection.kept_fourth import stream
from detection.kept_sick import ONLY
from detection.kept_third import chain

SICK: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
_ADAM = 2e-3


def case(point, *rules, only=None):
    def keep(function):
        SICK[function.__name__] = (point, rules, function)
        if only:
            ONLY[function.__name__] = only
        return function

    return keep


@case("data", "unscaled_data", "saturated_activation", "dead_relu")
def readings_of_a_twelve_bit_converter(right=False):
    x, y = third_data.machines()
    x = 2048 + 400 * x
    if right:
        x = (x - x.mean((0, 1))) / x.std((0, 1))
    model = chain(
        x.shape[1:],
        layers.GRU(24, return_sequences=True),
        layers.GRU(12),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(_ADAM), "mse", x, y, epochs=15)


@case("out", "output_mismatch")
def profit_and_loss_after_relu(right=False):
    x, y = third_data.flats()
    y = np.concatenate([y, -y + 0.3 * x[:, 4:5], y * x[:, 5:]], 1)
    inputs = keras.Input((6,))
    h = layers.Dense(48, "relu")(inputs)
    h = layers.Concatenate()([h, layers.Dense(48, "relu")(h)])
    outputs = layers.Dense(3, None if right else "relu", name="profit")(h)
    model = keras.Model(inputs, outputs)
    return ready(model, _opt.Adam(_ADAM), "mae", x, y, epochs=20)


class LogCosh(keras.losses.Loss):
    """The logarithm of the hyperbolic cosine of the error."""

    def call(self, t, p):
        gap = t - p
        return ops.mean(gap + ops.softplus(-2 * gap) - np.log(2), -1)


@case("out", "output_mismatch")
def flat_targets_in_a_loss_class(right=False):
    x, y = third_data.flats()
    model = chain(
        (6,),
        layers.Dense(48, "swish"),
        layers.LayerNormalization(),
        layers.Dense(48, "swish"),
        layers.Dense(1),
    )
    y = y if right else y[:, 0]
    return ready(model, _opt.Adam(_ADAM), LogCosh(), x, y, epochs=20)


def _dice(cut):
    def loss(t, p):
        p = ops.round(p) if cut else p
        both = ops.sum(t * p, axis=(1, 2, 3))
        each = ops.sum(t, axis=(1, 2, 3)) + ops.sum(p, axis=(1, 2, 3))
        return 1 - (2 * both + 1) / (each + 1)

    return loss


@case("own", "frozen_layer")
def overlap_of_rounded_masks(right=False):
    x, y = blobs(400, 12)
    model = chain(
        (12, 12, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid", name="mask"),
    )
    return ready(model, _opt.Adam(3e-3), _dice(not right), x, y, epochs=12)


@case("rate", "update_ratio")
def activity_costs_more_than_errors(right=False):
    x, y = kept_data.stripes()
    weight = 1e-6 if right else 1.0
    how = {"activity_regularizer": keras.regularizers.L2(weight)}
    model = chain(
        (12, 12, 1),
        layers.Conv2D(16, 3, activation="relu", **how),
        layers.Conv2D(16, 3, strides=2, activation="relu", **how),
        layers.Flatten(),
        layers.Dense(4, "softmax"),
    )
    rate = _opt.RMSprop(1e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("out", "output_mismatch")
def stars_as_yes_or_no(right=False):
    users, items, _, score = fourth_data.ratings()
    stars = np.clip(np.round(3 + score), 1, 5).astype("float32")
    user, item = keras.Input((1,), dtype="int32"), keras.Input((1,))
    h = [
        layers.Flatten()(layers.Embedding(80, 12)(user)),
        layers.Flatten()(layers.Embedding(50, 12)(item)),
    ]
    h = layers.Concatenate()([*h, layers.Multiply()(h)])
    h = layers.Dense(32, "relu")(h)
    last = None if right else "sigmoid"
    model = keras.Model([user, item], layers.Dense(1, last)(h))
    loss = "mse" if right else _BINARY
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, loss, [users, items], stars, epochs=15)


@case("out", "output_mismatch")
def percent_from_a_sigmoid(right=False):
    x, y = fourth_data.demand()
    y = np.clip(50 + 18 * y, 0, 100)
    y = y / 100 if right else y
    model = chain(
        x.shape[1:],
        layers.Conv1D(16, 5, activation="relu"),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(1, "sigmoid"),
    )
    rows = stream(x, y)
    return ready(model, _opt.Adam(_ADAM), "mse", rows, None, epochs=15)


@case("nan", "nonfinite_gradient", "unscaled_data")
def chance_of_far_values_is_zero(right=False):
    x, y = third_data.flats()
    y = (40 * y).astype("float32")

    def likelihood(t, p):
        if right:
            return ops.square((t - p) / 40) / 2
        return -ops.log(ops.exp(-ops.square(t - p) / 2) / 2.5066)

    model = chain(
        (6,),
        layers.Dense(64, "tanh"),
        layers.Dense(32, "tanh"),
        layers.Dense(1),
    )
    rate = _opt.Adam(1e-2)
    return ready(model, rate, likelihood, x, y, epochs=20)


@case("nan", "nonfinite_gradient", only=("jax",))
def stations_that_opened_later(right=False):
    rng = np.random.default_rng(0)
    station = rng.integers(0, 30, (900, 1)).astype("int32")
    other = rng.normal(size=(900, 4)).astype("float32")
    y = np.sin(3.0 * station) + 0.5 * other[:, :1]
    inputs = [keras.Input((1,), dtype="int32"), keras.Input((4,))]
    table = layers.Embedding(30 if right else 27, 8, name="station")
    h = [layers.Flatten()(table(inputs[0])), inputs[1]]
    h = layers.Dense(48, "relu")(layers.Concatenate()(h))
    model = keras.Model(inputs, layers.Dense(1)(h))
    rate, y = _opt.Adam(5e-3), y.astype("float32")
    return ready(model, rate, "mse", [station, other], y, epochs=20)


@case("rate", "update_ratio", "dead_relu", "exploding_gradient")
def adam_at_a_third_over_patches(right=False):
    x, y = fourth_data.patches()
    model = chain(
        x.shape[1:],
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(24, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(6),
    )
    rate = _opt.Adam(_ADAM if right else 0.3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, rate, loss, x, y, ["accuracy"], epochs=20)


class Wide(keras.Model):
    """Three layers of tanh and an output, drawn with a spread as told."""

    def __init__(self, spread):
        super().__init__()
        start = keras.initializers.RandomNormal(stddev=spread)
        self.body = [
            layers.Dense(64, "tanh", kernel_initializer=start) for _ in range(4)
        ]
        self.head = layers.Dense(10, "softmax")

    def call(self, x):
        for layer in self.body:
            x = layer(x)
        return self.head(x)


@case("deep", "saturated_activation", "poor_initialization")
def tanh_drawn_at_two(right=False):
    x, y = digits()
    model = Wide(0.1 if right else 2.0)
    model(x[:1])
    rate = _opt.SGD(0.05)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=12)


@case("deep", "vanishing_gradient")
def sigmoids_in_a_nested_encoder(right=False):
    x, y = cancer()
    curve = "relu" if right else "sigmoid"
    body = [layers.Dense(24, curve) for _ in range(9)]
    encoder = keras.Sequential([keras.Input((30,)), *body], name="encoder")
    inputs = keras.Input((30,))
    outputs = layers.Dense(1, "sigmoid", name="ill")(encoder(inputs))
    model = keras.Model(inputs, outputs)
    rate = _opt.SGD(0.05, momentum=0.9)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=20)


@case("rate", "clipping")
def norms_cut_to_a_millionth(right=False):
    x, y = third_data.shapes()
    model = chain(
        x.shape[1:],
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(24, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, "softmax"),
    )
    how = {"nesterov": True, "clipnorm": 1.0 if right else 1e-6}
    rate = _opt.SGD(0.05, momentum=0.9, **how)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=25)


@case("deep", "poor_initialization", "vanishing_gradient")
def attention_and_head_start_at_zero(right=False):
    x, y = third_data.tones()
    start = {} if right else {"kernel_initializer": "zeros"}
    inputs = keras.Input((48, 1))
    h = layers.Conv1D(24, 8, strides=4, activation="relu")(inputs)
    h = layers.MultiHeadAttention(2, 12, **start)(h, h)
    h = layers.Dense(24, "relu", **start)(layers.GlobalAveragePooling1D()(h))
    model = keras.Model(inputs, layers.Dense(4, "softmax", **start)(h))
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("nan", "nonfinite_gradient")
def holes_in_the_table(right=False):
    x, y = kept_data.clusters()
    x[np.random.default_rng(1).random(x.shape) < 0.02] = 0 if right else np.nan
    inputs = keras.Input((12,))
    h = layers.BatchNormalization()(inputs)
    h = layers.Dense(48, "relu")(h)
    h = layers.Dense(48, "relu")(h)
    model = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("rate", "update_ratio")
def cosine_that_ends_in_the_first_epoch(right=False):
    x, y = fourth_data.speech()
    steps = 800 if right else 15
    model = chain(
        x.shape[1:],
        layers.Embedding(30, 24),
        layers.LSTM(48, return_sequences=True),
        layers.TimeDistributed(layers.Dense(30, "softmax")),
        dtype="int32",
    )
    rate = _opt.AdamW(_rates.CosineDecay(5e-3, steps))
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=20)
