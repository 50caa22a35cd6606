"""Twelve programs, each with its corrected twin: does the advice heal?

Written, twins included, before any of them ran, after public reports. Layers
and places differ from those of `kept_pasted`; `SICK` and `right` are as there.
"""

import keras
from keras import layers
from keras import ops

from detection import fourth_data
from detection import kept_data
from detection import third_data
from detection.field_data import cancer
from detection.field_data import ready
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


@case("data", "unscaled_data", "exploding_gradient", "saturated_activation")
def takings_in_cents(right=False):
    x, y = fourth_data.demand()
    if not right:
        x, y = 250_000 + 60_000 * x, 250_000 + 60_000 * y
    model = chain(
        x.shape[1:],
        layers.LSTM(24),
        layers.Dense(16, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(_ADAM), "mse", x, y, epochs=15)


@case("out", "output_mismatch")
def rebuilt_by_a_last_relu(right=False):
    x, _ = third_data.machines()
    model = chain(
        x.shape[1:],
        layers.Conv1D(16, 5, strides=2, padding="same", activation="relu"),
        layers.Conv1D(8, 5, strides=2, padding="same", activation="relu"),
        layers.Conv1DTranspose(
            16, 5, strides=2, padding="same", activation="relu"
        ),
        layers.Conv1DTranspose(
            2,
            5,
            strides=2,
            padding="same",
            activation=None if right else "relu",
            name="rebuilt",
        ),
    )
    return ready(model, _opt.Adam(_ADAM), "mse", x, x, epochs=15)


@case("out", "output_mismatch", "nonfinite_gradient")
def yes_or_no_by_tanh(right=False):
    x, y = cancer()
    last = "sigmoid" if right else "tanh"
    model = chain(
        (30,),
        layers.Dense(24, "elu"),
        layers.Dropout(0.2),
        layers.Dense(1, last, kernel_initializer="he_normal"),
    )
    rate = _opt.SGD(0.1, momentum=0.9)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=20)


@case("rate", "update_ratio", "exploding_gradient", "dead_relu")
def rmsprop_at_a_half(right=False):
    x, y = third_data.tones()
    model = chain(
        (48, 1),
        layers.SeparableConv1D(24, 8, strides=2, activation="relu"),
        layers.SeparableConv1D(24, 5, strides=2, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(4, "softmax"),
    )
    rate = _opt.RMSprop(_ADAM if right else 0.5, rho=0.95)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=25)


@case("rate", "update_ratio")
def l1_in_separable_convolutions(right=False):
    x, y = third_data.shapes()
    hold = keras.regularizers.L1(1e-6 if right else 0.2)
    how = {"depthwise_regularizer": hold, "pointwise_regularizer": hold}
    model = chain(
        x.shape[1:],
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.SeparableConv2D(24, 3, activation="relu", **how),
        layers.SeparableConv2D(24, 3, activation="relu", **how),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, "softmax"),
    )
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=25)


@case("own", "frozen_layer")
def hidden_numbers_are_rounded(right=False):
    x, y = kept_data.clusters()
    inputs = keras.Input((12,))
    h = layers.Dense(48, "relu", name="before")(inputs)
    h = layers.Dense(24, "tanh", name="squeezed")(h)
    if not right:
        h = layers.Lambda(lambda v: ops.round(v), name="whole")(h)
    h = layers.Dense(32, "relu")(h)
    model = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("rate", "clipping")
def values_cut_in_nadam(right=False):
    x, y = third_data.reviews()
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16, mask_zero=True),
        layers.Bidirectional(layers.GRU(16)),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    rate = _opt.Nadam(_ADAM, clipvalue=1.0 if right else 1e-10)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=15)


@case("deep", "exploding_gradient", "poor_initialization", "update_ratio")
def plain_memory_both_ways(right=False):
    x, y = kept_data.walks()
    how = {
        "activation": "tanh" if right else "relu",
        "recurrent_initializer": "orthogonal"
        if right
        else keras.initializers.RandomNormal(stddev=0.6, seed=2),
    }
    model = chain(
        x.shape[1:],
        layers.Bidirectional(
            layers.SimpleRNN(24, return_sequences=True, **how)
        ),
        layers.Bidirectional(layers.SimpleRNN(12, **how)),
        layers.Dense(1, "sigmoid"),
    )
    rate = _opt.Adam(_ADAM)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=15)


@case("nan", "nonfinite_gradient", only=("jax",))
def users_and_items_beyond_their_tables(right=False):
    users, items, _, score = fourth_data.ratings()
    sizes = (80, 50) if right else (79, 44)
    ids = [
        keras.Input((1,), dtype="int32", name=name) for name in ("user", "item")
    ]
    h = [
        layers.Flatten()(layers.Embedding(rows, 12)(at))
        for rows, at in zip(sizes, ids, strict=True)
    ]
    h = layers.Concatenate()([*h, layers.Multiply()(h)])
    h = layers.Dense(32, "relu")(h)
    model = keras.Model(ids, layers.Dense(1)(h))
    rate = _opt.Adam(5e-3)
    return ready(model, rate, "mse", [users, items], score, epochs=15)


class Summary(layers.Layer):
    """Mean and spread of each channel over time."""

    def __init__(self, least, **kwargs):
        super().__init__(**kwargs)
        self.least = least

    def call(self, x):
        mean = ops.mean(x, axis=1, keepdims=True)
        spread = ops.sqrt(ops.mean(ops.square(x - mean), axis=1) + self.least)
        return ops.concatenate([mean[:, 0], spread], axis=-1)


@case("nan", "nonfinite_gradient")
def spread_of_recordings_that_are_silent(right=False):
    x, y = third_data.machines()
    x[::25], y[::25] = 0, 0
    model = chain(
        x.shape[1:],
        layers.Conv1D(24, 5, activation="relu"),
        Summary(1e-6 if right else 0.0, name="summary"),
        layers.Dense(24, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(_ADAM), "mse", x, y, epochs=20)


class Tower(keras.Model):
    """Twelve layers of tanh that start small, and an output."""

    def __init__(self, start):
        super().__init__()
        self.body = [
            layers.Dense(32, "tanh", kernel_initializer=start)
            for _ in range(12)
        ]
        self.head = layers.Dense(1)

    def call(self, x):
        for layer in self.body:
            x = layer(x)
        return self.head(x)


@case("deep", "vanishing_gradient", "poor_initialization")
def twelve_layers_that_start_at_a_hundredth(right=False):
    x, y = third_data.flats()
    small = keras.initializers.RandomNormal(stddev=0.01)
    model = Tower("glorot_uniform" if right else small)
    model(x[:1])
    rate = _opt.SGD(0.02, momentum=0.9)
    return ready(model, rate, "mse", x, y, epochs=20)


@case("data", "unscaled_data", "output_mismatch", "exploding_gradient")
def rent_beside_its_class(right=False):
    x, y = third_data.flats()
    dear = (y > 0).astype("float32")
    rent = y if right else 900 + 300 * y
    inputs = keras.Input((6,))
    h = layers.Dense(48, "relu")(inputs)
    h = layers.LayerNormalization()(layers.Dense(48, "relu")(h))
    model = keras.Model(
        inputs,
        {
            "rent": layers.Dense(1, name="rent")(h),
            "dear": layers.Dense(1, "sigmoid", name="dear")(h),
        },
    )
    loss = {"rent": "mse", "dear": _BINARY}
    y = {"rent": rent.astype("float32"), "dear": dear}
    return ready(model, _opt.Adam(_ADAM), loss, x, y, epochs=20)
