"""A sixth set that no rule was made with: after issues and questions.

What people report of their own training ("my loss is nan", "accuracy is
stuck", "the loss is negative"), rebuilt on small data. What is right was
written down before any of them ran. `SICK` and `HEALTHY` as in `kept_sick`;
each healthy program is near to a sick one.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import fourth_data
from detection import third_data
from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_sick import own
from detection.kept_fifth import chain
from detection.kept_fifth import wines
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


def pairs(count=800, seed=3):
    """Return pairs of digits (n, 2, 64) and whether both are the same."""
    x, y = digits()
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(x), (2, count))
    for at in range(0, count, 2):
        second[at] = rng.choice(np.flatnonzero(y == y[first[at]]))
    both = np.stack([x[first], x[second]], 1)
    return both, (y[first] == y[second]).astype("float32")[:, None]


def customers(count=1600, share=0.02, seed=4):
    """Return ten numbers of customers and which few of them leave."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 10))
    score = x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=count)
    y = score > np.quantile(score, 1 - share)
    return x.astype("float32"), y.astype("float32")[:, None]


def passengers(count=500, length=24, seed=5):
    """Return series around 0 and the passengers of the next month."""
    x, y = fourth_data.demand(count, length, seed)
    return x, 300 + 120 * y


def policies(count=900, seed=6):
    """Return states (n, 5) and which of four acts paid, by how much."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype("float32")
    best = (x @ rng.normal(size=(5, 4))).argmax(1)
    return x, np.eye(4, dtype="float32")[best]


def readings(count=700, length=20, empty=0.0, seed=7):
    """Return padded readings (n, length, 3), and the mean of what is there."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 1, 3)) + 0.5 * rng.normal(
        size=(count, length, 3)
    )
    ends = rng.integers(4, length + 1, (count, 1))
    ends[rng.random((count, 1)) < empty] = 0
    x[np.arange(length) >= ends] = 0
    y = x.sum(1) / np.maximum(ends, 1)
    y = y[:, :1] - y[:, 1:2] * y[:, 2:]
    return x.astype("float32"), y.astype("float32")


def endings(pad=5):
    """Return texts of topics whose last words are always padding."""
    x, y = fourth_data.topics(600, 18, seed=8)
    x[:, -pad:] = 0
    return x, y


@keras.saving.register_keras_serializable("kept_sixth")
class Distance(layers.Layer):
    def call(self, x):
        apart = ops.square(x[:, 0] - x[:, 1])
        return ops.sqrt(ops.sum(apart, -1, keepdims=True) + 1e-6)


@keras.saving.register_keras_serializable("kept_sixth")
class Sign(layers.Layer):
    def call(self, x):
        return ops.sign(x)


@keras.saving.register_keras_serializable("kept_sixth")
class SignPassed(layers.Layer):
    def call(self, x):
        near = ops.tanh(x)
        return near + ops.stop_gradient(ops.sign(x) - near)


@keras.saving.register_keras_serializable("kept_sixth")
class WholeDense(layers.Dense):
    """Multiplies by whole numbers, as small devices do."""

    def call(self, x):
        x = ops.matmul(x, ops.round(self.kernel)) + self.bias
        return self.activation(x)


@keras.saving.register_keras_serializable("kept_sixth")
class MeanOfThere(layers.Layer):
    """Averages the steps that hold anything."""

    def __init__(self, least=0.0, **kwargs):
        super().__init__(**kwargs)
        self.least = least

    def call(self, x):
        there = ops.any(ops.not_equal(x, 0), -1, keepdims=True)
        there = ops.cast(there, x.dtype)
        count = ops.maximum(ops.sum(there, 1), self.least)
        return ops.sum(x * there, 1) / count


@keras.saving.register_keras_serializable("kept_sixth")
class Reader(layers.Layer):
    """Lets the words of a text attend to words, or to the padding."""

    def __init__(self, to_words=True, **kwargs):
        super().__init__(**kwargs)
        self.to_words = to_words
        self.table = layers.Embedding(80, 24)
        self.attend = layers.MultiHeadAttention(2, 12)

    def call(self, ids):
        words = self.table(ids)
        mask = ops.not_equal(ids, 0) if self.to_words else ops.equal(ids, 0)
        return self.attend(words, words, attention_mask=mask[:, None])


