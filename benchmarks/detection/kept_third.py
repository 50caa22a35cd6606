"""A third set of programs that no rule was made with.

Other layers and ways to write a program than in the first two: sequences,
convolutions over time, attention, models and train steps of one's own, several
outputs, readers, half precision, sample weights. What is right was written
down before any of them ran. `SICK` and `HEALTHY` as in `kept_sick`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import kept_data
from detection import third_data as data
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_sick import own
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY

SICK: dict = {}
HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def case(point, *rules, labelled=False, only=None):
    def keep(function):
        name = function.__name__
        if rules:
            SICK[name] = (point, rules, function)
        else:
            HEALTHY[name] = (point, function)
        if labelled:
            LABELLED.add(name)
        if only:
            ONLY[name] = only
        return function

    return keep


def chain(shape, *stack, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


def sensors(optimizer, *stack, **fit):
    x, y = data.machines()
    model = chain(x.shape[1:], *stack)
    return ready(model, optimizer, "mse", x, y, **fit)


def sounds(optimizer, *stack, scale=None, **fit):
    x, y = data.tones()
    x = x if scale is None else scale(x)
    model = chain(x.shape[1:], *stack, layers.Dense(4, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def words(optimizer, *stack, rows=60, width=16, **fit):
    x, y = data.reviews()
    model = chain(
        x.shape[1:],
        layers.Embedding(rows, width),
        *stack,
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, optimizer, _BINARY, x, y, ["accuracy"], **fit)


class Hand(keras.Model):
    """A model with a train step of its own, as the guides write it.

    For TensorFlow and torch.

    Args:
        loss: Function of targets and outputs.
        stack: Layers.
    """

    def __init__(self, loss, *stack):
        super().__init__()
        self.own, self.stack = loss, list(stack)
        self.mean = keras.metrics.Mean(name="loss")

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x

    def train_step(self, batch):
        x, y = batch[:2]
        variables = self.trainable_variables
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = self.own(y, self(x, training=True))
            slopes = tape.gradient(loss, variables)
            self.optimizer.apply(slopes, variables)
        else:
            import torch

            self.zero_grad()
            loss = self.own(y, self(x, training=True))
            loss.backward()
            with torch.no_grad():
                slopes = [v.value.grad for v in variables]
                self.optimizer.apply(slopes, variables)
            loss = loss.detach()
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


def by_hand(loss, optimizer, x, y, *stack, **fit):
    model = Hand(loss, *stack)
    model.compile(optimizer)
    model(x[:2])
    return model, x, y, fit


# 3


@case("A3", "output_mismatch", only=["tensorflow", "torch"])
def step_of_its_own_broadcasts():
    x, y = data.machines()
    return by_hand(
        lambda t, p: ops.mean(ops.abs(t - p)),
        _opt.AdamW(3e-3),
        x,
        y[:, 0],
        layers.GRU(24),
        layers.Dense(16, "relu"),
        layers.Dense(1),
        epochs=25,
    )


@case("A3", "output_mismatch", labelled=True)
def pairs_pushed_apart_for_ever():
    x, y = data.tones()
    x, y = x[y < 2], y[y < 2].astype("float32")[:, None]

    def apart(t, p):
        sign = 2 * t - 1
        return -ops.mean(sign * ops.sum(p, axis=-1, keepdims=True))

    return own(
        apart,
        _opt.Nadam(3e-3),
        x,
        y,
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(8),
        epochs=40,
    )


@case("A3", "output_mismatch", labelled=True)
def two_heads_one_of_counts():
    x, y = data.flats()
    counts = np.round(4 + 3 * y).clip(0)
    inputs = keras.Input((6,))
    h = layers.Dense(32, "relu")(inputs)
    h = layers.Dense(32, "relu")(h)
    price = layers.Dense(1, name="price")(h)
    rooms = layers.Dense(1, "sigmoid", name="rooms")(h)
    model = keras.Model(inputs, {"price": price, "rooms": rooms})
    model.compile(_opt.Adam(2e-3), {"price": "mse", "rooms": _BINARY})
    return model, x, {"price": y, "rooms": counts}, {"epochs": 25}


class Belief(layers.Layer):
    """Draws a state and adds the divergence from a standard normal."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.seed = weight, keras.random.SeedGenerator(1)

    def call(self, both):
        mean, log = ops.split(both, 2, axis=-1)
        each = ops.exp(log) + ops.square(mean) - 1 - log
        self.add_loss(self.weight * ops.mean(each))
        return mean + ops.exp(log / 2) * keras.random.normal(
            ops.shape(mean), seed=self.seed
        )


