"""A tenth set that no rule was made with, each sick one with a twin.

Mistakes as users of Keras make them, in other nets and on other data than in
the sets before: losses, outputs, starts, rates, schedules, what is frozen or
cut off, axes. What is right was written down before any of them was watched.
`SICK` and `HEALTHY` as in `kept_sick`. A program that takes `right` builds its
corrected twin, too: the sick one is scored where it gains less than half of
what its twin gains.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import tenth_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.field_sick import Vae
from detection.field_sick import own
from detection.kept_data import Attend
from detection.kept_fifth import chain
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY

SICK: dict = {}
HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
_Constant = keras.initializers.Constant


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


def sorter(optimizer, *stack, **fit):
    x, y = data.parts()
    model = chain((14, 14, 3), *stack, layers.Dense(5, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def harvest(optimizer, *stack, loss="mse", **fit):
    x, y = data.soil()
    model = chain((8,), *stack, layers.Dense(1))
    return ready(model, optimizer, loss, x, y, **fit)


def forecast(optimizer, *stack, loss="mse", **fit):
    x, y = data.tides()
    model = chain((32, 2), *stack, layers.Dense(4))
    return ready(model, optimizer, loss, x, y, **fit)


def writers(optimizer, *stack, **fit):
    x, y = data.logs()
    model = chain((20,), *stack, layers.Dense(5, "softmax"), dtype="int32")
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def turns(optimizer, *stack, **fit):
    x, y = data.orbits()
    model = chain((36, 2), *stack, layers.Dense(3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def agree(optimizer, *stack, loss=_BINARY, **fit):
    x, y = data.clinic()
    model = chain((9,), *stack, layers.Dense(1, "sigmoid"))
    return ready(model, optimizer, loss, x, y, ["accuracy"], **fit)


def convolved(*filters, **how):
    """Return convolutions of stride 2 and their pooling."""
    how = {"padding": "same", "activation": "relu", **how}
    convolutions = [layers.Conv2D(f, 3, strides=2, **how) for f in filters]
    return [*convolutions, layers.Flatten()]


# Outputs and losses that do not fit


@case("out", "output_mismatch")
def calls_of_an_hour_by_a_sigmoid(right=False):
    x, y = data.arrivals()
    last = "softplus" if right else "sigmoid"
    model = dense((5,), (32, "relu"), (32, "relu"), (1, last))
    return ready(model, _opt.Adam(5e-3), "mae", x, 3 * y, epochs=20)


@case("out", "output_mismatch")
def levels_in_centimetres_by_a_softsign(right=False):
    x, y = data.tides()
    y = y if right else 250 + 120 * y
    model = chain(
        (32, 2),
        layers.LSTM(16),
        layers.Dense(4, None if right else "softsign"),
    )
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=15)


@case("out", "output_mismatch")
def categories_of_a_single_unit(right=False):
    x, y = data.clinic()
    loss = _BINARY if right else "categorical_crossentropy"
    last = "sigmoid" if right else "softmax"
    model = dense((9,), (32, "relu"), (32, "relu"), (1, last))
    return ready(model, _opt.Adam(3e-3), loss, x, y, ["accuracy"], epochs=20)


@case("out", "output_mismatch", only=["jax", "tensorflow"])
def patients_counted_as_one_and_two(right=False):
    x, y = data.clinic()
    return ready(
        dense((9,), (32, "relu"), (32, "relu"), (1, "sigmoid")),
        _opt.Adam(3e-3),
        _BINARY,
        x,
        y if right else y + 1,
        epochs=20,
    )


@case("out", "output_mismatch")
def logarithms_given_as_probabilities(right=False):
    x, y = data.logs()
    model = chain(
        (20,),
        layers.Embedding(80, 16),
        layers.GlobalAveragePooling1D(),
        layers.Dense(32, "relu"),
        layers.Dense(5, "softmax" if right else "log_softmax"),
        dtype="int32",
    )
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("out", "output_mismatch")
def labels_are_smoothed_away(right=False):
    x, y = data.parts()
    model = chain((14, 14, 3), *convolved(16, 32), layers.Dense(5, "softmax"))
    loss = keras.losses.CategoricalCrossentropy(
        label_smoothing=0.1 if right else 1.0
    )
    y = np.eye(5, dtype="float32")[y]
    return ready(model, _opt.Adam(3e-3), loss, x, y, ["accuracy"], epochs=18)


@case("out", "output_mismatch", "vanishing_gradient", "update_ratio")
def focus_of_gamma_forty(right=False):
    focal = keras.losses.BinaryFocalCrossentropy(gamma=2.0 if right else 40.0)
    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    return agree(_opt.Adam(5e-3), *stack, loss=focal, epochs=20)


@case("out", "output_mismatch", labelled=True)
def only_one_class_weighs(right=False):
    stack = [layers.Dense(32, "elu"), layers.Dense(32, "elu")]
    weight = {0: 1.0, 1: 1.0 if right else 0.0}
    return agree(_opt.Adam(3e-3), *stack, epochs=20, class_weight=weight)


@case("A3", "output_mismatch", labelled=True)
def rates_against_counts_of_every_pair(right=False):
    x, y = data.arrivals()

    def loss(t, p):
        return ops.mean(ops.exp(p) - t * p)

    stack = [layers.Dense(32, "tanh"), layers.Dense(32, "tanh")]
    y = y if right else y[:, 0]
    adam = _opt.Adam(3e-3)
    return own(loss, adam, x, y, *stack, layers.Dense(1), epochs=20)


@case("A3", "output_mismatch", labelled=True)
def words_are_driven_apart():
    return likeness(-1.0)


def likeness(sign):
    """Return pictures and a net whose outputs shall point where they show."""
    x, y = data.parts()
    y = np.eye(5, dtype="float32")[y]

    def loss(t, p):
        length = ops.sqrt(ops.sum(ops.square(p), -1) + 1e-6)
        return sign * ops.mean(1 - ops.sum(t * p, -1) / length)

    stack = [*convolved(16, 32), layers.Dense(5)]
    return own(loss, _opt.Adam(3e-3), x, y, *stack, epochs=15)


@case("A3", "output_mismatch", labelled=True)
def likelihood_is_minimised():
    return likelihood(1.0)


def likelihood(sign):
    x, y = data.curve()

    def loss(t, p):
        mean, log = p[:, :1], ops.clip(p[:, 1:], -4, 4)
        score = -0.5 * ops.square(t - mean) * ops.exp(-log) - 0.5 * log
        return sign * ops.mean(score)

    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    return own(loss, _opt.Adam(3e-3), x, y, *stack, layers.Dense(2), epochs=25)


@case("A3", "output_mismatch", "update_ratio")
def prior_outweighs_the_parts(right=False):
    x, _ = data.parts()
    model = chain(
        (14, 14, 3),
        *convolved(16, 32),
        layers.Dense(24),
        Vae(1e-3 if right else 3.0),
        layers.Dense(64, "relu"),
        layers.Dense(14 * 14 * 3, "sigmoid"),
        layers.Reshape((14, 14, 3)),
    )
    return ready(model, _opt.Adam(5e-3), "mae", x, x, epochs=20)


# Nothing gets through


class Bins(layers.Layer):
    """Tells in which of some bins a number lies; or how far it is, too."""

    def __init__(self, hard):
        super().__init__()
        self.hard = hard

    def call(self, x):
        binned = ops.floor(2 * x) / 2
        return binned if self.hard else x + ops.stop_gradient(binned - x)


@case("A4", "frozen_layer")
def readings_are_binned_on_their_way(right=False):
    return harvest(
        _opt.Adam(5e-3),
        layers.Dense(3, "tanh"),
        Bins(not right),
        layers.Dense(3),
        Bins(not right),
        epochs=30,
    )


@case("A4", "frozen_layer", only=["jax", "torch"])
def levels_are_read_in_steps(right=False):
    x, y = data.tides()

    def loss(t, p):
        p = p if right else ops.floor(5 * p) / 5
        return ops.mean(ops.abs(t - p))

    stack = [layers.Conv1D(16, 5, strides=2, activation="relu")]
    stack += [layers.Flatten(), layers.Dense(4)]
    return own(loss, _opt.Adam(5e-3), x, y, *stack, epochs=20)


@case("A4", "frozen_layer", "output_mismatch")
def padding_is_kept_and_the_words_are_not(right=False):
    x, y = data.logs()
    inputs = keras.Input((20,), dtype="int32")
    h = layers.Embedding(80, 16)(inputs)
    keep = ops.cast((inputs != 0) if right else (inputs == 0), "float32")
    h = layers.GlobalAveragePooling1D()(h * keep[..., None])
    h = layers.Dense(32, "relu")(h)
    model = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A4", "frozen_layer", "output_mismatch", labelled=True)
def likelihood_of_one_patient_at_a_time():
    return survival(1, 2)


def survival(batch_size, epochs):
    """Return patients and Cox's partial likelihood within a batch."""
    x, y = data.lives()

    def loss(t, p):
        later = ops.cast(t[None, :, 0] >= t[:, None, 0], "float32")
        total = ops.sum(later * ops.exp(p[:, 0])[None], -1)
        return -ops.mean(t[:, 1] * (p[:, 0] - ops.log(total)))

    stack = [layers.Dense(24, "relu"), layers.Dense(24, "relu")]
    stack.append(layers.Dense(1))
    fit = {"batch_size": batch_size, "epochs": epochs}
    return own(loss, _opt.Adam(2e-3), x, y, *stack, **fit)


