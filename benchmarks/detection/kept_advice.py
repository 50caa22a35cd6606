"""Programs written for one question: does the advice heal?

Sick in well-known ways, with layers and ways to write a program that the
other sets have less of: `Conv1D`, `Bidirectional`, `EinsumDense`, attention,
layers of one's own, two outputs, `tf.data`. What is right was written down
before any of them ran. `SICK` as in `kept_sick`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import fourth_data
from detection import kept_data
from detection import third_data
from detection.field_data import cancer
from detection.field_data import digits
from detection.field_data import ready
from detection.field_sick import own
from detection.kept_fourth import stream
from detection.kept_third import chain

SICK: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def case(point, *rules):
    def keep(function):
        SICK[function.__name__] = (point, rules, function)
        return function

    return keep


@case("data", "unscaled_data")
def volts_of_an_amplifier():
    x, y = third_data.tones()
    model = chain(
        (48, 1),
        layers.Conv1D(16, 7, 2, activation="tanh"),
        layers.Conv1D(16, 5, activation="tanh"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(4, "softmax"),
    )
    x = 1200 + 400 * x
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("rate", "update_ratio", "exploding_gradient", "saturated_activation")
def both_ways_at_a_rate_of_a_half():
    x, y = third_data.reviews()
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16),
        layers.Bidirectional(layers.LSTM(16)),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, _opt.Adam(0.5), _BINARY, x, y, ["accuracy"], epochs=12)


@case("deep", "vanishing_gradient")
def sigmoids_in_einsum():
    x, y = digits((8, 8))
    hidden = [
        layers.EinsumDense(
            "abc,cd->abd", (8, 24), bias_axes="d", activation="sigmoid"
        )
        for _ in range(7)
    ]
    model = chain(
        (8, 8), *hidden, layers.Flatten(), layers.Dense(10, "softmax")
    )
    return ready(model, _opt.SGD(0.05), _SPARSE, x, y, ["accuracy"], epochs=12)


@case("deep", "poor_initialization", "exploding_gradient", "update_ratio")
def attention_drawn_too_wide():
    x, y = digits((8, 8))
    wide = keras.initializers.RandomNormal(stddev=3.0)
    inputs = keras.Input((8, 8))
    h = layers.Dense(32)(inputs)
    h = layers.MultiHeadAttention(4, 8, kernel_initializer=wide)(h, h)
    h = layers.Dense(32, "relu", kernel_initializer=wide)(h)
    h = layers.Flatten()(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, _opt.SGD(0.05), _SPARSE, x, y, ["accuracy"], epochs=12)


class Bent(layers.Layer):
    """A dense layer with ReLU, written by hand."""

    def __init__(self, units, start):
        super().__init__()
        self.units, self.start = units, start

    def build(self, shape):
        start = keras.initializers.Constant(self.start)
        self.kernel = self.add_weight((shape[-1], self.units), "he_normal")
        self.bias = self.add_weight((self.units,), start)

    def call(self, x):
        return ops.relu(ops.matmul(x, self.kernel) + self.bias)


@case("deep", "dead_relu", "poor_initialization", "vanishing_gradient")
def own_layers_start_far_below():
    x, y = kept_data.clusters()
    model = chain(
        (12,), Bent(32, -9.0), Bent(32, 0.0), layers.Dense(5, "softmax")
    )
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("data", "unscaled_data", "output_mismatch")
def euros_beside_a_yes():
    x, y = third_data.flats()
    inputs = keras.Input((6,))
    h = layers.Dense(64, "relu")(inputs)
    h = layers.Dense(32, "relu")(h)
    price = layers.Dense(1, name="price")(h)
    dear = layers.Dense(1, "sigmoid", name="dear")(h)
    model = keras.Model(inputs, {"price": price, "dear": dear})
    both = {"price": 3e5 + 8e4 * y, "dear": (y > 0).astype("float32")}
    losses = {"price": "mse", "dear": _BINARY}
    return ready(model, _opt.Adam(1e-3), losses, x, both, epochs=20)


@case("data", "unscaled_data", "exploding_gradient", "dead_relu")
def pixels_from_a_pipeline():
    x, y = fourth_data.patches()
    model = chain(
        x.shape[1:],
        layers.SeparableConv2D(24, 3, activation="relu"),
        layers.SeparableConv2D(32, 3, 2, activation="relu"),
        layers.Flatten(),
        layers.Dense(6, "softmax"),
    )
    rate = _opt.SGD(0.05, momentum=0.9)
    rows = stream(x, y)
    return ready(model, rate, _SPARSE, rows, None, ["accuracy"], epochs=15)


@case("out", "output_mismatch")
def tanh_over_temperatures():
    x, y = third_data.machines()
    model = chain(
        x.shape[1:],
        layers.Bidirectional(layers.GRU(16)),
        layers.Dense(1, "tanh"),
    )
    rows = stream(x, 18 + 6 * y)
    return ready(model, _opt.Adam(3e-3), "mae", rows, None, epochs=15)


class Quarters(layers.Layer):
    """Rounds to quarters."""

    def call(self, x):
        return ops.round(4 * x) / 4


@case("own", "frozen_layer")
def code_rounded_to_quarters():
    x, y = fourth_data.shells()
    model = chain(
        (4,),
        layers.Dense(24, "relu", name="encoder"),
        layers.Dense(2, "tanh", name="code"),
        Quarters(),
        layers.Dense(24, "relu"),
        layers.Dense(3, "softmax"),
    )
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("own", "frozen_layer")
def loss_of_the_sign():
    x, y = fourth_data.demand()
    return own(
        lambda t, p: ops.mean(ops.abs(ops.sign(t - p))),
        _opt.Adam(3e-3),
        x,
        y,
        layers.Bidirectional(layers.LSTM(12)),
        layers.Dense(1),
        epochs=15,
    )


@case("rate", "update_ratio")
def l1_in_einsum():
    heavy = {"kernel_regularizer": keras.regularizers.L1(1.0)}
    x, y = cancer()
    hidden = [
        layers.EinsumDense(
            "ab,bc->ac", 32, bias_axes="c", activation="relu", **heavy
        )
        for _ in range(2)
    ]
    model = chain((30,), *hidden, layers.Dense(1, "sigmoid"))
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=20)


@case("rate", "update_ratio")
def rate_ends_after_twenty_steps():
    x, y = fourth_data.topics()
    model = chain(
        x.shape[1:],
        layers.Embedding(80, 16),
        layers.Bidirectional(layers.GRU(16)),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    rate = _rates.PiecewiseConstantDecay([20], [2e-3, 0.0])
    rows = stream(x, y)
    return ready(
        model, _opt.Adam(rate), _SPARSE, rows, None, ["accuracy"], epochs=20
    )


@case("deep", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def relu_memory_both_ways():
    x, y = third_data.tones(length=60)
    wild = keras.initializers.RandomNormal(stddev=0.5)
    memory = layers.SimpleRNN(24, "relu", recurrent_initializer=wild)
    model = chain(
        (60, 1), layers.Bidirectional(memory), layers.Dense(4, "softmax")
    )
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


class Standard(layers.Layer):
    """Brings each row to unit scale by its own spread."""

    def call(self, x):
        mean = ops.mean(x, axis=1, keepdims=True)
        return (x - mean) / ops.std(x, axis=1, keepdims=True)


@case("nan", "nonfinite_gradient")
def flat_rows_by_their_spread():
    x, y = third_data.tones()
    x[::40] = 0.5
    model = chain(
        (48, 1),
        Standard(),
        layers.Conv1D(16, 7, 2, activation="relu"),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, "softmax"),
    )
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("nan", "nonfinite_gradient", "output_mismatch")
def counts_by_a_logarithm_below_zero():
    x, y = third_data.flats()
    counts = np.round(np.exp(1 + 0.7 * y))
    return own(
        lambda t, p: ops.mean(p - t * ops.log(p)),
        _opt.Adam(3e-3),
        x,
        counts,
        layers.Dense(48, "relu"),
        layers.Dense(24, "relu"),
        layers.Dense(1),
        epochs=20,
    )