@case("A3", "update_ratio", "output_mismatch")
def sequence_vae_forgets_its_code():
    x, _ = data.tones()
    model = chain(
        (48, 1),
        layers.GRU(32),
        layers.Dense(16),
        Belief(20.0),
        layers.RepeatVector(48),
        layers.GRU(32, return_sequences=True),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(2e-3), "mse", x, x, epochs=12)


# 4


@case("A4", "frozen_layer", labelled=True, only=["jax", "torch"])
def loss_of_whole_stars():
    x, y = data.flats()
    return own(
        lambda t, p: ops.mean(ops.square(t - ops.floor(p))),
        _opt.RMSprop(1e-3),
        x,
        y,
        layers.Dense(32, "gelu"),
        layers.LayerNormalization(),
        layers.Dense(1),
        epochs=25,
    )


class Chosen(layers.Layer):
    """Gives the number of the largest of its inputs."""

    def call(self, x):
        return ops.cast(ops.argmax(x, axis=-1), "int32")

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape[:-1], "int32")


@case("A4", "frozen_layer")
def learned_words_are_numbers():
    x, y = kept_data.clusters()
    model = chain(
        (12,),
        layers.Dense(24, "relu", name="reader"),
        layers.Dense(2, name="tokens"),
        Chosen(),
        layers.Embedding(2, 8),
        layers.Dense(24, "relu"),
        layers.Dense(5, "softmax"),
    )
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


class LowRank(layers.Layer):
    """A frozen table beside a product of two that begin at zero."""

    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, shape):
        make = self.add_weight
        wide = shape[-1]
        self.base = make((wide, self.units), "glorot_uniform", trainable=False)
        self.down = make((wide, 4), "zeros", name="down")
        self.up = make((4, self.units), "zeros", name="up")

    def call(self, x):
        return ops.tanh(x @ self.base + (x @ self.down) @ self.up)


@case("A4", "frozen_layer", "poor_initialization")
def low_rank_of_zeros():
    x, y = digits()
    last = layers.Dense(10, "softmax", trainable=False)
    model = dense((64,), LowRank(48), LowRank(48), last)
    return ready(model, _opt.Adam(1e-2), _SPARSE, x, y, ["accuracy"], epochs=10)


class Forgetful(keras.Model):
    """Encodes its inputs, and hands a few raw ones to its head."""

    def __init__(self):
        super().__init__()
        self.encoder = layers.Dense(32, "relu", name="encoder")
        self.deeper = layers.Dense(16, "relu", name="deeper")
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        self.deeper(self.encoder(x))
        return self.head(ops.abs(x[:, 4:]))


@case("A4", "frozen_layer")
def encoder_not_handed_on():
    x, y = data.flats()
    model = Forgetful()
    model(x[:2])
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=25)


# 6


@case("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def relu_rnn_over_sixty_steps():
    x, y = data.tones(length=60)
    wild = keras.initializers.RandomNormal(stddev=0.4)
    model = chain(
        (60, 1),
        layers.SimpleRNN(32, activation="relu", recurrent_initializer=wild),
        layers.Dense(4, "softmax"),
    )
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=10)


