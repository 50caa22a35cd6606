"""A fourteenth set that no rule was made with, over all backends by lot.

Genes, spectra, strokes, chirps, boards, graphs, weather, visits and notes, all
made up, in the usual styles, each fault as its user would make it. What is
right was written down before any of them was watched. `SICK` and `HEALTHY` as
in `kept_sick`. A program that takes `right` builds its corrected twin, too.
`SEEDS` is the seed that the lot gave each.
"""

import random

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import fourteenth_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.fourteenth_data import standard
from detection.kept_data import Attend
from detection.kept_fifth import chain
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY

SICK: dict = {}
HEALTHY: dict = {}
SEEDS: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
_start = keras.initializers


def case(point, *rules, labelled=False, only=None):
    def keep(function):
        name = function.__name__
        if rules:
            SICK[name] = (point, rules, function)
        else:
            HEALTHY[name] = (point, function)
        SEEDS[name] = random.Random(f"seed of {name}").choice((1, 2, 3))
        if labelled:
            LABELLED.add(name)
        if only:
            ONLY[name] = only
        return function

    return keep


def degrees(optimizer, *stack, loss="mse", x=None, factor=0.1, **fit):
    """Return a net for the weather of tomorrow, in tens of degrees."""
    table, y = data.weather()
    x = standard(table) if x is None else x
    return ready(dense((4,), *stack), optimizer, loss, x, factor * y, **fit)


def tissue(optimizer, *stack, x=None, **fit):
    logs, y = data.logs_of_genes()
    x = logs if x is None else x
    net = chain((60,), *stack, layers.Dense(4, "softmax"))
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def note(optimizer, *stack, **fit):
    x, y = data.bags()
    net = chain((90,), *stack, layers.Dense(4, "softmax"))
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def chirp(optimizer, *stack, **fit):
    x, y = data.chirps()
    net = chain((80, 1), *stack, layers.Dense(3, "softmax"))
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def stroke(optimizer, *stack, **fit):
    x, y = data.strokes()
    net = chain((24, 3), *stack, layers.Dense(4, "softmax"))
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def board(optimizer, *stack, **fit):
    x, y = data.boards()
    net = chain((8, 8, 4), *stack, layers.Dense(3, "softmax"))
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def dye(optimizer, *stack, factor=0.02, loss="mse", **fit):
    """Return a net for a share of 50 mg of a dye, unless told otherwise."""
    x, y = data.absorbed()
    return ready(dense((48,), *stack), optimizer, loss, x, factor * y, **fit)


def water(optimizer, net, loss=_BINARY, **fit):
    x, y = data.lakes()
    return ready(net, optimizer, loss, x, y, **fit)


def built(model, optimizer, loss, x, y, metrics=(), **fit):
    """Return a program of a subclassed model, which saw two rows."""
    model.compile(optimizer, loss, metrics=list(metrics))
    model([part[:2] for part in x] if isinstance(x, list) else x[:2])
    return model, x, y, fit


class Batches(keras.utils.PyDataset):
    """Rows in batches, in a new order for each epoch."""

    def __init__(self, x, y, together=True, size=32):
        super().__init__()
        self.x, self.y = x.copy(), y.copy()
        self.together, self.size = together, size
        self.rng = np.random.default_rng(5)

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, at):
        rows = slice(at * self.size, (at + 1) * self.size)
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        order = self.rng.permutation(len(self.x))
        self.x = self.x[order]
        if self.together:
            self.y = self.y[order]


# What the output can give, and losses without a floor


@case("out", "output_mismatch", "dead_relu")
def frost_by_a_last_relu(right=False):
    x, y = data.weather()
    y = (y - 14) / 8
    last = None if right else "relu"
    net = dense((4,), (24, "relu"), (24, "relu"), (1, last))
    return ready(net, _opt.Adam(5e-3), "mse", standard(x), y, epochs=20)


@case("out", "output_mismatch", "saturated_activation", "unscaled_data")
def milligrams_by_a_tanh(right=False):
    last, factor = (None, 0.02) if right else ("tanh", 1.0)
    stack = (32, "relu"), (16, "relu"), (1, last)
    return dye(_opt.Adam(5e-3), *stack, factor=factor, epochs=20)


