"""An eighth set that no rule was made with, most with a corrected twin.

Kinds of faults as collections of buggy programs have them: an output or a loss
that does not fit, a rate, a start, a stack, data as they come, masks, axes.
What is right was written down before any of them ran. `SICK` and `HEALTHY` as
in `kept_sick`. A program that takes `right` builds its corrected twin, too:
the sick one is scored where it gains less than half of what its twin gains.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import eighth_data as data
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_sick import own
from detection.kept_data import transformer
from detection.kept_fifth import chain
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


def arms(optimizer, *stack, **fit):
    x, y = data.spirals()
    model = chain((2,), *stack, layers.Dense(3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def beats(optimizer, *stack, silent=0.0, **fit):
    x, y = data.hearts(silent=silent)
    model = chain((64, 2), *stack, layers.Dense(3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def sums(optimizer, *stack, length=40, **fit):
    x, y = data.adding(length=length)
    model = chain((length, 2), *stack, layers.Dense(1))
    return ready(model, optimizer, "mse", x, y, **fit)


def figures(optimizer, *stack, **fit):
    x, y = digits((8, 8, 1))
    model = chain((8, 8, 1), *stack, layers.Dense(10, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


# Output and loss


@case("out", "output_mismatch")
def tanh_under_binary_crossentropy(right=False):
    x, y = data.spirals(arms=2)
    y = y.astype("float32")[:, None]
    last = "sigmoid" if right else "tanh"
    model = dense((2,), (48, "swish"), (48, "swish"), (1, last))
    return ready(
        model, _opt.Nadam(5e-3), _BINARY, x, y, ["accuracy"], epochs=20
    )


@case("out", "output_mismatch")
def softmax_for_three_free_numbers(right=False):
    x, y = data.circuit()
    y = np.concatenate([y, x[:, :1] * x[:, 1:2], -y + x[:, 3:]], -1)
    inputs = keras.Input((4,))
    h = layers.Dense(48, "gelu")(inputs)
    h = layers.Add()([h, layers.Dense(48, "gelu")(h)])
    outputs = layers.Dense(3, None if right else "softmax")(h)
    model = keras.Model(inputs, outputs)
    return ready(model, _opt.AdamW(3e-3), "mae", x, y, ["mae"], epochs=20)


@case("out", "output_mismatch")
def exponential_for_standardised_height(right=False):
    x, y = data.letters_s()
    last = "linear" if right else "exponential"
    model = dense((3,), (32, "tanh"), (32, "tanh"), (1, last))
    return ready(model, _opt.RMSprop(2e-3), "mse", x, y - 2, epochs=20)


@case("out", "output_mismatch", labelled=True)
def labels_divided_like_the_pixels():
    x, y = digits((8, 8, 1))
    model = chain(
        (8, 8, 1),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    )
    y = (y / 16).astype("float32")
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=8)


@case("A3", "output_mismatch", "frozen_layer")
def errors_are_averaged_before_they_are_squared(right=False):
    x, y = data.phase()

    def loss(y, p):
        gap = y - p
        return ops.mean(gap**2) if right else ops.square(ops.mean(gap))

    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    return own(loss, _opt.Adam(3e-3), x, y, *stack, layers.Dense(1), epochs=20)


class OverRows(layers.Layer):
    """Takes a mean over an axis and repeats it."""

    def __init__(self, axis, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, x):
        return ops.mean(x, axis=self.axis, keepdims=True) + 0 * x


@case("out", "output_mismatch", "frozen_layer")
def mean_over_the_batch_for_one_over_time(right=False):
    return beats(
        _opt.Adam(3e-3),
        layers.Conv1D(16, 9, strides=2, activation="relu"),
        layers.Conv1D(24, 5, activation="relu"),
        OverRows(1 if right else 0),
        layers.GlobalMaxPooling1D(),
        epochs=15,
    )


@case("A3", "update_ratio", "unscaled_data", labelled=True)
def reconstruction_outweighs_the_price():
    x, y = data.circuit()
    inputs = keras.Input((4,))
    h = layers.Dense(3, "tanh")(inputs)
    again = layers.Dense(4, name="again")(layers.Dense(24, "tanh")(h))
    price = layers.Dense(1, name="price")(layers.Dense(24, "tanh")(h))
    model = keras.Model(inputs, {"again": again, "price": price})
    model.compile(
        _opt.SGD(1e-6, momentum=0.9),
        {"again": "mse", "price": "mse"},
        loss_weights={"again": 1e4, "price": 1.0},
    )
    return model, x, {"again": x, "price": y}, {"epochs": 20}


# Nothing gets through


class Draw(layers.Layer):
    """Draws one of several codes; with `soft` a gradient passes."""

    def __init__(self, soft):
        super().__init__()
        self.soft = soft
        self.seed = keras.random.SeedGenerator(0)

    def call(self, x):
        lots = keras.random.uniform(ops.shape(x), 1e-4, 1.0, seed=self.seed)
        x = x - ops.log(-ops.log(lots))
        hard = ops.one_hot(ops.argmax(x, -1), x.shape[-1])
        if not self.soft:
            return hard
        share = ops.softmax(x, -1)
        return share + ops.stop_gradient(hard - share)


@case("A4", "frozen_layer")
def codes_are_drawn_by_argmax(right=False):
    x = data.cuts(400)
    x = (x - x.mean()) / x.std()
    model = chain(
        (16, 16, 1),
        layers.Conv2D(16, 4, strides=4, activation="relu"),
        layers.Conv2D(12, 1, name="scores"),
        Draw(right),
        layers.Conv2DTranspose(16, 4, strides=4, activation="relu"),
        layers.Conv2D(1, 3, padding="same"),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, x, epochs=14)


@case("A4", "frozen_layer")
def words_in_a_random_table_of_one(right=False):
    x, y = data.orders()
    model = chain(
        (60,),
        layers.Embedding(30, 8 if right else 1, trainable=right),
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    rate = _opt.Adam(1e-2)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=12)


class Rank(layers.Layer):
    """A low rank layer; both factors start as told."""

    def __init__(self, rank, units, start):
        super().__init__()
        self.rank, self.units, self.start = rank, units, start

    def build(self, shape):
        self.down = self.add_weight((shape[-1], self.rank), self.start)
        self.up = self.add_weight((self.rank, self.units), self.start)

    def call(self, x):
        return ops.tanh(ops.matmul(ops.matmul(x, self.down), self.up))

    def compute_output_shape(self, shape):
        return *shape[:-1], self.units


@case("A10", "poor_initialization", "frozen_layer")
def own_factors_start_at_zero(right=False):
    start = "glorot_uniform" if right else "zeros"
    stack = [Rank(6, 32, start), Rank(6, 32, start)]
    return figures(_opt.Adam(5e-3), layers.Flatten(), *stack, epochs=10)


# Data as they come


@case("A5", "unscaled_data", "exploding_gradient", "nonfinite_gradient")
def impedance_as_it_is_measured(right=False):
    x, y = data.circuit(raw=not right)
    model = dense((4,), (24, "relu"), (24, "relu"), (24, "relu"), (1, None))
    sgd = _opt.SGD(5e-3, momentum=0.9, nesterov=True)
    return ready(model, sgd, "mse", x, y, epochs=25)


@case("A9", "unscaled_data")
def table_drowns_the_picture(right=False):
    image, table, y = data.houses()
    if right:
        table = (table - table.mean(0)) / table.std(0)
    picture, numbers = keras.Input((12, 12, 1)), keras.Input((3,))
    a = layers.Conv2D(8, 3, strides=2, activation="relu")(picture)
    a = layers.GlobalAveragePooling2D()(a)
    b = layers.Dense(16, "relu")(numbers)
    h = layers.Dense(24, "relu")(layers.Concatenate()([a, b]))
    model = keras.Model([picture, numbers], layers.Dense(1)(h))
    adam = _opt.Adam(3e-3)
    return ready(model, adam, "mse", [image, table], y, epochs=20)


@case("A9", "output_mismatch")
def most_tickets_are_other(right=False):
    x, y = data.tickets()
    share = np.bincount(y) / len(y)
    more = {"class_weight": dict(enumerate(0.25 / share))} if right else {}
    model = dense((12,), (6, "sigmoid"), (4, "softmax"))
    rate = _opt.SGD(0.02, momentum=0.5)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=10, **more)


@case("A9", "output_mismatch", "unscaled_data", labelled=True)
def held_out_beats_in_microvolts():
    model, x, y, fit = beats(
        _opt.Adam(3e-3),
        layers.Conv1D(16, 9, strides=2, activation="relu"),
        layers.Conv1D(24, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=12,
    )
    held = (1000 * x[500:] + 400, y[500:])
    return model, x[:500], y[:500], {**fit, "validation_data": held}


@case("data", "output_mismatch")
def columns_become_rows_by_reshape(right=False):
    x, y = data.phase(800)
    if not right:
        x = x.T.reshape(-1, 4)
    model = dense((4,), (48, "relu"), (48, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case("data", "output_mismatch")
def rows_in_the_order_of_the_answer(right=False):
    x, y = data.circuit()
    order = np.argsort(y[:, 0])
    model = dense((4,), (24, "tanh"), (24, "tanh"), (1, None))
    return ready(
        model,
        _opt.SGD(0.1),
        "mse",
        x[order],
        y[order],
        epochs=20,
        shuffle=right,
    )


# Explodes, vanishes, or is not a number


@case("A6", "exploding_gradient", "poor_initialization", "update_ratio")
def thirty_relu_layers_of_wide_normals(right=False):
    wide = keras.initializers.RandomNormal(stddev=0.3)
    how = "he_normal" if right else wide
    stack = [
        layers.Dense(48, "relu", kernel_initializer=how) for _ in range(24)
    ]
    return arms(_opt.SGD(1e-3, momentum=0.9), *stack, epochs=12)


@case("A6", "exploding_gradient", "nonfinite_gradient")
def linear_memory_of_more_than_one(right=False):
    start = keras.initializers.Identity(1.0 if right else 1.25)
    memory = layers.SimpleRNN(
        24,
        "tanh" if right else "linear",
        recurrent_initializer=start,
    )
    return sums(_opt.SGD(0.02), memory, length=50, epochs=20)


@case("A6", "vanishing_gradient", "saturated_activation")
def sigmoid_memory_of_sixty_steps(right=False):
    memory = (
        layers.GRU(24)
        if right
        else layers.SimpleRNN(24, "sigmoid", name="memory")
    )
    x, y = data.adding(length=60)
    y = x[:, :8, 0].mean(1, keepdims=True) * 3
    model = chain((60, 2), memory, layers.Dense(1))
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=18)


@case("A6", "vanishing_gradient")
def padding_behind_the_words_is_read(right=False):
    x, y = data.orders()
    model = chain(
        (60,),
        layers.Embedding(30, 12, mask_zero=right),
        layers.SimpleRNN(24),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    adam = _opt.Adam(1e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("deep", "vanishing_gradient", "saturated_activation")
def sigmoids_in_one_dimension(right=False):
    kind = "relu" if right else "sigmoid"
    stack = [
        layers.Conv1D(16, 5, padding="same", activation=kind) for _ in range(9)
    ]
    return beats(
        _opt.Adam(1e-3), *stack, layers.GlobalMaxPooling1D(), epochs=15
    )


class Logs(layers.Layer):
    """Takes the logarithm of what is above zero."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def call(self, x):
        return ops.log(ops.relu(x) + self.least)