@case("A6", "exploding_gradient", "unscaled_data", "nonfinite_gradient")
def sizes_in_bytes():
    x, y = data.flats()
    model = dense((6,), (32, "relu"), layers.BatchNormalization(), (1, None))
    y = 4e8 + 3e8 * y
    return ready(model, _opt.SGD(0.05, momentum=0.9), "mse", x, y, epochs=10)


@case("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def thirty_blocks_that_add_up():
    x, y = data.flats()
    inputs = keras.Input((6,))
    h = layers.Dense(32)(inputs)
    for _ in range(30):
        inner = layers.Dense(32, "relu", kernel_initializer="he_normal")(h)
        h = layers.Add()([h, layers.Dense(32)(inner)])
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.SGD(1e-3), "mse", x, y, epochs=10)


# 7


@case("A7", "nonfinite_gradient")
def softmax_and_logarithm_by_hand():
    x, y = kept_data.clusters()

    def entropy(t, p):
        hot = ops.one_hot(ops.cast(ops.reshape(t, (-1,)), "int32"), 5)
        raised = ops.exp(p - ops.max(p, axis=-1, keepdims=True))
        share = raised / ops.sum(raised, axis=-1, keepdims=True)
        return -ops.mean(ops.sum(hot * ops.log(share), axis=-1))

    return own(
        entropy,
        _opt.Adam(2e-3),
        200 * x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(5),
        epochs=8,
    )


@case("A7", "nonfinite_gradient")
def logarithmic_error_below_minus_one():
    x, y = data.flats()

    def error(t, p):
        return ops.sqrt(ops.mean(ops.square(ops.log1p(t) - ops.log1p(p))))

    return own(
        error,
        _opt.Adam(2e-3),
        2 * x,
        np.exp(y),
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=8,
    )


class Placed(layers.Layer):
    """Adds a vector for each place in a sequence."""

    def __init__(self, places, width):
        super().__init__()
        self.table = layers.Embedding(places, width)

    def build(self, shape):
        self.table.build(shape[:-1])

    def call(self, x):
        return x + self.table(ops.arange(x.shape[1]))


@case("A7", "nonfinite_gradient", only=["jax"])
def places_beyond_the_table():
    x, y = data.reviews()
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16),
        Placed(16, 16),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, "adam", _BINARY, x, y, epochs=8)


@case("A7", "nonfinite_gradient", "unscaled_data")
def half_precision_overflows():
    x, y = data.flats()
    half = {"dtype": "float16"}
    model = dense(
        (6,),
        layers.Dense(64, "relu", **half),
        layers.Dense(64, "relu", **half),
        (1, None),
    )
    return ready(model, _opt.SGD(1e-3), "mse", 3e4 * x, y, epochs=8)


# 8


@case("A8", "update_ratio")
def heavy_l2_on_words():
    heavy = keras.regularizers.L2(0.5)
    x, y = data.reviews()
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16, embeddings_regularizer=heavy),
        layers.LSTM(16, kernel_regularizer=heavy),
        layers.Dense(1, "sigmoid", kernel_regularizer=heavy),
        dtype="int32",
    )
    return ready(model, _opt.Adam(2e-3), _BINARY, x, y, ["accuracy"], epochs=20)


@case("A8", "update_ratio")
def adamw_decay_of_hundred():
    return sounds(
        _opt.AdamW(1e-3, weight_decay=200.0),
        layers.Conv1D(16, 7, 2, activation="relu"),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=30,
    )


@case("A8", "update_ratio")
def rate_decays_by_the_step():
    rate = _rates.ExponentialDecay(1e-3, 1, 0.9)
    return sensors(_opt.Adam(rate), layers.LSTM(20), layers.Dense(1), epochs=20)


@case("A8", "clipping")
def attention_under_tiny_clipvalue():
    x, y = data.reviews()
    model = kept_data.transformer(60, x.shape[1], 16, 1)
    rate = _opt.SGD(0.1, momentum=0.9, clipvalue=1e-6)
    return ready(
        model, rate, _BINARY, data.Batches(x, y), None, ["accuracy"], epochs=20
    )