@case("A3", "output_mismatch", only=["jax", "tensorflow"])
def tissues_as_one_probability(right=False):
    x, y = data.logs_of_genes()
    if right:
        return tissue(_opt.Adam(3e-3), layers.Dense(32, "relu"), epochs=15)
    y = y[:, None].astype("float32")
    net = dense((60,), (32, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(3e-3), _BINARY, x, y, epochs=15)


@case("out", "output_mismatch", "exploding_gradient", "nonfinite_gradient")
def scores_of_strokes_without_a_softmax(right=False):
    x, y = data.strokes()
    net = chain(
        (24, 3),
        layers.Conv1D(16, 5, activation="relu"),
        layers.Conv1D(16, 5, activation="relu"),
        layers.Flatten(),
        layers.Dense(4),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=right)
    return ready(net, _opt.Adam(3e-3), loss, x, y, ["accuracy"], epochs=12)


# What it predicts follows the hours a little, but its loss is no number.
@case("A7", "nonfinite_gradient", "output_mismatch", labelled=True)
def hours_of_rain_below_zero(right=False):
    x, y = data.hours_of_rain()
    last = "exponential" if right else None
    net = dense((5,), (24, "relu"), (1, last))
    return ready(net, _opt.Adam(5e-3), "poisson", x, y, epochs=15)


@case(
    "A3",
    "output_mismatch",
    "exploding_gradient",
    "nonfinite_gradient",
    "saturated_activation",
)
def likelihood_of_a_buy_is_minimised(right=False):
    _, x, y = data.visits()

    def loss(t, p):
        p = ops.clip(p, 1e-7, 1 - 1e-7)
        much = ops.mean(t * ops.log(p) + (1 - t) * ops.log(1 - p))
        return -much if right else much

    net = dense((4,), (16, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(5e-3), loss, x, y, epochs=15)


@case("A3", "output_mismatch")
def flat_milligrams_under_a_loss_of_ones_own(right=False):
    x, y = data.absorbed()
    y = 0.02 * (y if right else y[:, 0])

    class Dyes(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = dense((48,), (32, "relu"), (16, "relu"), (1, None))

        def call(self, x):
            return self.net(x)

        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            return ops.mean(ops.square(y_pred - y))

    return built(Dyes(), _opt.Adam(5e-3), None, x, y, epochs=20)


@case("A3", "output_mismatch", "update_ratio", labelled=True)
def spectra_by_a_code_under_a_sum_of_divergences(right=False):
    x, _ = data.absorbed()

    class Coder(keras.Model):
        def __init__(self):
            super().__init__()
            self.read = dense((48,), (32, "relu"), (8, None))
            self.give = dense((4,), (32, "relu"), (48, None))
            self.seeds = keras.random.SeedGenerator(3)

        def call(self, x):
            mean, log = ops.split(self.read(x), 2, -1)
            each = -0.5 * (1 + log - ops.square(mean) - ops.exp(log))
            self.add_loss(1e-4 * ops.mean(each) if right else ops.sum(each))
            noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
            return self.give(mean + ops.exp(0.5 * log) * noise)

    return built(Coder(), _opt.Adam(3e-3), "mse", x, x, epochs=20)


# Gradients that are cut


# TensorFlow itself refuses a loss that has no gradient at all.
@case("A4", "frozen_layer", only=["jax", "torch"])
def hours_of_rain_in_whole_numbers(right=False):
    x, y = data.hours_of_rain()

    def loss(t, p):
        return ops.mean(ops.square(t - (p if right else ops.round(p))))

    net = dense((5,), (24, "relu"), (12, "relu"), (1, "softplus"))
    return ready(net, _opt.Adam(5e-3), loss, x, y, epochs=15)


@case("A4", "frozen_layer", labelled=True)
def numbers_of_a_visit_are_forgotten(right=False):
    pages, numbers, y = data.visits()

    class Buys(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(40, 8)
            self.mean = layers.GlobalAveragePooling1D()
            self.numbers = layers.Dense(8, "relu")
            self.both = layers.Concatenate()
            self.head = dense((16,), (16, "relu"), (1, "sigmoid"))

        def call(self, inputs):
            a = self.mean(self.table(inputs[0]))
            b = self.numbers(inputs[1])
            return self.head(self.both([a, b] if right else [a, a]))

    x, adam = [pages, numbers], _opt.Adam(5e-3)
    return built(Buys(), adam, _BINARY, x, y, ["accuracy"], epochs=15)


@case(
    "A4",
    "frozen_layer",
    "saturated_activation",
    "vanishing_gradient",
    "poor_initialization",
)
def frozen_body_that_was_never_loaded(right=False):
    body = chain(
        (60,),
        *[layers.Dense(24, "sigmoid") for _ in range(5)],
    )
    if right:
        body = dense((60,), (32, "relu"), (24, "relu"))
    body.trainable = right
    return tissue(_opt.Adam(2e-3), body, epochs=15)


@case("A4", "frozen_layer", labelled=True)
def graph_is_read_under_a_stop(right=False):
    x, y = data.graphs()

    class Convolve(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.own, self.near = layers.Dense(units), layers.Dense(units)

        def build(self, shape):
            self.own.build(shape)
            self.near.build(shape)
            self.built = True

        def call(self, h, edges):
            return ops.relu(self.own(h) + self.near(ops.matmul(edges, h)))

    marks, edges = keras.Input((10, 4)), keras.Input((10, 10))
    h = Convolve(16)(marks, edges)
    h = Convolve(3)(h, edges)
    if not right:
        h = layers.Lambda(ops.stop_gradient, output_shape=(10, 3))(h)
    h = layers.GlobalMaxPooling1D()(h)
    h = layers.Dense(3, "softmax")(h)
    net = keras.Model([marks, edges], h)
    return ready(net, _opt.Adam(1e-2), _SPARSE, x, y, ["accuracy"], epochs=20)


# Too large, or no number


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "output_mismatch",
    "update_ratio",
    "nonfinite_gradient",
)
def weather_as_measured_by_sgd(right=False):
    x = None if right else data.weather()[0]
    stack = (24, "relu"), (24, "relu"), (1, None)
    factor = 0.1 if right else 1.0
    return degrees(_opt.SGD(0.01), *stack, x=x, factor=factor, epochs=20)


@case(
    "A6",
    "exploding_gradient",
    "poor_initialization",
    "update_ratio",
    "nonfinite_gradient",
)
def drift_by_a_linear_memory_of_wide_normals(right=False):
    x, y = data.drift()
    wide = _start.RandomNormal(stddev=0.5)
    start = "orthogonal" if right else wide
    net = chain(
        (32, 1),
        layers.SimpleRNN(
            32,
            activation="tanh" if right else "linear",
            recurrent_initializer=start,
        ),
        layers.Dense(1),
    )
    return ready(net, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case(
    "A6",
    "exploding_gradient",
    "poor_initialization",
    "update_ratio",
    "dead_relu",
    "saturated_activation",
    "nonfinite_gradient",
)
def tissues_from_normals_of_one(right=False):
    start = "he_normal" if right else _start.RandomNormal(stddev=1.0)
    stack = [
        layers.Dense(64, "relu", kernel_initializer=start) for _ in range(5)
    ]
    return tissue(_opt.SGD(0.02), *stack, epochs=15)


@case("A7", "nonfinite_gradient", "unscaled_data")
def logarithm_of_words_that_are_missing(right=False):
    log = ops.log1p if right else ops.log
    return note(
        _opt.Adam(5e-3),
        layers.Lambda(log, output_shape=(90,)),
        layers.Dense(24, "relu"),
        epochs=10,
    )


@case("A7", "nonfinite_gradient")
def spread_of_a_pen_at_rest(right=False):
    class Spread(layers.Layer):
        def call(self, h):
            rest = ops.var(h, axis=1)
            return ops.sqrt(rest + 1e-5 if right else rest)

        def compute_output_shape(self, shape):
            return shape[0], shape[2]

    x, y = data.strokes()
    x[5::40] = 0  # pens that were never moved
    net = chain(
        (24, 3),
        layers.Conv1D(16, 3, activation="relu"),
        layers.Conv1D(16, 3, activation="relu"),
        Spread(),
        layers.Dense(4, "softmax"),
    )
    return ready(net, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A7", "nonfinite_gradient", "unscaled_data")
def length_of_an_empty_note(right=False):
    x, y = data.bags(empty=0.02)

    class Unit(layers.Layer):
        def call(self, h):
            long = ops.sqrt(ops.sum(ops.square(h), -1, keepdims=True))
            return h / (ops.maximum(long, 1.0) if right else long)

    net = chain(
        (90,),
        Unit(),
        layers.Dense(24, "relu"),
        layers.Dense(4, "softmax"),
    )
    return ready(net, _opt.Adam(5e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


# Penalties, decay, schedules, clips, rates


@case("A8", "update_ratio")
def l1_of_a_half_on_every_kernel(right=False):
    x, y = data.absorbed()
    how = {} if right else {"kernel_regularizer": keras.regularizers.L1(0.5)}
    net = dense((48,), (32, "relu"), (16, "relu"), (1, None), **how)
    y = (y - 25) / 15
    return ready(net, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case("A8", "update_ratio")
def sgd_that_forgets_a_fifth_at_each_step(right=False):
    decay = {} if right else {"weight_decay": 4.0}
    sgd = _opt.SGD(0.05, momentum=0.9, **decay)
    return chirp(
        sgd,
        layers.Conv1D(16, 9, strides=2, activation="relu"),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.Flatten(),
        epochs=15,
    )


@case("A8", "update_ratio", "dead_relu")
def quiet_units_at_any_price(right=False):
    quiet = keras.regularizers.L1(1e-6 if right else 1.0)
    return board(
        _opt.Adam(3e-3),
        layers.Flatten(),
        layers.Dense(32, "relu", activity_regularizer=quiet),
        layers.Dense(16, "relu", activity_regularizer=quiet),
        epochs=15,
    )


@case("A8", "update_ratio")
def cosine_over_epochs_instead_of_steps(right=False):
    rate = _rates.CosineDecay(1e-3, 15 * 16 if right else 15)
    return stroke(
        _opt.Adam(rate),
        layers.Conv1D(12, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        epochs=15,
    )


@case("A8", "update_ratio")
def rate_times_a_tenth_at_each_epoch(right=False):
    def rate(epoch, now):
        return 0.97 * now if right else 0.1 * now

    calls = [keras.callbacks.LearningRateScheduler(rate)]
    x, y = data.boards()
    net = chain(
        (8, 8, 4),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(3, "softmax"),
    )
    sgd = _opt.SGD(0.05, momentum=0.9 if right else 0.0)
    return ready(
        net, sgd, _SPARSE, x, y, ["accuracy"], epochs=15, callbacks=calls
    )


@case("A8", "clipping")
def weather_under_a_norm_of_a_ten_thousandth(right=False):
    most = {} if right else {"global_clipnorm": 1e-4}
    sgd = _opt.SGD(0.05, momentum=0.9, **most)
    return degrees(sgd, (24, "tanh"), (24, "tanh"), (1, None), epochs=20)


@case("rate", "update_ratio")
def epsilon_of_ten_in_adam(right=False):
    adam = _opt.Adam(1e-3, epsilon=1e-7 if right else 10.0)
    return note(
        adam,
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        epochs=15,
    )


# An area of order may be there from the start, as it is under one seed.
@case("rate", "update_ratio", "vanishing_gradient", labelled=True)
def loss_is_divided_to_look_small(right=False):
    def loss(t, p):
        each = keras.losses.binary_crossentropy(t, p)
        return ops.mean(each) * (1.0 if right else 1e-5)

    _, x, y = data.visits()
    net = dense((4,), (24, "relu"), (12, "relu"), (1, "sigmoid"))
    return ready(net, _opt.SGD(0.2), loss, x, y, ["accuracy"], epochs=20)


@case(
    "rate",
    "update_ratio",
    "exploding_gradient",
    "dead_relu",
    "saturated_activation",
    "nonfinite_gradient",
)
def boards_by_momentum_at_a_rate_of_two(right=False):
    return board(
        _opt.SGD(0.03 if right else 2.0, momentum=0.9),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(24, "relu"),
        epochs=15,
    )


# Data


@case("A9", "unscaled_data", "saturated_activation")
def reads_of_genes_as_counted(right=False):
    return tissue(
        _opt.SGD(0.05, momentum=0.9),
        layers.Dense(32, "tanh"),
        layers.Dense(16, "tanh"),
        x=None if right else data.genes()[0],
        epochs=15,
    )


@case(
    "A9",
    "unscaled_data",
    "dead_relu",
    "exploding_gradient",
    "update_ratio",
    "output_mismatch",
)
def gaps_of_the_station_are_minus_9999(right=False):
    x = data.weather()[0]
    gone = np.random.default_rng(6).random(x.shape) < 0.1
    x = np.where(gone, np.float32(x.mean(0) if right else -9999), x)
    x = standard(x) if right else x
    stack = (24, "relu"), (24, "relu"), (1, None)
    return degrees(_opt.Adam(5e-3), *stack, x=x, epochs=20)


@case("A9", "unscaled_data", "saturated_activation", "dead_relu")
def drift_about_293_kelvin(right=False):
    x, y = data.drift()
    x = x if right else 293 + 0.3 * x
    net = chain(
        (32, 1),
        layers.LSTM(16),
        layers.Dense(1),
    )
    return ready(net, _opt.Adam(1e-2), "mse", x, y, epochs=15)


@case("A9", "output_mismatch", labelled=True)
def one_visit_in_three_hundred_buys():
    _, x, y = data.visits(1200, share=1 / 300)
    net = dense((4,), (16, "relu"), (8, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=8)


@case("A9", "output_mismatch", labelled=True)
def ponds_of_a_single_pixel(right=False):
    rare = {} if right else {"dry": 0.7, "wide": 0.9}
    x, y = data.lakes(**rare)
    net = chain(
        (16, 16, 3),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    )
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(net, sgd, _BINARY, x, y, epochs=15)


@case("A9", "output_mismatch", labelled=True)
def order_of_epochs_leaves_labels_behind(right=False):
    x, y = data.chirps()
    net = chain(
        (80, 1),
        layers.Conv1D(12, 9, strides=2, activation="relu"),
        layers.Conv1D(12, 7, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, "softmax"),
    )
    net.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    return net, Batches(x, y, together=right), None, {"epochs": 20}


@case("A9", "output_mismatch", labelled=True)
def held_out_rows_are_a_topic_of_their_own(right=False):
    x, y = data.bags()
    order = np.random.default_rng(7).permutation(len(y))
    order = order if right else np.argsort(y, kind="stable")
    x, y = x[order], y[order]
    net = dense((90,), (24, "relu"), (4, "softmax"))
    held = {"validation_split": 0.3}
    adam = _opt.Adam(5e-3)
    return ready(net, adam, _SPARSE, x, y, ["accuracy"], epochs=12, **held)


@case("A9", "frozen_layer", "output_mismatch", "vanishing_gradient")
def averages_of_a_batch_of_one(right=False):
    x, y = data.logs_of_genes()
    x, y = x[:160], y[:160]
    net = chain((60,))
    for units in (24, 16):
        net.add(layers.Dense(units))
        net.add(layers.BatchNormalization())
        net.add(layers.ReLU())
    net.add(layers.Dense(4, "softmax"))
    size, epochs = (16, 30) if right else (1, 3)
    sgd = _opt.SGD(0.01, momentum=0.9)
    return ready(net, sgd, _SPARSE, x, y, epochs=epochs, batch_size=size)


# Starts, depth, one unit


@case("A10", "poor_initialization", "saturated_activation")
def every_weight_is_a_half(right=False):
    start = "glorot_uniform" if right else _start.Constant(0.5)
    how = {"kernel_initializer": start}
    net = dense((90,), (24, "tanh"), (16, "tanh"), (4, "softmax"), **how)
    x, y = data.bags()
    sgd = _opt.SGD(0.1)
    return ready(net, sgd, _SPARSE, x, y, ["accuracy"], epochs=15)


@case(
    "A10",
    "poor_initialization",
    "vanishing_gradient",
    "frozen_layer",
    "dead_relu",
)
def layers_of_ones_own_start_at_zero(right=False):
    class Linear(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.units = units

        def build(self, shape):
            start = "glorot_uniform" if right else "zeros"
            self.w = self.add_weight((shape[-1], self.units), start, name="w")
            self.b = self.add_weight((self.units,), "zeros", name="b")
            self.built = True

        def call(self, x):
            return ops.relu(ops.matmul(x, self.w) + self.b)

        def compute_output_shape(self, shape):
            return (*shape[:-1], self.units)

    adam = _opt.Adam(3e-3)
    return tissue(adam, Linear(32), Linear(16), epochs=12)


@case("A10", "poor_initialization", "dead_relu")
def genes_through_a_code_of_one(right=False):
    x, _ = data.logs_of_genes()
    stack = (32, "relu"), (12 if right else 1, "relu"), (32, "relu"), (60, None)
    return ready(dense((60,), *stack), _opt.Adam(3e-3), "mse", x, x, epochs=20)


@case("deep", "vanishing_gradient", "saturated_activation")
def nine_sigmoid_layers_for_notes(right=False):
    kind, count = ("relu", 2) if right else ("sigmoid", 9)
    stack = [layers.Dense(32, kind) for _ in range(count)]
    return note(_opt.SGD(0.1, momentum=0.9), *stack, epochs=15)


@case("deep", "vanishing_gradient", "poor_initialization", "update_ratio")
def boards_from_normals_of_a_thousandth(right=False):
    start = "he_normal" if right else _start.RandomNormal(stddev=0.001)
    how = {"activation": "relu", "kernel_initializer": start}
    return board(
        _opt.SGD(0.02, momentum=0.9),
        layers.Conv2D(8, 3, **how),
        layers.Conv2D(8, 3, **how),
        layers.Flatten(),
        layers.Dense(24, **how),
        epochs=15,
    )


@case("deep", "vanishing_gradient", "saturated_activation")
def first_step_of_an_echo_by_a_sigmoid_memory(right=False):
    x, y = data.echoes()
    net = chain(
        (50, 1),
        layers.SimpleRNN(
            16,
            activation="tanh" if right else "sigmoid",
            recurrent_initializer="orthogonal" if right else "glorot_uniform",
            go_backwards=right,
        ),
        layers.Dense(1, "sigmoid"),
    )
    return ready(net, _opt.Adam(5e-3), _BINARY, x, y, ["accuracy"], epochs=10)


@case("dead", "dead_relu", "frozen_layer")
def zero_is_the_most_of_a_relu(right=False):
    def relu():
        return layers.ReLU(negative_slope=0.0) if right else layers.ReLU(0.0)

    return note(
        _opt.Adam(3e-3),
        layers.Dense(32),
        relu(),
        layers.Dense(16),
        relu(),
        epochs=12,
    )


# Steps of one's own


class Stepped(keras.Model):
    """A body and a head under a train step as guides have it.

    Args:
        body: Model from inputs to numbers.
        head: Model from these to what is predicted.
        all_of_it: Whether the body is trained with the head.
        afresh: Whether gradients are set to zero before each step.
    """

    def __init__(self, body, head, all_of_it=True, afresh=True):
        super().__init__()
        self.body, self.head = body, head
        self.all_of_it, self.afresh = all_of_it, afresh

    def call(self, x):
        return self.head(self.body(x))

    def train_step(self, batch):
        x, y = batch
        mine = self if self.all_of_it else self.head
        variables = mine.trainable_variables
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            self.optimizer.apply(tape.gradient(loss, variables), variables)
        else:
            import torch

            if self.afresh:
                self.zero_grad()
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            loss.backward()
            with torch.no_grad():
                grads = [v.value.grad for v in variables]
                self.optimizer.apply(grads, variables)
            loss = loss.detach()
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return {"loss": loss}


@case("A4", "frozen_layer", labelled=True, only=["tensorflow", "torch"])
def step_that_trains_the_head_alone(right=False):
    x, y = data.logs_of_genes()
    body = dense((60,), (24, "relu"), (3, "tanh"))
    net = Stepped(body, dense((3,), (4, "softmax")), all_of_it=right)
    return built(net, _opt.Adam(1e-2), _SPARSE, x, y, epochs=15)


@case(
    "A6",
    "exploding_gradient",
    "update_ratio",
    "dead_relu",
    "saturated_activation",
    only=["torch"],
)
def gradients_of_all_steps_add_up(right=False):
    x, y = data.boards()
    body = chain(
        (8, 8, 4),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(32, "relu"),
    )
    net = Stepped(body, dense((32,), (3, "softmax")), afresh=right)
    return built(net, _opt.SGD(0.3), _SPARSE, x, y, epochs=15)


# Sides of a game, attention


def forged(forger, judge, epochs=12):
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.absorbed()
    made = dense((LATENT,), (32, "relu"), (48, "sigmoid"))
    judged = dense((48,), (32, "leaky_relu"), (16, "leaky_relu"), (1, None))
    model = GAN(made, judged)
    model.compile(_opt.Adam(judge, 0.5), _opt.Adam(forger, 0.5))
    return model, x, None, {"epochs": epochs}


@case(
    "A11",
    "exploding_gradient",
    "update_ratio",
    "output_mismatch",
    labelled=True,
    only=["tensorflow", "torch"],
)
def forger_of_spectra_has_lost():
    return forged(1e-7, 5e-3)


def pages(optimizer, *blocks, **fit):
    x, _, _ = data.visits()
    much = np.sin(1.0 + x).sum(-1, keepdims=True)
    y = (much > np.median(much)).astype("float32")
    net = chain(
        (12,),
        layers.Embedding(40, 16),
        *blocks,
        layers.GlobalAveragePooling1D(),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(net, optimizer, _BINARY, x, y, ["accuracy"], **fit)


@case(
    "A11",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
    "vanishing_gradient",
    labelled=True,
)
def visits_by_three_blocks_at_full_rate(right=False):
    blocks = [Attend(16, before=right) for _ in range(1 if right else 3)]
    return pages(_opt.Adam(3e-3 if right else 0.1), *blocks, epochs=10)


# Healthy, some of difficult look


@case("dead")
def weather_by_five_rectified_units():
    stack = (5, "relu"), (1, None)
    return degrees(_opt.Adam(2e-2), *stack, epochs=20)


@case("A9")
def notes_without_a_hidden_layer():
    return note(_opt.Adam(1e-2), epochs=15)


@case("A9")
def tissues_behind_logarithms():
    x, y = data.genes()
    norm = layers.Normalization()
    norm.adapt(np.log1p(x))
    net = chain(
        (60,),
        layers.Lambda(ops.log1p, output_shape=(60,)),
        norm,
        layers.Dense(32, "relu"),
        layers.Dropout(0.5),
        layers.Dense(4, "softmax"),
    )
    return ready(net, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A8")
def spectra_through_a_code_of_three():
    x, _ = data.absorbed()
    net = dense((48,), (24, "elu"), (3, None), (24, "elu"), (48, None))
    return ready(net, _opt.Adam(5e-3), "mse", x, x, epochs=20)


@case("A3")
def notes_long_learnt():
    return note(_opt.Adam(5e-3), layers.Dense(32, "relu"), epochs=30)


@case("A9")
def boards_one_at_a_time():
    x, y = data.boards()
    x, y = x[:200], y[:200]
    net = chain(
        (8, 8, 4),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        layers.Dense(3, "softmax"),
    )
    return ready(net, _opt.SGD(3e-2), _SPARSE, x, y, epochs=3, batch_size=1)


@case("deep")
def ten_tanh_layers_for_tissues():
    stack = [layers.Dense(24, "tanh") for _ in range(10)]
    return tissue(_opt.Adam(1e-3), *stack, epochs=15)


@case("A4")
def frozen_reader_of_strokes():
    x, y = data.strokes()
    body = chain(
        (24, 3),
        layers.Conv1D(16, 5, activation="relu"),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.Flatten(),
    )
    first = keras.Sequential([body, layers.Dense(4, "softmax")])
    first.compile(_opt.Adam(3e-3), _SPARSE)
    first.fit(x[:256], y[:256], epochs=10, verbose=0)
    body.trainable = False
    inputs = keras.Input((24, 3))
    h = body(inputs, training=False)
    net = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    x, y = x[256:], y[256:]
    return ready(net, _opt.Adam(5e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A5")
def drift_in_much_noise():
    x, y = data.drift(noise=0.3)
    y = y + np.random.default_rng(8).normal(size=y.shape).astype("float32")
    net = chain(
        (32, 1),
        layers.Conv1D(8, 5, activation="relu"),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        layers.Dense(1),
    )
    return ready(net, _opt.Adam(2e-3), "mse", x, y, epochs=10)


@case("A9")
def lakes_by_a_small_u_net():
    inputs = keras.Input((16, 16, 3))
    how = {"padding": "same", "activation": "relu"}
    first = layers.Conv2D(8, 3, **how)(inputs)
    h = layers.Conv2D(16, 3, **how)(layers.MaxPooling2D()(first))
    h = layers.Conv2D(8, 3, **how)(layers.UpSampling2D()(h))
    h = layers.Conv2D(8, 3, **how)(layers.Concatenate()([h, first]))
    net = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(h))
    return water(_opt.Adam(3e-3), net, epochs=12)


@case("A9")
def one_visit_in_twelve_with_weights():
    _, x, y = data.visits(share=1 / 12)
    net = dense((4,), (16, "relu"), (1, "sigmoid"))
    weights = {"sample_weight": np.where(y[:, 0] > 0.5, 6.0, 0.5)}
    return ready(net, _opt.Adam(5e-3), _BINARY, x, y, epochs=15, **weights)


@case("A11")
def people_drawn_together():
    x, y = data.people()
    one, other = keras.Input((20,)), keras.Input((20,))
    body = chain(
        (20,),
        layers.Dense(32, "relu"),
        layers.Dense(8),
        layers.UnitNormalization(),
    )
    h = layers.Dot(1)([body(one), body(other)])
    net = keras.Model([one, other], h)

    def contrast(t, p):
        near = t * ops.square(1 - p)
        return ops.mean(near + (1 - t) * ops.square(ops.relu(p - 0.3)))

    return ready(net, _opt.Adam(5e-3), contrast, x, y, epochs=15)


@case("A9")
def strokes_by_a_masked_memory():
    return stroke(
        _opt.RMSprop(3e-3),
        layers.Masking(),
        layers.Bidirectional(layers.GRU(12)),
        epochs=8,
    )


@case("A4")
def graphs_by_their_edges():
    return graph_is_read_under_a_stop(right=True)


@case("A5")
def quantiles_of_the_weather():
    x, y = data.weather(noise=2.0)

    def pinball(t, p):
        rest = t - p
        parts = ops.convert_to_tensor([0.1, 0.5, 0.9], "float32")
        return ops.mean(ops.maximum(parts * rest, (parts - 1) * rest))

    net = dense((4,), (24, "relu"), (24, "relu"), (3, None))
    y = np.repeat(0.1 * y, 3, -1)
    return ready(net, _opt.Adam(5e-3), pinball, standard(x), y, epochs=20)


@case("A8")
def chirps_from_a_pipeline_to_a_rate_of_zero():
    import tensorflow as tf

    x, y = data.chirps()
    net = chain(
        (80, 1),
        layers.Conv1D(12, 9, strides=2, use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(3, "softmax"),
    )
    rate = _rates.CosineDecay(5e-3, 13 * 15)
    net.compile(_opt.Adam(rate), _SPARSE, metrics=["accuracy"])
    rows = tf.data.Dataset.from_tensor_slices((x[:416], y[:416]))
    rows = rows.shuffle(416, seed=2).batch(32)
    held = {"validation_data": (x[416:], y[416:])}
    return net, rows, None, {"epochs": 15, **held}


@case("A6")
def drift_by_a_memory_from_batches():
    x, y = data.drift()
    net = chain((32, 1), layers.LSTM(16), layers.Dense(1))
    net.compile(_opt.Adam(1e-2, clipnorm=1.0), "mse")
    return net, Batches(x, y), None, {"epochs": 15}


@case("A11")
def visits_by_a_block_in_mind_of_both():
    pages_, numbers, y = data.visits()
    inputs = [keras.Input((12,), dtype="int32"), keras.Input((4,))]
    h = layers.Embedding(40, 16)(inputs[0])
    h = layers.GlobalAveragePooling1D()(Attend(16)(h))
    h = layers.Concatenate()([h, layers.Dense(8, "relu")(inputs[1])])
    h = layers.Dense(16, "gelu")(h)
    net = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    x, adam = [pages_, numbers], _opt.AdamW(5e-3)
    return ready(net, adam, _BINARY, x, y, ["accuracy"], epochs=10)


@case("A4", only=["tensorflow", "torch"])
def tissues_by_a_step_of_ones_own():
    return step_that_trains_the_head_alone(right=True)