@keras.saving.register_keras_serializable("kept_sixth")
class Paper(_rates.LearningRateSchedule):
    """The schedule of the Transformer's paper."""

    def __init__(self, width, warm_up):
        self.width, self.warm_up = width, warm_up

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1
        low = ops.minimum(step**-0.5, step * self.warm_up**-1.5)
        return self.width**-0.5 * low

    def get_config(self):
        return {"width": self.width, "warm_up": self.warm_up}


class Values(keras.Model):
    """Values of acts, of state, next state and act in one row."""

    def __init__(self, discount, held=False):
        super().__init__()
        self.discount = discount
        self.net = chain((4,), layers.Dense(32, "relu"), layers.Dense(3))
        self.other = self.net
        if held:
            self.other = keras.models.clone_model(self.net)
            self.other.set_weights(self.net.get_weights())
            self.other.trainable = False

    def call(self, x):
        return self.net(x[:, :4])

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        then = ops.max(self.other(x[:, 4:8]), -1, keepdims=True)
        goal = ops.stop_gradient(y + self.discount * then)
        taken = ops.sum(y_pred * x[:, 8:], -1, keepdims=True)
        return ops.mean(ops.square(goal - taken))


def steps_taken(count=1200, seed=9):
    """Return rows for `Values` and rewards (n, 1)."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(count, 4))
    act = rng.integers(0, 3, count)
    after = 0.8 * state + 0.3 * rng.normal(size=(count, 4))
    after[np.arange(count), act] += 0.5
    reward = np.where(act == state[:, :3].argmax(1), 2.0, 0.5)
    x = np.concatenate([state, after, np.eye(3)[act]], -1)
    return x.astype("float32"), reward.astype("float32")[:, None]


def values(discount, rate, held=False, **fit):
    x, y = steps_taken()
    model = Values(discount, held)
    model.compile(_opt.Adam(rate))
    model(x[:1])
    return model, x, y, fit


class Late(third_data.Batches):
    """Hands out the labels of the batch before."""

    def __getitem__(self, index):
        before = (index - 1) % len(self)
        return super().__getitem__(index)[0], super().__getitem__(before)[1]


def twins(loss, **fit):
    x, y = pairs()
    model = chain(
        (2, 64), layers.Dense(48, "relu"), layers.Dense(12), Distance()
    )
    return ready(model, "adam", loss, x, y, **fit)


def segments(optimizer, last="sigmoid", **fit):
    x, y = blobs(320, 16, seed=10)
    model = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation=last),
    )
    return ready(model, optimizer, _BINARY, x, y, **fit)


def reading(to_words, optimizer="adam", **fit):
    x, y = endings()
    model = chain(
        (18,),
        Reader(to_words),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def numbers(optimizer, *stack, **fit):
    x, y = digits()
    stack = stack or (layers.Dense(48, "relu"), layers.Dense(24, "relu"))
    model = chain((64,), *stack, layers.Dense(10, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


# A loss without a floor, outputs that cannot reach, collapse


@case("A3", "output_mismatch")
def labels_of_minus_one_and_one():
    x, y = cancer()
    model = chain((30,), layers.Dense(24, "relu"), layers.Dense(1, "sigmoid"))
    return ready(model, "adam", _BINARY, x, 2 * y - 1, ["accuracy"], epochs=30)


@case("A3", "output_mismatch")
def sigmoid_autoencoder_of_standardised_numbers():
    x, _ = cancer()
    model = chain(
        (30,),
        layers.Dense(20, "relu"),
        layers.Dense(10, "relu"),
        layers.Dense(20, "relu"),
        layers.Dense(30, "sigmoid"),
    )
    return ready(model, "adam", "mse", x, x, epochs=30, batch_size=16)


@case("A3", "output_mismatch", labelled=True)
def twins_are_only_pulled_together():
    return twins(lambda y, far: ops.mean(y * ops.square(far)), epochs=12)


@case("A3", "output_mismatch", "exploding_gradient", labelled=True)
def values_of_a_game_without_end():
    return values(1.0, 0.01, epochs=12)


@case("A3", "output_mismatch")
def masks_by_softmax_of_one_channel():
    return segments("adam", "softmax", epochs=10, batch_size=16)


@case("A3", "output_mismatch", "unscaled_data")
def passengers_out_of_an_lstm_itself():
    x, y = passengers()
    model = chain(
        (24, 1), layers.LSTM(16, return_sequences=True), layers.LSTM(1)
    )
    return ready(model, "rmsprop", "mse", x, y, ["mae"], epochs=12)


# No gradient, cut off


@case("A4", "frozen_layer", labelled=True, only=["jax"])
def student_is_stopped_in_place_of_teacher():
    x, y = digits()
    soft = 0.9 * np.eye(10, dtype="float32")[y] + 0.01

    def loss(teacher, student):
        student = ops.stop_gradient(student)
        return ops.mean(teacher * (ops.log(teacher) - ops.log(student)))

    return own(
        loss,
        "adam",
        x,
        soft,
        layers.Dense(32, "relu"),
        layers.Dense(10, "softmax"),
        epochs=5,
    )


@case("A4", "frozen_layer")
def head_is_frozen_with_its_base():
    x, y = third_data.shapes(480)
    model = chain(
        (14, 14, 1),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, "softmax"),
    )
    model.trainable = False
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A4", "frozen_layer")
def perceptron_answers_by_sign():
    x, y = cancer()
    model = chain((30,), layers.Dense(16, "tanh"), layers.Dense(1), Sign())
    return ready(model, "sgd", "mse", x, 2 * y - 1, epochs=12)


@case("A4", "frozen_layer")
def weights_are_rounded_to_whole_numbers():
    x, y = third_data.flats(640)
    model = chain(
        (6,),
        WholeDense(32, "relu"),
        WholeDense(32, "relu"),
        WholeDense(1),
    )
    return ready(model, "adam", "mse", x, y, epochs=12)


# Scale of columns


@case("A5", "unscaled_data")
def one_reading_of_a_million():
    x, y = third_data.flats(800)
    x[::200] = 999_999
    x = (x - x.min(0)) / (x.max(0) - x.min(0))
    model = chain(
        (6,),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.SGD(0.01), "mse", x, y, epochs=20)


# Exploding at once


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "output_mismatch",
    "nonfinite_gradient",
    "update_ratio",
)
def area_and_price_with_sgd():
    rng = np.random.default_rng(11)
    x = np.stack([rng.uniform(40, 220, 500), rng.integers(1, 7, 500)], -1)
    y = 2100 * x[:, :1] + 8000 * x[:, 1:] + 2e4 * rng.normal(size=(500, 1))
    x, y = x.astype("float32"), y.astype("float32")
    model = chain((2,), layers.Dense(16, "relu"), layers.Dense(1))
    return ready(model, _opt.SGD(0.01), "mse", x, y, ["mae"], epochs=20)


@case("A6", "exploding_gradient", "nonfinite_gradient", "unscaled_data")
def exponential_of_age_and_kilometres():
    rng = np.random.default_rng(12)
    age, far = rng.uniform(18, 80, 600), rng.uniform(0, 3e4, 600)
    y = rng.poisson(np.exp(0.5 + far / 2e4 - age / 80))
    x = np.stack([age, far], -1).astype("float32")
    model = chain(
        (2,), layers.Dense(12, "relu"), layers.Dense(1, "exponential")
    )
    y = y.astype("float32")[:, None]
    return ready(model, "adam", "poisson", x, y, epochs=15)


# NaN


@case("A7", "nonfinite_gradient")
def angle_of_unit_vectors():
    x, _ = third_data.flats(700)
    turn = 2 * np.tanh(x[:, 0] + x[:, 1])
    y = np.stack([np.cos(turn), np.sin(turn)], -1).astype("float32")

    def angle(y, p):
        cosine = ops.clip(ops.sum(y * p, -1), -1.0, 1.0)
        return ops.mean(ops.arccos(cosine))

    model = chain(
        (6,),
        layers.Dense(48, "relu"),
        layers.Dense(2),
        layers.UnitNormalization(),
    )
    return ready(model, "adam", angle, x, y, epochs=25)


@case("A7", "nonfinite_gradient")
def mean_over_rows_that_are_empty():
    x, y = readings(empty=0.02)
    model = chain(
        (20, 3), MeanOfThere(), layers.Dense(32, "relu"), layers.Dense(1)
    )
    return ready(model, "adam", "mse", x, y, epochs=15)


@case("A7", "nonfinite_gradient", "unscaled_data")
def entropy_of_a_policy_that_is_sure():
    x, y = policies()

    def loss(y, p):
        paid = -ops.sum(y * ops.log(p + 1e-8), -1)
        return ops.mean(paid + 0.01 * ops.sum(p * ops.log(p), -1))

    return own(
        loss,
        _opt.Adam(0.002),
        60 * x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(4, "softmax"),
        epochs=20,
    )


@case("A7", "nonfinite_gradient", "unscaled_data")
def missing_values_of_the_table():
    x, y = cancer()
    x = x.copy()
    x[np.random.default_rng(13).random(x.shape) < 0.005] = np.nan
    model = chain(
        (30,),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=15)


@case("A7", "nonfinite_gradient", "unscaled_data", "exploding_gradient")
def squares_summed_in_half_precision():
    x, _ = digits()
    x = 255 * x

    def loss(y, p):
        return ops.mean(ops.sum(ops.square(ops.cast(y, p.dtype) - p), -1))

    half = {"dtype": "mixed_float16"}
    model = chain(
        (64,),
        layers.Rescaling(1 / 255),
        layers.Dense(32, "relu", **half),
        layers.Dense(64, **half),
    )
    return ready(model, _opt.Adam(1e-3), loss, x, x, epochs=6)


# Schedules, averages, clipping


@case("A8", "update_ratio")
def schedule_of_the_paper_warms_up_for_ever():
    adam = _opt.Adam(Paper(32, 40_000), beta_2=0.98, epsilon=1e-9)
    return reading(True, adam, epochs=12)


@case("A8", "update_ratio")
def plateau_is_watched_the_wrong_way():
    slower = keras.callbacks.ReduceLROnPlateau(
        "accuracy", mode="min", factor=0.1, patience=1, min_lr=0
    )
    return numbers(
        _opt.SGD(0.005), epochs=16, batch_size=64, callbacks=[slower]
    )


@case("A8", "update_ratio")
def averages_overwrite_the_weights():
    adam = _opt.Adam(
        1e-3, use_ema=True, ema_momentum=0.999, ema_overwrite_frequency=1
    )
    return numbers(adam, epochs=10, batch_size=32)


@case("A8", "update_ratio", "frozen_layer")
def accumulates_for_longer_than_it_runs():
    adam = _opt.Adam(1e-3, gradient_accumulation_steps=2000)
    return numbers(adam, layers.Dense(64, "elu"), epochs=10, batch_size=32)


@case("A8", "clipping")
def segments_under_a_tiny_global_norm():
    sgd = _opt.SGD(0.05, momentum=0.9, global_clipnorm=1e-4)
    return segments(sgd, epochs=10, batch_size=16)


# Classes and data


@case("A9", "output_mismatch")
def reader_hands_out_labels_of_the_batch_before():
    x, y = digits()
    model = chain(
        (64,),
        layers.Dense(64, "relu"),
        layers.BatchNormalization(),
        layers.Dense(10, "softmax"),
    )
    model.compile("adam", _SPARSE, metrics=["accuracy"])
    return model, Late(x, y, 32), None, {"epochs": 8}


@case("A9", "unscaled_data", "output_mismatch", labelled=True)
def validation_is_not_divided_by_255():
    x, y = fourth_data.patches(600)
    model = chain(
        (12, 12, 3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(6, "softmax"),
    )
    return ready(
        model,
        "adam",
        _SPARSE,
        x[:480] / 255,
        y[:480],
        ["accuracy"],
        epochs=14,
        batch_size=16,
        validation_data=(x[480:], y[480:]),
    )


@case("A9", "output_mismatch", labelled=True)
def one_customer_in_fifty_leaves():
    x, y = customers()
    model = chain((10,), layers.Dense(16, "relu"), layers.Dense(1, "sigmoid"))
    return ready(model, _opt.SGD(0.01), _BINARY, x, y, ["accuracy"], epochs=10)


@case("A9", "unscaled_data")
def normalization_is_never_adapted():
    x, y = wines(raw=True)
    model = chain(
        (13,),
        layers.Normalization(),
        layers.Dense(32, "relu"),
        layers.Dense(3, "softmax"),
    )
    return ready(
        model,
        _opt.SGD(0.01),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=40,
        batch_size=16,
    )


# Weights at the start, one unit


@case("A10", "poor_initialization")
def autoencoder_through_one_number():
    x, _ = digits()
    model = chain(
        (64,),
        layers.Dense(32, "relu"),
        layers.Dense(1, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(64, "sigmoid"),
    )
    return ready(model, "adam", "mse", x, x, epochs=10)


@case("A10", "poor_initialization", "saturated_activation")
def lstm_of_positive_weights():
    x, y = third_data.tones(480, 40)
    model = chain(
        (40, 1),
        layers.LSTM(
            24,
            kernel_initializer=keras.initializers.RandomUniform(0, 1),
            recurrent_initializer=keras.initializers.RandomUniform(0, 1),
        ),
        layers.Dense(4, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A10", "poor_initialization", "dead_relu")
def biases_start_at_minus_five():
    low = {"bias_initializer": keras.initializers.Constant(-5.0)}
    return numbers(
        "adam",
        layers.Dense(64, "relu", **low),
        layers.Dense(32, "relu", **low),
        epochs=8,
    )


# Transformers, critics, fine-tuning, memory


@case("A11", "frozen_layer", "output_mismatch")
def mask_is_turned_over():
    return reading(False, epochs=14)


@case("A11", "output_mismatch", "exploding_gradient", labelled=True)
def critic_without_a_bound():
    x, y = third_data.shapes(600)
    y = np.where(y == 0, 1.0, -1.0).astype("float32")[:, None]
    model = chain(
        (14, 14, 1),
        layers.Conv2D(16, 3, strides=2),
        layers.LeakyReLU(0.2),
        layers.Flatten(),
        layers.Dense(32),
        layers.LeakyReLU(0.2),
        layers.Dense(1),
    )
    return ready(
        model,
        _opt.RMSprop(5e-4),
        lambda y, p: -ops.mean(y * p),
        x,
        y,
        epochs=12,
    )


@case("A11", "update_ratio", "exploding_gradient")
def fine_tuned_at_a_rate_of_a_half():
    x, y = third_data.shapes(600)
    base = chain(
        (14, 14, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
    )
    before = keras.Sequential([base, layers.Dense(3, "softmax")])
    before.compile("adam", _SPARSE)
    before.fit(x[:300], y[:300], epochs=4, verbose=0)
    model = keras.Sequential([base, layers.Dense(3, "softmax")])
    return ready(model, _opt.Adam(0.5), _SPARSE, x, y, ["accuracy"], epochs=10)


@case("A11", "vanishing_gradient")
def answer_stands_at_the_first_step():
    rng = np.random.default_rng(14)
    x = rng.normal(size=(600, 90, 1)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    model = chain((90, 1), layers.SimpleRNN(24), layers.Dense(1, "sigmoid"))
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=10)


# Healthy, each near to one of those above


@case("A3")
def labels_of_minus_one_and_one_with_hinge():
    x, y = cancer()
    model = chain((30,), layers.Dense(24, "relu"), layers.Dense(1, "tanh"))
    return ready(model, "adam", "hinge", x, 2 * y - 1, epochs=25)


@case("A3")
def autoencoder_of_standardised_numbers():
    x, _ = cancer()
    model = chain(
        (30,),
        layers.Dense(20, "relu"),
        layers.Dense(10),
        layers.Dense(20, "relu"),
        layers.Dense(30),
    )
    return ready(model, "adam", "mse", x, x, epochs=30, batch_size=16)


@case("A3")
def twins_with_a_margin():
    def loss(y, far):
        near = ops.maximum(1.0 - far, 0.0)
        return ops.mean(y * ops.square(far) + (1 - y) * ops.square(near))

    return twins(loss, epochs=20)


@case("A3")
def values_of_a_game_that_discounts():
    return values(0.9, 0.003, held=True, epochs=15)


@case("A4")
def signs_with_a_gradient_passed_through():
    return numbers(
        "adam",
        layers.Dense(96),
        layers.BatchNormalization(),
        SignPassed(),
        layers.Dense(48),
        layers.BatchNormalization(),
        SignPassed(),
        epochs=12,
    )


@case("A4")
def new_head_on_a_base_that_knows():
    x, y = third_data.shapes(600)
    base = chain(
        (14, 14, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(24, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
    )
    before = keras.Sequential([base, layers.Dense(3, "softmax")])
    before.compile(_opt.Adam(0.003), _SPARSE)
    before.fit(x[:400], y[:400], epochs=12, verbose=0)
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(3, "softmax")])
    return ready(model, _opt.Adam(0.01), _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A6")
def exponential_of_standardised_inputs():
    rng = np.random.default_rng(15)
    x = rng.normal(size=(700, 4)).astype("float32")
    y = rng.poisson(np.exp(0.8 + 0.7 * x[:, 0] - 0.5 * x[:, 1]))
    model = chain(
        (4,), layers.Dense(12, "tanh"), layers.Dense(1, "exponential")
    )
    y = y.astype("float32")[:, None]
    return ready(model, _opt.Adam(0.005), "poisson", x, y, epochs=20)


@case("A7")
def entropy_of_a_policy_by_logarithms():
    x, y = policies()

    def loss(y, logits):
        log = ops.log_softmax(logits)
        paid = -ops.sum(y * log, -1)
        return ops.mean(paid + 0.01 * ops.sum(ops.exp(log) * log, -1))

    return own(
        loss,
        _opt.Adam(0.002),
        x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(4),
        epochs=20,
    )


@case("A7")
def mean_over_at_least_one_step():
    x, y = readings(empty=0.02)
    model = chain(
        (20, 3), MeanOfThere(1.0), layers.Dense(32, "relu"), layers.Dense(1)
    )
    return ready(model, _opt.Adam(0.003), "mse", x, y, epochs=20)


@case("A8")
def schedule_of_the_paper_warms_up_shortly():
    adam = _opt.Adam(Paper(32, 300), beta_2=0.98, epsilon=1e-9)
    return reading(True, adam, epochs=20)


@case("A8")
def averages_beside_the_weights():
    adam = _opt.Adam(1e-3, use_ema=True, ema_momentum=0.99)
    return numbers(adam, epochs=8, batch_size=32)


@case("A8")
def accumulates_four_batches():
    adam = _opt.Adam(2e-3, gradient_accumulation_steps=4)
    return numbers(adam, layers.Dense(64, "elu"), epochs=14, batch_size=16)


@case("A9")
def normalization_is_adapted():
    x, y = wines(raw=True)
    scale = layers.Normalization()
    scale.adapt(x)
    model = chain(
        (13,), scale, layers.Dense(32, "relu"), layers.Dense(3, "softmax")
    )
    return ready(
        model,
        _opt.SGD(0.05),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=30,
        batch_size=16,
    )


@case("A11")
def critic_with_hinges():
    x, y = third_data.shapes(600)
    y = np.where(y == 0, 1.0, -1.0).astype("float32")[:, None]
    model = chain(
        (14, 14, 1),
        layers.Conv2D(16, 3, strides=2),
        layers.LeakyReLU(0.2),
        layers.Flatten(),
        layers.Dense(32),
        layers.LeakyReLU(0.2),
        layers.Dense(1),
    )
    hinges = lambda y, p: ops.mean(ops.relu(1 - y * p))  # noqa: E731
    return ready(model, _opt.Adam(1e-3), hinges, x, y, epochs=20)


@case("A11")
def answer_stands_at_the_last_steps():
    x, y = sequences(500, 40, seed=16)
    model = chain((40, 1), layers.SimpleRNN(24), layers.Dense(1))
    return ready(model, _opt.Adam(0.003), "mse", x, y, epochs=15)