class Quiet(layers.Layer):
    """Asks for small activations, and passes them on."""

    def call(self, x):
        self.add_loss(300.0 * ops.mean(ops.square(x)))
        return x


@case("A8", "update_ratio")
def layer_asks_for_silence():
    return sounds(
        _opt.Adam(2e-3),
        layers.Conv1D(16, 7, 2, activation="relu"),
        Quiet(),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        epochs=30,
    )


# 9


@case("A9", "output_mismatch", labelled=True)
def rare_alarm_in_words():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 60, (5000, 12)).astype("int32")
    y = np.zeros((5000, 1), "float32")
    y[rng.choice(5000, 12, False)] = 1
    model = chain(
        (12,),
        layers.Embedding(60, 8),
        layers.LSTM(8),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    fit = {"epochs": 6, "sample_weight": np.full(5000, 1.0, "float32")}
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], **fit)


@case("A9", "unscaled_data")
def income_and_year():
    x, y = data.flats()
    x = x * np.array([3e4, 1, 12, 1, 400, 1], "float32")
    x += np.array([6e4, 0, 1970, 0, 0, 0], "float32")
    model = dense((6,), (32, "tanh"), (32, "tanh"), (1, None))
    model.compile(_opt.Adam(1e-3), "mse")
    return model, data.Batches(x.astype("float32"), y), None, {"epochs": 25}


@case("A9", "unscaled_data")
def thermometer_in_kelvin():
    return sounds(
        _opt.Adam(1e-3),
        layers.Conv1D(16, 7, 2, activation="tanh"),
        layers.Conv1D(16, 5, activation="tanh"),
        layers.GlobalAveragePooling1D(),
        scale=lambda x: 293.15 + 0.4 * x,
        epochs=25,
    )


@case("A9", "output_mismatch", labelled=True)
def validation_of_later_digits():
    x, y = digits()
    order = np.argsort(y, kind="stable")
    x, y = x[order], y[order]
    model = dense((64,), (48, "relu"), layers.Dropout(0.2), (10, "softmax"))
    return ready(
        model,
        _opt.Adam(2e-3),
        _SPARSE,
        x[:1300],
        y[:1300],
        ["accuracy"],
        epochs=15,
        validation_data=(x[1300:], y[1300:]),
    )


# 10


@case("A10", "poor_initialization")
def convolutions_of_positive_weights():
    up = {"kernel_initializer": keras.initializers.RandomUniform(0, 1)}
    return sounds(
        _opt.Adam(1e-3),
        layers.Conv1D(16, 7, 2, activation="tanh", **up),
        layers.Conv1D(16, 5, activation="tanh", **up),
        layers.Conv1D(16, 3, activation="tanh", **up),
        layers.GlobalAveragePooling1D(),
        epochs=25,
    )


@case("A10", "poor_initialization")
def one_feature_before_ten_digits():
    x, y = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(12, 3, activation="relu")(inputs)
    h = layers.Flatten()(h)
    h = layers.Dense(1, "relu")(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, _opt.SGD(0.01), _SPARSE, x, y, ["accuracy"], epochs=10)


@case("A10", "poor_initialization")
def hidden_layers_of_zeros():
    zeros = {"kernel_initializer": "zeros"}
    x, y = data.shapes()
    model = chain(
        (14, 14, 1),
        layers.Conv2D(8, 3, activation="relu", **zeros),
        layers.Flatten(),
        layers.Dense(24, "relu", **zeros),
        layers.Dense(3, "softmax"),
    )
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


# 11


@case("A11", "update_ratio")
def transformer_at_a_twentieth():
    x, y = data.reviews()
    model = kept_data.transformer(60, x.shape[1], 16, 3, before=False)
    return ready(model, _opt.Adam(0.05), _BINARY, x, y, ["accuracy"], epochs=12)