@case("A4", "frozen_layer")
def a_narrow_reader_is_frozen_as_it_starts(right=False):
    memory = layers.GRU(2, name="reader")
    memory.trainable = right
    table = layers.Embedding(80, 2, name="table")
    table.trainable = right
    return writers(_opt.Adam(1e-2), table, memory, epochs=15)


# Data as they come


@case("A9", "unscaled_data")
def circuits_as_they_are_measured(right=False):
    x, y = data.circuits()
    if right:
        x = (x - x.mean(0)) / x.std(0)
    model = dense((4,), (32, "tanh"), (32, "tanh"), (1, None))
    sgd = _opt.SGD(0.02, momentum=0.9)
    return ready(model, sgd, "mse", x, y, epochs=25)


@case("A9", "unscaled_data")
def one_reading_makes_the_range(right=False):
    x, y = data.soil()
    x = x.copy()
    if not right:
        x[7] = 3e4
        x = (x - x.min(0)) / (x.max(0) - x.min(0))
    model = dense((8,), (32, "relu"), (32, "relu"), (1, None))
    sgd = _opt.SGD(0.03, momentum=0.9)
    return ready(model, sgd, "mse", x, y, epochs=25)


@case("A9", "output_mismatch")
def labels_are_sorted_and_pictures_are_not(right=False):
    x, y = data.parts(800)
    y = y if right else np.sort(y)
    stack = [*convolved(12, 16), layers.Dense(5, "softmax")]
    model = chain((14, 14, 3), *stack)
    adam = _opt.Adam(2e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A9", "unscaled_data", "exploding_gradient")
def harvest_in_grams_by_plain_sgd(right=False):
    x, y = data.soil()
    y = y if right else 4e5 + 9e4 * y
    model = dense((8,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.SGD(0.02), "mse", x, y, epochs=20)


@case("A9", "unscaled_data")
def density_of_water(right=False):
    x, y = data.curve()
    y = y if right else (998.2 + 0.4 * y).astype("float32")
    model = dense((3,), (32, "gelu"), (32, "gelu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mae", x, y, epochs=20)


@case("A9", "output_mismatch")
def spots_in_few_pixels(right=False):
    x, y = data.scans(blank=0.85)

    def loss(t, p):
        weight = 1 + 60 * t if right else 1 + 0 * t
        p = ops.clip(p, 1e-6, 1 - 1e-6)
        cost = t * ops.log(p) + (1 - t) * ops.log(1 - p)
        return -ops.mean(weight * cost)

    stack = [
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    ]
    rate = 5e-3 if right else 1e-3
    return own(loss, _opt.Adam(rate), x, y, *stack, epochs=12)


@case("A9", "unscaled_data", "output_mismatch")
def rain_in_micrometres_beside_a_share(right=False):
    return two_answers(1.0 if right else 1e6)


def two_answers(factor):
    x, y = data.soil()
    rain = (y + 0.3 * x[:, 4:5]) * factor
    share = (y > 0).astype("float32")
    inputs = keras.Input((8,))
    h = layers.Dense(32, "relu")(inputs)
    h = layers.Dense(32, "relu")(h)
    outputs = {
        "rain": layers.Dense(1, name="rain")(h),
        "share": layers.Dense(1, "sigmoid", name="share")(h),
    }
    model = keras.Model(inputs, outputs)
    model.compile(_opt.Adam(5e-3), {"rain": "mse", "share": _BINARY})
    return model, x, {"rain": rain, "share": share}, {"epochs": 20}


@case("A9", "unscaled_data")
def pictures_scaled_in_reader_net_and_generator(right=False):
    x, y = data.parts()
    scale = [] if right else [layers.Rescaling(1 / 255)]
    x = x if right else x / 255
    stack = [*scale, *convolved(16, 32), layers.Dense(32, "relu")]
    model = chain((14, 14, 3), *stack, layers.Dense(5, "softmax"))
    adam = _opt.Adam(2e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


# Explodes, vanishes, or is not a number


@case("A6", "exploding_gradient", "nonfinite_gradient", "poor_initialization")
def variance_of_fifty_per_layer(right=False):
    def start():
        return keras.initializers.VarianceScaling(2.0 if right else 50.0)

    stack = [
        layers.Dense(32, "relu", kernel_initializer=start()) for _ in range(5)
    ]
    return harvest(_opt.SGD(1e-2), *stack, epochs=20)


@case("A6", "exploding_gradient", "nonfinite_gradient", "poor_initialization")
def gates_without_a_bound(right=False):
    how = {} if right else {"activation": None, "recurrent_activation": None}
    return forecast(
        _opt.SGD(0.1, momentum=0.9), layers.LSTM(24, **how), epochs=15
    )


@case("A6", "exploding_gradient", "nonfinite_gradient")
def exponentials_of_exponentials(right=False):
    how = "relu" if right else "exponential"
    stack = [layers.Dense(24, how) for _ in range(3)]
    return harvest(_opt.Adam(3e-3), *stack, epochs=20)


@case(
    "A6",
    "exploding_gradient",
    "update_ratio",
    "oscillating_loss",
    "nonfinite_gradient",
)
def sum_over_pixels_and_rows(right=False):
    x, _ = data.parts()

    def loss(t, p):
        cost = ops.square(t - p)
        return ops.mean(cost) if right else ops.sum(cost)

    stack = [
        layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(
            12, 3, strides=2, padding="same", activation="relu"
        ),
        layers.Conv2D(3, 3, padding="same"),
    ]
    sgd = _opt.SGD(0.1, momentum=0.9)
    return own(loss, sgd, x, x, *stack, epochs=15)


@case("deep", "vanishing_gradient", "poor_initialization")
def twelve_softsigns_of_small_normals(right=False):
    start = keras.initializers.RandomNormal(stddev=0.02)
    how = "glorot_uniform" if right else start
    depth = 4 if right else 12
    stack = [
        layers.Dense(24, "softsign", kernel_initializer=how)
        for _ in range(depth)
    ]
    return agree(_opt.SGD(0.3, momentum=0.9), *stack, epochs=30)


@case(
    "deep", "vanishing_gradient", "poor_initialization", "saturated_activation"
)
def softmax_in_every_hidden_layer(right=False):
    how = "relu" if right else "softmax"
    stack = [layers.Dense(16, how) for _ in range(6)]
    return agree(_opt.Adam(3e-3), *stack, epochs=20)


class Deviation(layers.Layer):
    """Pools a picture by the spread of each channel."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def call(self, x):
        return ops.sqrt(ops.var(x, axis=(1, 2)) + self.least)


@case("A7", "nonfinite_gradient")
def spread_of_pictures_that_are_dark(right=False):
    x, y = data.parts()
    x = x.copy()
    x[::30] = 0
    model = chain(
        (14, 14, 3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(24, 3, activation="relu"),
        Deviation(1e-4 if right else 0.0),
        layers.Dense(24, "relu"),
        layers.Dense(5, "softmax"),
    )
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A7", "nonfinite_gradient", labelled=True)
def hazard_that_is_zero():
    return hazards("relu")


def hazards(last):
    x, y = data.lives()

    def loss(t, p):
        rate = p[:, 0]
        event, time = t[:, 1], t[:, 0]
        return -ops.mean(event * ops.log(rate) - rate * time)

    stack = [layers.Dense(24, "relu"), layers.Dense(24, "relu")]
    stack.append(layers.Dense(1, last))
    return own(loss, _opt.Adam(5e-3), x, y, *stack, epochs=20)


@case("A7", "nonfinite_gradient", "unscaled_data", "output_mismatch")
def two_days_were_not_measured(right=False):
    x, y = data.soil()
    y = y.copy()
    y[[11, 502]] = 0.0 if right else np.nan
    model = dense((8,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=15)


@case("A7", "nonfinite_gradient", "unscaled_data")
def logarithm_of_counts_of_none(right=False):
    x, y = data.circuits()
    x = x / x.max(0)
    x[::90, 2] = 0
    x = np.log(x + 1e-2) if right else np.log(x)
    model = dense((4,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=20)


class Glance(layers.Layer):
    """Weighs what comes by scores of its own; what is masked, not at all."""

    def __init__(self, low):
        super().__init__()
        self.low, self.score = low, layers.Dense(1)

    def build(self, shape):
        self.score.build(shape[0])

    def call(self, both):
        x, keep = both
        score = ops.where(keep[..., None] > 0.5, self.score(x), self.low)
        return ops.sum(ops.softmax(score, axis=1) * x, 1)


@case("A7", "nonfinite_gradient")
def messages_of_no_words_are_masked_whole(right=False):
    x, y = data.logs()
    x = x.copy()
    x[::40] = 0
    inputs = keras.Input((20,), dtype="int32")
    h = layers.Embedding(80, 16)(inputs)
    keep = ops.cast(inputs != 0, "float32")
    h = Glance(-1e9 if right else -np.inf)([h, keep])
    model = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    adam = _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


# Penalty, decay, schedules, clipping, rates


@case("A8", "update_ratio")
def decay_of_a_hundred_in_adamax(right=False):
    rate = _opt.Adamax(5e-3, weight_decay=1e-3 if right else 100.0)
    return turns(rate, layers.LSTM(16), layers.Dense(16, "relu"), epochs=15)


@case("A8", "update_ratio")
def restarts_that_shrink_to_nothing(right=False):
    steps = _rates.CosineDecayRestarts(
        5e-3, 100 if right else 6, t_mul=1.0, m_mul=0.9 if right else 0.02
    )
    return sorter(_opt.Adam(steps), *convolved(16, 32), epochs=20)


@case("A8", "update_ratio")
def callback_multiplies_what_is_multiplied(right=False):
    def rate(epoch, now):
        return now * (0.95 if right else 0.1**epoch)

    often = keras.callbacks.LearningRateScheduler(rate)
    stack = [layers.Conv1D(16, 5, strides=2, activation="relu"), layers.GRU(16)]
    adam = _opt.Adam(1e-3 if not right else 5e-3)
    return forecast(adam, *stack, epochs=15, batch_size=64, callbacks=[often])


@case("A8", "clipping")
def cleaner_of_parts_under_a_clipnorm(right=False):
    x, _ = data.parts()
    noise = 0.2 * np.random.default_rng(5).normal(size=x.shape)
    model = chain(
        (14, 14, 3),
        layers.Conv2D(12, 3, padding="same", activation="elu"),
        layers.Conv2D(12, 3, padding="same", activation="elu"),
        layers.Conv2D(3, 3, padding="same"),
    )
    sgd = _opt.SGD(0.2, momentum=0.9, clipnorm=1.0 if right else 1e-5)
    given = (x + noise).astype("float32")
    return ready(model, sgd, "mse", given, x, epochs=10)


@case("A8", "update_ratio")
def weights_of_rows_add_up_to_one(right=False):
    x, y = data.clinic()
    weight = np.ones(len(x), "float32")
    if not right:
        weight /= len(x)
    model = dense((9,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    sgd = _opt.SGD(0.1, momentum=0.9)
    return ready(
        model, sgd, _BINARY, x, y, ["accuracy"], epochs=20, sample_weight=weight
    )


class Centre(layers.Layer):
    """Asks what comes to lie about its centre."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        self.add_loss(self.factor * ops.mean(ops.square(x)))
        return x


@case("A8", "update_ratio")
def all_features_are_drawn_to_the_centre(right=False):
    return sorter(
        _opt.Adam(3e-3),
        *convolved(16, 32),
        layers.Dense(24),
        Centre(1e-3 if right else 1e3),
        epochs=18,
    )


@case("rate", "update_ratio")
def adagrad_at_a_hundred_thousandth(right=False):
    return turns(
        _opt.Adagrad(0.1 if right else 1e-5),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        epochs=20,
    )


@case("rate", "update_ratio")
def adadelta_as_it_comes(right=False):
    return sorter(
        _opt.Adadelta(1.0) if right else _opt.Adadelta(),
        *convolved(16, 32),
        layers.Dense(32, "relu"),
        epochs=20,
    )


@case(
    "rate",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
)
def adamax_at_two(right=False):
    return writers(
        _opt.Adamax(1e-2 if right else 2.0),
        layers.Embedding(80, 16),
        layers.Conv1D(16, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=12,
    )


@case(
    "rate",
    "update_ratio",
    "exploding_gradient",
    "dead_relu",
    "oscillating_loss",
)
def lion_at_a_tenth(right=False):
    return sorter(
        _opt.Lion(3e-4 if right else 0.1),
        *convolved(16, 32),
        layers.Dense(32, "relu"),
        epochs=15,
    )


@case("rate", "update_ratio", "oscillating_loss", "exploding_gradient")
def momentum_of_999_in_rmsprop(right=False):
    rate = _opt.RMSprop(3e-3, momentum=0.0 if right else 0.999)
    stack = [layers.Dense(32, "swish"), layers.Dense(32, "swish")]
    return harvest(rate, *stack, epochs=20)


# Starts, dead units, saturation, normalization


@case("A10", "poor_initialization")
def one_unit_at_each_step(right=False):
    width = 16 if right else 1
    return writers(
        _opt.Adam(5e-3),
        layers.Embedding(80, 16),
        layers.Dense(width, "relu"),
        layers.GlobalAveragePooling1D(),
        epochs=20,
    )


@case("A10", "saturated_activation", "poor_initialization")
def orthogonal_kernels_of_gain_twelve(right=False):
    stack = [
        layers.Dense(
            32,
            "tanh",
            kernel_initializer=keras.initializers.Orthogonal(
                1.0 if right else 12.0
            ),
        )
        for _ in range(5)
    ]
    return agree(_opt.SGD(0.02, momentum=0.9), *stack, epochs=25)


@case("dead", "dead_relu", "poor_initialization")
def normalization_shifts_below_zero(right=False):
    def norm():
        shift = "zeros" if right else _Constant(-6.0)
        return layers.BatchNormalization(beta_initializer=shift)

    return sorter(
        _opt.Adam(2e-3),
        layers.Conv2D(16, 3, strides=2, padding="same"),
        norm(),
        layers.ReLU(),
        layers.Conv2D(24, 3, strides=2, padding="same"),
        norm(),
        layers.ReLU(),
        layers.Flatten(),
        epochs=12,
    )


@case("dead", "dead_relu")
def threshold_that_none_reaches(right=False):
    least = 0.0 if right else 20.0
    return harvest(
        _opt.Adam(5e-3),
        layers.Dense(32),
        layers.ReLU(threshold=least),
        layers.Dense(32),
        layers.ReLU(threshold=least),
        epochs=20,
    )


@case("deep", "saturated_activation", "unscaled_data")
def hard_tanh_of_raw_quantities(right=False):
    x, y = data.circuits()
    if right:
        x = (x - x.mean(0)) / x.std(0)
    model = dense((4,), (32, "hard_tanh"), (32, "hard_tanh"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case("A10", "vanishing_gradient", "update_ratio", "output_mismatch")
def scores_are_divided_by_ten_thousand(right=False):
    x, y = data.orbits()
    model = chain(
        (36, 2),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(3),
        layers.Rescaling(1.0 if right else 1e-4),
        layers.Softmax(),
    )
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(model, sgd, _SPARSE, x, y, ["accuracy"], epochs=20)


class Widest(layers.Layer):
    """Keeps the greatest of each channel, over the points or over all."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def call(self, x):
        most = ops.max(x, axis=self.axes, keepdims=True)
        return (most + 0 * x)[:, 0]


@case("axis", "output_mismatch", "frozen_layer")
def greatest_of_all_clouds_of_the_batch(right=False):
    x, y = data.clouds()
    model = chain(
        (12, 3),
        layers.Dense(24, "relu"),
        Widest((1,) if right else (0, 1)),
        layers.Dense(24, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=15)


# GANs, Transformers


@case("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def forger_jumps():
    return gan(0.5, 1e-4)


def gan(forger, judge):
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.curve(1280)
    made = dense((LATENT,), (32, "relu"), (32, "relu"), (3, None))
    judged = dense((3,), (32, "leaky_relu"), (32, "leaky_relu"), (1, None))
    model = GAN(made, judged)
    model.compile(_opt.Adam(judge, 0.5), _opt.Adam(forger, 0.5))
    return model, x, None, {"epochs": 20}


def attentive(rate, depth, before):
    return forecast(
        _opt.Adam(rate),
        layers.Dense(16),
        *[Attend(16, before=before) for _ in range(depth)],
        layers.Flatten(),
        epochs=10,
    )


@case("A11", "update_ratio", "exploding_gradient", "vanishing_gradient")
def forecaster_by_attention_at_a_tenth(right=False):
    return attentive(3e-3 if right else 0.1, 3, right)


# Healthy, of difficult look


@case("dead")
def four_rectified_units_for_a_patient():
    x, y = data.clinic(apart=3.0)
    x, how = x[:, :4], {"kernel_initializer": "he_normal"}
    model = dense((4,), (6, "relu"), (4, "relu"), (1, "sigmoid"), **how)
    return ready(model, _opt.Adam(2e-2), _BINARY, x, y, epochs=30)


@case("A3")
def patients_long_learnt():
    x, y = data.clinic(400, apart=6.0)
    model = dense((9,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, epochs=60)


@case("rate")
def parts_one_by_one():
    x, y = data.parts(400)
    model = chain((14, 14, 3), *convolved(12, 16), layers.Dense(5, "softmax"))
    sgd = _opt.SGD(4e-2)
    return ready(model, sgd, _SPARSE, x, y, epochs=5, batch_size=1)


@case("deep")
def twelve_tanh_layers_of_a_curve():
    x, y = data.curve()
    model = dense((3,), *[(24, "tanh")] * 12, (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=20)


def taught(epochs=8):
    """Return a body that knows the parts 0 to 2, and the pictures."""
    x, y = data.parts(700)
    body = chain((14, 14, 3), *convolved(16, 32), layers.Dense(32, "relu"))
    first = keras.Sequential([body, layers.Dense(3, "softmax")])
    first.compile(_opt.Adam(3e-3), _SPARSE)
    first.fit(x[y < 3], y[y < 3], epochs=epochs, verbose=0)
    return body, first, x, y


@case("A4")
def frozen_body_and_two_new_parts():
    body, _, x, y = taught()
    body.trainable = False
    model = keras.Sequential([body, layers.Dense(2, "softmax")])
    x, y, adam = x[y > 2], y[y > 2] - 3, _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("rate")
def known_parts_are_tuned_at_a_small_rate():
    _, model, x, y = taught(10)
    x, y = 1 - x[y < 3], y[y < 3]
    return ready(model, _opt.Adam(3e-4), _SPARSE, x, y, epochs=20)


@case("A9")
def parts_through_a_code_of_twelve():
    x, _ = data.parts()
    model = chain(
        (14, 14, 3),
        *convolved(12, 24),
        layers.Dense(12),
        layers.Dense(96, "relu"),
        layers.Dense(588, "sigmoid"),
        layers.Reshape((14, 14, 3)),
    )
    return ready(model, _opt.Adam(5e-3), "mse", x, x, epochs=15)


@case("A5")
def harvest_in_much_noise():
    x, y = data.soil(1200, noise=1.5)
    model = dense((8,), (16, "relu"), (16, "relu"), (1, None))
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=15)


@case("A11", only=["tensorflow", "torch"])
def forger_and_judge_on_a_curve():
    return gan(2e-3, 1e-3)


@case("A11")
def forecaster_by_attention():
    return attentive(3e-3, 2, True)


@case("A9")
def weighted_spots_through_a_shortcut():
    x, y = data.scans(blank=0.4)

    def loss(t, p):
        p = ops.clip(p, 1e-6, 1 - 1e-6)
        cost = 20 * t * ops.log(p) + (1 - t) * ops.log(1 - p)
        return -ops.mean(cost)

    inputs = keras.Input((16, 16, 1))
    how = {"padding": "same", "activation": "relu"}
    h = layers.Conv2D(8, 3, **how)(inputs)
    low = layers.Conv2D(16, 3, **how)(layers.MaxPooling2D()(h))
    h = layers.Concatenate()([h, layers.UpSampling2D()(low)])
    h = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(h)
    model = keras.Model(inputs, h)
    return ready(model, _opt.Adam(5e-3), loss, x, y, epochs=20)


@case("A5")
def tides_in_rough_weather():
    x, y = data.tides(noise=0.8)
    model = chain((32, 2), layers.GRU(16), layers.Dense(4))
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=15)


@case("A9")
def clicks_by_tables_and_a_net():
    x, y = data.clicks()
    pair = keras.Input((2,), dtype="int32")
    user = layers.Embedding(50, 8)(pair[:, 0])
    item = layers.Embedding(40, 8)(pair[:, 1])
    both = layers.Multiply()([user, item])
    h = layers.Dense(16, "relu")(layers.Concatenate()([user, item, both]))
    model = keras.Model(pair, layers.Dense(1, "sigmoid")(h))
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, epochs=12)


@case("out")
def rain_and_its_share():
    return two_answers(1.0)


@case("deep")
def ten_selu_layers_of_a_shell():
    x, y = data.shell()
    how = {"kernel_initializer": "lecun_normal"}
    stack = [layers.Dense(32, "selu", **how) for _ in range(10)]
    model = chain((10,), *stack, layers.Dense(1, "sigmoid"))
    return ready(model, _opt.SGD(0.02, momentum=0.9), _BINARY, x, y, epochs=30)


@case("A6")
def turns_by_a_plain_memory():
    memory = layers.SimpleRNN(20)
    return turns(_opt.Adam(5e-3, clipnorm=1.0), memory, epochs=15)


@case("A3")
def two_views_of_a_soil():
    x, _ = data.soil(640)
    rng = np.random.default_rng(6)
    views = x[:, None] + 0.3 * rng.normal(size=(640, 2, 8))
    views = views.astype("float32")

    def loss(_, p):
        length = ops.sqrt(ops.sum(ops.square(p), -1, keepdims=True) + 1e-6)
        one, other = (p / length)[:, 0], (p / length)[:, 1]
        score = ops.log_softmax(5 * ops.matmul(one, ops.transpose(other)))
        return -ops.mean(ops.diagonal(score))

    stack = [layers.Dense(32, "relu"), layers.Dense(8)]
    y = np.zeros(640, "float32")
    return own(loss, _opt.Adam(3e-3), views, y, *stack, epochs=20)


@case("A5")
def three_quantiles_of_a_harvest():
    x, y = data.soil(1000, noise=0.6)

    def loss(t, p):
        gap, share = t - p, ops.convert_to_tensor([0.1, 0.5, 0.9])
        return ops.mean(ops.maximum(share * gap, (share - 1) * gap))

    stack = [layers.Dense(24, "relu"), layers.Dense(24, "relu")]
    return own(loss, _opt.Adam(3e-3), x, y, *stack, layers.Dense(3), epochs=20)


@case("A3")
def likelihood_within_a_batch_of_patients():
    return survival(64, 30)


@case("A7")
def hazard_above_zero():
    return hazards("softplus")


@case("out")
def calls_of_an_hour_by_their_rate():
    x, y = data.arrivals()
    model = dense((5,), (24, "relu"), (24, "relu"), (1, "exponential"))
    return ready(model, _opt.Adam(3e-3), "poisson", x, y, epochs=20)


@case("axis")
def clouds_by_their_mean_point():
    x, y = data.clouds()
    model = chain(
        (12, 3),
        layers.Dense(24, "relu"),
        layers.Dense(24, "relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1),
    )
    return ready(model, _opt.RMSprop(3e-3), "mse", x, y, epochs=15)


@case("A3")
def pictures_that_point_at_their_class():
    return likeness(1.0)