@case("A7", "nonfinite_gradient")
def logarithm_behind_relu(right=False):
    x, y = data.letters_s()
    model = chain(
        (3,),
        layers.Dense(32),
        Logs(1.0 if right else 0.0),
        layers.Dense(32, "elu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=15)


class Spread(layers.Layer):
    """Takes the spread over time."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def call(self, x):
        return ops.sqrt(ops.var(x, axis=1) + self.least)


@case("A7", "nonfinite_gradient")
def spread_of_silent_recordings(right=False):
    return beats(
        _opt.Adam(5e-3),
        layers.Conv1D(16, 7, activation="relu"),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        Spread(1e-4 if right else 0.0),
        silent=0.02,
        epochs=15,
    )


# Penalty, decay, schedules, clipping, rates


@case("A8", "update_ratio")
def l1_on_separable_convolutions(right=False):
    cost = keras.regularizers.L1(1e-6 if right else 0.05)
    how = {
        "depthwise_regularizer": cost,
        "pointwise_regularizer": cost,
        "activation": "relu",
    }
    return figures(
        _opt.Adam(3e-3),
        layers.SeparableConv2D(24, 3, **how),
        layers.SeparableConv2D(24, 3, **how),
        layers.Flatten(),
        epochs=12,
    )


@case("A8", "update_ratio")
def decay_of_twenty_in_nadam(right=False):
    rate = _opt.Nadam(3e-3, weight_decay=1e-3 if right else 20.0)
    return sums(rate, layers.Bidirectional(layers.GRU(12)), epochs=18)


@case("A8", "update_ratio")
def inverse_time_of_ten_a_step(right=False):
    steps = _rates.InverseTimeDecay(5e-3, 500 if right else 1, 10.0)
    return arms(
        _opt.Adam(steps),
        layers.Dense(48, "relu"),
        layers.Dense(48, "relu"),
        epochs=20,
    )


@case("A8", "update_ratio")
def cosine_counts_epochs(right=False):
    epochs = 12
    steps = _rates.CosineDecay(3e-3, epochs * (57 if right else 1))
    return figures(
        _opt.AdamW(steps),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        epochs=epochs,
    )


@case("A8", "clipping")
def cleaner_under_a_tiny_norm(right=False):
    y = data.cuts(400, name="china.jpg")
    y = (y - y.mean()) / y.std()
    noise = 0.5 * np.random.default_rng(1).normal(size=y.shape)
    model = chain(
        (16, 16, 1),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(
            16, 3, strides=2, padding="same", activation="relu"
        ),
        layers.Conv2D(1, 3, padding="same"),
    )
    clip = 10.0 if right else 1e-4
    sgd = _opt.SGD(0.05, momentum=0.9, global_clipnorm=clip)
    x = (y + noise).astype("float32")
    return ready(model, sgd, "mse", x, y, epochs=16)


@case("rate", "update_ratio")
def all_rows_in_one_batch(right=False):
    return arms(
        _opt.SGD(0.01 if not right else 0.3, momentum=0.9 if right else 0.0),
        layers.Dense(32, "tanh"),
        layers.Dense(32, "tanh"),
        epochs=300 if not right else 60,
        batch_size=900 if not right else 32,
    )


@case("rate", "update_ratio")
def lion_at_a_hundred_millionth(right=False):
    return beats(
        _opt.Lion(1e-3 if right else 1e-8),
        layers.Conv1D(16, 9, strides=4, activation="gelu"),
        layers.Flatten(),
        layers.Dense(24, "gelu"),
        epochs=15,
    )


@case("rate", "update_ratio", "dead_relu", "exploding_gradient")
def units_die_at_rmsprop_of_a_third(right=False):
    return figures(
        _opt.RMSprop(1e-3 if right else 0.3),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(16, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(24, "relu"),
        epochs=10 if not right else 25,
    )


@case("drop", "update_ratio")
def channels_and_steps_are_dropped(right=False):
    rate = 0.1 if right else 0.92
    return beats(
        _opt.Adam(3e-3),
        layers.Conv1D(16, 9, strides=2, activation="relu"),
        layers.SpatialDropout1D(rate),
        layers.Conv1D(24, 5, activation="relu"),
        layers.SpatialDropout1D(rate),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(rate),
        epochs=12,
    )


# Starts, GANs, Transformers


@case("A10", "poor_initialization", "saturated_activation")
def recurrent_weights_above_zero(right=False):
    start = keras.initializers.RandomUniform(0.0, 0.6)
    how = "glorot_uniform" if right else start
    more = "orthogonal" if right else start
    memory = layers.SimpleRNN(
        24, kernel_initializer=how, recurrent_initializer=more
    )
    x, y = data.hearts()
    model = chain(
        (64, 2),
        layers.Conv1D(12, 8, strides=4, kernel_initializer=how),
        memory,
        layers.Dense(3, "softmax", kernel_initializer=how),
    )
    sgd = _opt.SGD(0.02, momentum=0.9)
    return ready(model, sgd, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A10", "poor_initialization")
def one_unit_behind_the_convolutions(right=False):
    return figures(
        _opt.Adam(3e-3),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Conv2D(24, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(24 if right else 1, "tanh"),
        epochs=10,
    )


@case("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def judge_learns_a_thousand_times_faster():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.letters_s(1280)
    generator = dense((LATENT,), (32, "tanh"), (3, None))
    judge = dense((3,), (64, "elu"), (64, "elu"), (64, "elu"), (1, None))
    model = GAN(generator, judge)
    model.compile(_opt.Adam(5e-3), _opt.Adam(5e-6))
    return model, x + 3, None, {"epochs": 20}


@case("A11", "update_ratio", "vanishing_gradient", "exploding_gradient")
def eight_blocks_at_once_at_full_rate(right=False):
    x, y = data.orders()
    model = transformer(30, 60, 24, 6, before=right)
    model = keras.Model(
        model.inputs, layers.Dense(3, "softmax")(model.layers[-2].output)
    )
    adam = _opt.Adam(1e-3 if right else 2e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=5)


class Look(layers.Layer):
    """Attention by scores that are scaled as told."""

    def __init__(self, width, scale, axis=-1):
        super().__init__()
        self.parts = [layers.Dense(width) for _ in range(3)]
        self.scale, self.axis = scale, axis

    def build(self, shape):
        for part in self.parts:
            part.build(shape)

    def call(self, x):
        query, key, value = (part(x) for part in self.parts)
        scores = ops.matmul(query, ops.swapaxes(key, 1, 2)) * self.scale
        return ops.matmul(ops.softmax(scores, self.axis), value)

    def compute_output_shape(self, shape):
        return *shape[:-1], self.parts[2].units


class Places(layers.Layer):
    """Adds a row of its own to each place."""

    def __init__(self, count, width):
        super().__init__()
        self.table = layers.Embedding(count, width)
        self.count = count

    def build(self, shape):
        self.table.build((None, self.count))

    def call(self, x):
        return x + self.table(ops.arange(self.count)[None])


@case("A11", "saturated_activation", "frozen_layer", "vanishing_gradient")
def scores_a_thousand_times_too_large(right=False):
    x, y = data.phrases()
    words = keras.Input((20,), dtype="int32")
    h = Places(20, 24)(layers.Embedding(25, 24)(words))
    h = h + Look(24, 0.2 if right else 1e3)(10 * h)
    h = layers.Dense(64, "relu")(h)
    model = keras.Model(words, layers.Dense(25, "softmax")(h))
    adam = _opt.Adam(3e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=12)


# Healthy, each near to one of those above


@case("out")
def accuracy_of_a_regression():
    x, y = data.phase()
    model = dense((4,), (48, "relu"), (48, "relu"), (1, None))
    adam = _opt.Adam(3e-3)
    return ready(model, adam, "mse", x, y, ["accuracy"], epochs=20)


@case("out")
def exponential_for_what_is_above_zero():
    x, y = data.letters_s()
    model = dense((3,), (32, "tanh"), (32, "tanh"), (1, "exponential"))
    y = np.exp(0.5 * y).astype("float32")
    return ready(model, _opt.RMSprop(2e-3), "mse", x, y, epochs=20)


@case("A6")
def twenty_selu_layers():
    stack = [
        layers.Dense(32, "selu", kernel_initializer="lecun_normal")
        for _ in range(20)
    ]
    return arms(_opt.SGD(5e-3, momentum=0.9), *stack, epochs=20)


@case("A6")
def identity_memory_under_a_clip():
    memory = layers.SimpleRNN(
        24, "relu", recurrent_initializer=keras.initializers.Identity()
    )
    adam = _opt.Adam(5e-3, clipnorm=1.0)
    return sums(adam, memory, length=30, epochs=20)


@case("A7")
def logarithm_of_one_more():
    return logarithm_behind_relu(True)


@case("A7")
def spread_and_a_small_number():
    return spread_of_silent_recordings(True)


@case("A8")
def cosine_counts_steps():
    return cosine_counts_epochs(True)


@case("A9")
def most_are_other_and_weighted():
    x, y = data.tickets(share=0.9)
    share = np.bincount(y) / len(y)
    model = dense((12,), (24, "relu"), (4, "softmax"))
    return ready(
        model,
        _opt.Adam(5e-3),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=12,
        class_weight=dict(enumerate(0.25 / share)),
    )


@case("rate")
def all_rows_in_one_batch_by_adam():
    return arms(
        _opt.Adam(0.02),
        layers.Dense(48, "tanh"),
        layers.Dense(48, "tanh"),
        epochs=250,
        batch_size=900,
    )


@case("drop")
def half_of_the_units_are_dropped():
    return beats(
        _opt.Adam(3e-3),
        layers.Conv1D(24, 9, strides=2, activation="relu"),
        layers.SpatialDropout1D(0.3),
        layers.Conv1D(32, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(0.5),
        epochs=15,
    )


@case("A6")
def padding_behind_the_words_is_masked():
    return padding_behind_the_words_is_read(True)


@case("A4")
def codes_are_drawn_with_a_gradient():
    return codes_are_drawn_by_argmax(True)


@case("A11")
def attention_of_plain_scores():
    return scores_a_thousand_times_too_large(True)