# Outputs that cannot reach the targets


@case("02", "output_mismatch")
def sigmoid_over_the_load():
    return sensors(
        _opt.Adam(2e-3),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(1, "sigmoid"),
        epochs=25,
    )


# Healthy ones


@case("A7")
def padded_words_with_a_mask():
    x, y = data.reviews(1200)
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16, mask_zero=True),
        layers.Bidirectional(layers.LSTM(12)),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, ["accuracy"], epochs=12)


@case("A3")
def price_and_class_at_once():
    x, y = data.flats()
    inputs = keras.Input((6,))
    h = layers.Dense(48, "silu")(inputs)
    h = layers.Dense(48, "silu")(h)
    price = layers.Dense(1, name="price")(h)
    dear = layers.Dense(1, "sigmoid", name="dear")(h)
    model = keras.Model(inputs, {"price": price, "dear": dear})
    losses = {"price": "huber", "dear": _BINARY}
    weights = {"price": 1.0, "dear": 0.3}
    model.compile(_opt.Adam(3e-3), losses, loss_weights=weights)
    both = {"price": y, "dear": (y > 0).astype("float32")}
    return model, x, both, {"epochs": 25}


@case("A4")
def residual_gates_of_zero():
    x, y = data.flats()
    inputs = keras.Input((6,))
    h = layers.Dense(32)(inputs)
    for _ in range(5):
        inner = layers.Dense(32, "relu")(h)
        inner = layers.Dense(32, kernel_initializer="zeros")(inner)
        h = layers.Add()([h, inner])
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=20)


@case("A3", only=["tensorflow", "torch"])
def step_of_its_own_is_sound():
    x, y = data.machines()
    return by_hand(
        lambda t, p: ops.mean(ops.square(t - p)),
        _opt.RMSprop(1e-3),
        x,
        y,
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        layers.Dense(1),
        epochs=20,
    )


@case("A8")
def clipped_and_decayed_attention():
    x, y = data.reviews(1200)
    model = kept_data.transformer(60, x.shape[1], 16, 2)
    rate = _rates.CosineDecay(1e-4, 400, warmup_target=2e-3, warmup_steps=40)
    optimizer = _opt.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0)
    reader = data.Batches(x, y)
    return ready(
        model, optimizer, _BINARY, reader, None, ["accuracy"], epochs=12
    )


@case("A9")
def weighted_for_balance():
    x, y = data.flats(1600)
    y = (y > 1.6).astype("float32")
    weight = np.where(y[:, 0] > 0, 8.0, 1.0).astype("float32")
    model = dense((6,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    fit = {"epochs": 15, "sample_weight": weight}
    return ready(model, _opt.Adam(3e-3), _BINARY, x, y, ["accuracy"], **fit)


@case("A9")
def sounds_with_normalization():
    return sounds(
        _opt.Nadam(2e-3),
        layers.Normalization(mean=293.15, variance=0.16),
        layers.Conv1D(16, 7, 2, kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        scale=lambda x: 293.15 + 0.4 * x,
        epochs=20,
    )


@case("A12")
def shapes_by_separable_blocks():
    x, y = data.shapes(900)
    model = chain(
        (14, 14, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.SeparableConv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.SeparableConv2D(24, 3, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(3, "softmax"),
    )
    return ready(model, _opt.Adam(4e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A10")
def frozen_words_and_a_small_head():
    x, y = data.reviews(1200)
    table = np.random.default_rng(0).normal(0, 0.3, (60, 12))
    table[:, :3] += np.eye(3)[np.arange(60) % 3]
    fixed = layers.Embedding(
        60,
        12,
        embeddings_initializer=keras.initializers.Constant(table),
        trainable=False,
    )
    model = chain(
        x.shape[1:],
        fixed,
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, ["accuracy"], epochs=15)
