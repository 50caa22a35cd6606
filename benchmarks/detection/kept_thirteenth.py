"""A thirteenth set that no rule was made with, over all backends by lot.

As beginners and practitioners write them: tables of scikit-learn or of a
shop, small pictures, series and texts, in the usual styles, each fault as
forums know it. What is right was written down before any of them was watched.
`SICK` and `HEALTHY` as in `kept_sick`. A program that takes `right` builds
its corrected twin, too. `SEEDS` is the seed that the lot gave each.
"""

import random

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import thirteenth_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.kept_data import Attend
from detection.kept_fifth import chain
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY
from detection.thirteenth_data import standard

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


def house(optimizer, *stack, loss="mse", factor=1e-5, **fit):
    """Return a net for prices of houses, in units of 100 000 dollars."""
    x, y = data.houses()
    return ready(
        dense((5,), *stack), optimizer, loss, standard(x), factor * y, **fit
    )


def digit(optimizer, *stack, loss=_SPARSE, factor=1.0, **fit):
    x, y = data.digits()
    return ready(dense((64,), *stack), optimizer, loss, factor * x, y, **fit)


def tumour(optimizer, *stack, scaled=True, loss=_BINARY, **fit):
    x, y = data.tumours()
    x = standard(x) if scaled else x
    return ready(dense((30,), *stack), optimizer, loss, x, y, **fit)


def fault(optimizer, *stack, **fit):
    x, y = data.faults()
    return ready(dense((10,), *stack), optimizer, _SPARSE, x, y, **fit)


def cnn(*filters, last=3, answer="softmax", **how):
    """Return convolutions, each with a pooling, as tutorials have them."""
    net = chain((14, 14, 3))
    for count in filters:
        net.add(layers.Conv2D(count, 3, activation="relu", **how))
        net.add(layers.MaxPooling2D())
    net.add(layers.Flatten())
    net.add(layers.Dense(32, "relu", **how))
    net.add(layers.Dense(last, answer))
    return net


def picture(optimizer, net, factor=1.0, **fit):
    x, y = data.shapes()
    return ready(net, optimizer, _SPARSE, factor * x, y, ["accuracy"], **fit)


def motor(optimizer, *stack, every=1, **fit):
    x, y = data.motors()
    x = x[:, ::every]
    net = chain((64 // every, 1), *stack)
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def post(optimizer, *stack, rows=100, **fit):
    """Return a net for words, whose table has as many rows as told."""
    x, y = data.posts()
    net = chain(
        (20,),
        layers.Embedding(rows, 16),
        *stack,
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def months(optimizer, *stack, scaled=True, loss="mse", **fit):
    x, y = data.passengers()
    x, y = ((x - 300) / 150, (y - 300) / 150) if scaled else (x, y)
    return ready(chain((24, 1), *stack), optimizer, loss, x, y, **fit)


class Two(keras.Model):
    """Calls its parts as it is told, under a loss of its own if any."""

    def __init__(self, how, loss_of=None, **parts):
        super().__init__()
        self.how, self.loss_of = how, loss_of
        for name, part in parts.items():
            setattr(self, name, part)

    def call(self, x):
        return self.how(self, x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if self.loss_of is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        return self.loss_of(y, y_pred)


def two(optimizer, loss, x, y, how, parts, **fit):
    own = loss if callable(loss) else None
    model = Two(how, own, **parts)
    model.compile(optimizer, None if own else loss)
    model([part[:2] for part in x] if isinstance(x, list) else x[:2])
    return model, x, y, fit


def alone(optimizer, loss, x, y, net, **fit):
    return two(
        optimizer, loss, x, y, lambda self, x: self.net(x), {"net": net}, **fit
    )


# What the output can give, and losses without a floor


@case("out", "output_mismatch")
def house_prices_by_a_sigmoid(right=False):
    last = None if right else "sigmoid"
    adam = _opt.Adam(5e-3)
    return house(adam, (32, "relu"), (16, "relu"), (1, last), epochs=25)


@case("A3", "output_mismatch", only=["jax", "tensorflow"])
def progress_of_diabetes_as_a_class(right=False):
    x, y = data.diabetes()
    last, loss = (None, "mse") if right else ("sigmoid", _BINARY)
    y = y / 100 if right else y
    net = dense((10,), (24, "relu"), (12, "relu"), (1, last))
    return ready(net, _opt.Adam(2e-3), loss, x, y, epochs=30)


@case("A3", "output_mismatch")
def rooted_error_of_flat_targets(right=False):
    x, y = data.houses()
    y = 1e-5 * (y if right else y[:, 0])

    def loss(t, p):
        return ops.sqrt(ops.mean(ops.square(ops.cast(t, "float32") - p)))

    net = dense((5,), (32, "relu"), (32, "relu"), (1, None))
    return alone(_opt.Adam(3e-3), loss, standard(x), y, net, epochs=30)


@case("A3", "output_mismatch", "exploding_gradient")
def r_squared_is_minimised(right=False):
    x, y = data.diabetes()
    y = (y - y.mean()) / y.std()

    def loss(t, p):
        rest = ops.sum(ops.square(t - p))
        score = 1 - rest / (ops.sum(ops.square(t - ops.mean(t))) + 1e-7)
        return -score if right else score

    net = dense((10,), (24, "relu"), (1, None))
    return ready(net, _opt.Adam(3e-3), loss, x, y, epochs=20)


@case("out", "output_mismatch", "dead_relu")
def profit_or_loss_by_a_last_relu(right=False):
    x, y = data.houses()
    y = (y - y.mean() - 0.6 * y.std()) / y.std()
    last = None if right else "relu"
    net = dense((5,), (32, "tanh"), (16, "tanh"), (1, last))
    return ready(net, _opt.Adam(3e-3), "mse", standard(x), y, epochs=25)


@case("out", "output_mismatch")
def softmax_over_a_single_unit(right=False):
    last = "sigmoid" if right else "softmax"
    sgd = _opt.SGD(0.05, momentum=0.9)
    return tumour(sgd, (16, "relu"), (8, "relu"), (1, last), epochs=20)


@case("out", "output_mismatch", "unscaled_data")
def bytes_rebuilt_by_a_sigmoid(right=False):
    x, _ = data.digits((8, 8, 1))
    x = x if right else 255 * x
    how = {"padding": "same", "activation": "relu"}
    net = chain(
        (8, 8, 1),
        layers.Conv2D(16, 3, strides=2, **how),
        layers.Conv2D(8, 3, strides=2, **how),
        layers.Conv2DTranspose(8, 3, strides=2, **how),
        layers.Conv2DTranspose(16, 3, strides=2, **how),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    )
    return ready(net, _opt.Adam(3e-3), "mse", x, x, epochs=25)


@case("A3", "output_mismatch", labelled=True)
def variance_of_a_code_falls_to_nothing(right=False):
    x, _ = data.digits()

    class Coder(keras.Model):
        def __init__(self):
            super().__init__()
            self.read = dense((64,), (48, "relu"), (12, None))
            self.give = dense((6,), (48, "relu"), (64, "sigmoid"))
            self.noise = keras.random.SeedGenerator(3)

        def call(self, x):
            both = self.read(x)
            mean, log = both[:, :6], both[:, 6:]
            kl = -0.5 * ops.sum(1 + log - ops.square(mean) - ops.exp(log), -1)
            self.add_loss((1e-3 if right else 3.0) * ops.mean(kl))
            noise = keras.random.normal(ops.shape(mean), seed=self.noise)
            return self.give(mean + ops.exp(0.5 * log) * noise)

    net = Coder()
    net.compile(_opt.Adam(3e-3), "mse")
    net(x[:2])
    return net, x, x, {"epochs": 25}


# Gradients that are cut


@case("A4", "frozen_layer")
def share_of_wrong_answers_as_the_loss(right=False):
    def loss(t, p):
        p = p if right else (ops.sign(p - 0.5) + 1) / 2
        return ops.mean(ops.abs(t - p))

    adam = _opt.Adam(5e-3)
    stack = (24, "relu"), (12, "relu"), (1, "sigmoid")
    return tumour(adam, *stack, loss=loss, epochs=20)


@case("A4", "frozen_layer", labelled=True)
def nearest_codes_without_a_way_back(right=False):
    x, _ = data.digits()

    class Book(layers.Layer):
        def build(self, shape):
            self.rows = self.add_weight(
                shape=(32, 4), initializer=_start.RandomUniform(-1, 1)
            )
            self.built = True

        def call(self, h):
            gap = ops.sum(ops.square(h[:, None] - self.rows), -1)
            near = ops.take(self.rows, ops.argmin(gap, -1), axis=0)
            self.add_loss(ops.mean(ops.square(near - ops.stop_gradient(h))))
            if right:
                more = ops.mean(ops.square(ops.stop_gradient(near) - h))
                self.add_loss(0.25 * more)
                return h + ops.stop_gradient(near - h)
            return near

    net = chain(
        (64,),
        layers.Dense(48, "relu"),
        layers.Dense(4, "tanh"),
        Book(),
        layers.Dense(48, "relu"),
        layers.Dense(64, "sigmoid"),
    )
    return ready(net, _opt.Adam(3e-3), "mse", x, x, epochs=25)


@case("A4", "frozen_layer")
def picture_is_read_and_thrown_away(right=False):
    x, y = data.shapes()

    def how(self, x):
        small = self.table(ops.mean(x, (1, 2)))
        h = self.body(x)
        return self.head(ops.concatenate([small, h if right else 0 * h], -1))

    body = chain(
        (14, 14, 3),
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(16, "relu"),
    )
    parts = {
        "table": dense((3,), (8, "relu")),
        "body": body,
        "head": dense((24,), (3, "softmax")),
    }
    return two(_opt.Adam(3e-3), _SPARSE, x, y, how, parts, epochs=20)


# Too large, or no number


@case("A6", "exploding_gradient", "poor_initialization", "update_ratio")
def rectified_memory_of_a_motor(right=False):
    how = {} if right else {"activation": "relu"}
    start = "orthogonal" if right else "he_normal"
    sgd = _opt.SGD(0.05)
    return motor(
        _opt.Adam(5e-3) if right else sgd,
        layers.SimpleRNN(
            64, recurrent_initializer=start, return_sequences=True, **how
        ),
        layers.GlobalMaxPooling1D()
        if right
        else layers.Lambda(lambda t: t[:, -1], output_shape=(64,)),
        layers.Dense(3, "softmax"),
        every=2,
        epochs=15,
    )


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "output_mismatch",
    "update_ratio",
    "nonfinite_gradient",
)
def dollars_of_a_house_by_sgd(right=False):
    stack = (64, "relu"), (64, "relu"), (1, None)
    factor = 1e-5 if right else 1.0
    return house(_opt.SGD(0.01), *stack, factor=factor, epochs=20)


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "output_mismatch",
    "update_ratio",
    "nonfinite_gradient",
)
def passengers_by_an_lstm_with_relu(right=False):
    return months(
        _opt.Adam(5e-3) if right else _opt.SGD(0.01),
        layers.LSTM(32, activation="tanh" if right else "relu"),
        layers.Dense(1),
        scaled=right,
        epochs=15,
    )


@case("A6", "exploding_gradient", "output_mismatch")
def percentage_of_hours_without_sales(right=False):
    x, y = data.sales()
    net = dense((6,), (32, "relu"), (16, "relu"), (1, "softplus"))
    loss = "poisson" if right else "mape"
    return ready(net, _opt.Adam(3e-3), loss, x, y, epochs=20)


@case("A7", "nonfinite_gradient")
def distance_of_a_picture_to_itself(right=False):
    x, y = data.alike()
    one, other = keras.Input((64,)), keras.Input((64,))
    body = dense((64,), (48, "relu"), (16, None))

    def apart(both):
        rest = ops.sum(ops.square(both[0] - both[1]), -1, keepdims=True)
        return ops.sqrt(rest + 1e-6 if right else rest)

    h = layers.Lambda(apart, output_shape=(1,))([body(one), body(other)])

    def contrast(t, p):
        far = ops.square(ops.maximum(1 - p, 0))
        return ops.mean(t * ops.square(p) + (1 - t) * far)

    net = keras.Model([one, other], layers.Lambda(lambda t: 1 * t)(h))
    return ready(net, _opt.Adam(3e-3), contrast, x, y, epochs=20)


@case("A7", "nonfinite_gradient", "output_mismatch", "unscaled_data")
def logarithm_of_a_sure_answer(right=False):
    x, y = data.tumours()

    def loss(t, p):
        p = ops.clip(p, 1e-6, 1 - 1e-6) if right else p
        return -ops.mean(t * ops.log(p) + (1 - t) * ops.log(1 - p))

    net = dense((30,), (32, "relu"), (1, "sigmoid"))
    x = standard(x) if right else x
    return ready(net, _opt.Adam(3e-3), loss, x, y, epochs=20)


@case("A7", "nonfinite_gradient", only=["jax"])
def words_beyond_the_last_row(right=False):
    return post(
        _opt.Adam(5e-3),
        layers.GlobalAveragePooling1D(),
        layers.Dense(24, "relu"),
        rows=100 if right else 60,
        epochs=15,
    )


@case("A7", "nonfinite_gradient", "unscaled_data")
def ages_that_a_table_leaves_empty(right=False):
    x, y = data.clients()
    x = standard(x)
    x[7::50, 0] = 0 if right else np.nan
    net = dense((5,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(3e-3), _BINARY, x, y, ["accuracy"], epochs=15)


# Penalties, schedules, clips, rates


@case("A8", "update_ratio")
def l2_of_one_in_every_convolution(right=False):
    how = {} if right else {"kernel_regularizer": keras.regularizers.L2(1.0)}
    return picture(_opt.Adam(2e-3), cnn(12, 24, **how), epochs=15)


@case("A8", "update_ratio")
def adamw_with_a_decay_of_a_hundred(right=False):
    adam = _opt.AdamW(5e-3, weight_decay=4e-3 if right else 100.0)
    return digit(adam, (64, "relu"), (32, "relu"), (10, "softmax"), epochs=15)


@case("A8", "update_ratio")
def rate_halves_at_every_batch(right=False):
    steps = 500 if right else 1
    rate = _rates.ExponentialDecay(0.003, steps, 0.5)
    return motor(
        _opt.Adam(rate),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, "softmax"),
        epochs=15,
    )


@case("A8", "update_ratio")
def boundaries_are_counted_in_epochs(right=False):
    many = 25 if right else 1
    rate = _rates.PiecewiseConstantDecay(
        [5 * many, 10 * many], [5e-3, 2e-3 if right else 1e-6, 1e-7]
    )
    return post(
        _opt.Adam(rate),
        layers.Bidirectional(layers.GRU(12)),
        epochs=15,
    )


@case("A8", "update_ratio")
def plateau_of_a_rising_accuracy(right=False):
    calls = [
        keras.callbacks.ReduceLROnPlateau(
            "loss" if right else "accuracy",
            factor=0.1,
            patience=8 if right else 1,
            mode="min",
            min_delta=0.0,
        ),
    ]
    x, y = data.digits()
    net = dense((64,), (48, "tanh"), (48, "tanh"), (10, "softmax"))
    sgd = _opt.SGD(0.1 if right else 5e-4)
    return ready(
        net, sgd, _SPARSE, x, y, ["accuracy"], epochs=25, callbacks=calls
    )


@case("A8", "clipping")
def pictures_under_a_clipvalue_of_a_millionth(right=False):
    most = {} if right else {"clipvalue": 1e-6}
    sgd = _opt.SGD(0.05, momentum=0.9, **most)
    return picture(sgd, cnn(12, 24), epochs=20)


@case(
    "rate",
    "update_ratio",
    "dead_relu",
    "exploding_gradient",
    "saturated_activation",
)
def pictures_by_adam_at_a_half(right=False):
    return picture(_opt.Adam(3e-3 if right else 0.5), cnn(12, 24), epochs=15)


@case("rate", "update_ratio")
def clients_by_sgd_at_a_millionth(right=False):
    x, y = data.clients()
    sgd = _opt.SGD(0.1 if right else 1e-6, momentum=0.9)
    net = dense((5,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    return ready(net, sgd, _BINARY, standard(x), y, ["accuracy"], epochs=25)


# Data


@case("A9", "output_mismatch", labelled=True)
def one_fraud_in_two_hundred():
    x, y = data.cards()
    net = dense((8,), (16, "relu"), (8, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=12)


@case("A9", "output_mismatch", labelled=True)
def nuclei_in_one_picture_of_ten(right=False):
    rare = {} if right else {"blank": 0.9, "radius": 1.2}
    x, y = data.nuclei(**rare)
    net = chain(
        (16, 16, 1),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    )
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(net, sgd, _BINARY, x, y, epochs=12)


@case("A9", "unscaled_data", "saturated_activation")
def tumours_as_the_table_has_them(right=False):
    stack = (32, "sigmoid"), (16, "sigmoid"), (1, "sigmoid")
    sgd = _opt.SGD(0.1, momentum=0.9)
    return tumour(sgd, *stack, scaled=right, epochs=20)


@case("A9", "unscaled_data")
def pictures_divided_by_255_twice(right=False):
    sgd = _opt.SGD(0.03, momentum=0.5)
    net = cnn(12, 24)
    return picture(sgd, net, 1.0 if right else 1 / 255, epochs=20)


@case("A9", "unscaled_data", "dead_relu", "exploding_gradient", "update_ratio")
def incomes_beside_ages(right=False):
    x, y = data.clients()
    x = standard(x) if right else x
    net = dense((5,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(net, sgd, _BINARY, x, y, ["accuracy"], epochs=20)


@case("A9", "output_mismatch", "unscaled_data", "update_ratio")
def dollars_of_a_house_by_adam(right=False):
    stack = (64, "relu"), (64, "relu"), (1, None)
    factor = 1e-5 if right else 1.0
    return house(_opt.Adam(1e-3), *stack, factor=factor, loss="mae", epochs=30)


@case("A9", "frozen_layer", labelled=True)
def averages_of_the_held_out_lag(right=False):
    x, y = data.shapes(700)
    norm = {"momentum": 0.8 if right else 0.999}
    net = chain(
        (14, 14, 3),
        layers.Rescaling(12.0, offset=9.0),
        layers.Conv2D(12, 3),
        layers.BatchNormalization(**norm),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3),
        layers.BatchNormalization(**norm),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(3, "softmax"),
    )
    held = {"validation_data": (x[560:], y[560:])}
    x, y = x[:560], y[:560]
    return ready(
        net, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=7, **held
    )


@case("A9", "output_mismatch", "unscaled_data", labelled=True)
def generator_fills_one_array_again(right=False):
    x, y = data.digits()

    def batches():
        rng = np.random.default_rng(4)
        given, told = np.zeros((32, 64), "float32"), np.zeros(32, "int32")
        while True:
            at = rng.integers(0, len(x), 32)
            told[:] = y[at]
            for row, one in enumerate(at):
                given[row if right else 0] = x[one]
            yield given.copy(), told.copy()

    net = dense((64,), (48, "relu"), (10, "softmax"))
    net.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    return net, batches(), None, {"epochs": 15, "steps_per_epoch": 30}


@case("A9", "output_mismatch")
def labels_of_another_order(right=False):
    x, y = data.shapes()
    y = y if right else np.random.default_rng(9).permutation(y)
    net = cnn(6)
    return ready(net, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


# Starts, depth, one unit


@case("A10", "poor_initialization", "saturated_activation")
def weights_between_none_and_one(right=False):
    start = "glorot_uniform" if right else _start.RandomUniform(0.0, 1.0)
    how = {"kernel_initializer": start}
    net = chain(
        (64,),
        layers.Dense(64, "sigmoid", **how),
        layers.Dense(32, "sigmoid", **how),
        layers.Dense(10, "softmax", **how),
    )
    x, y = data.digits()
    rate = _opt.Adam(5e-3) if right else _opt.SGD(0.05)
    return ready(net, rate, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A10", "poor_initialization", "dead_relu")
def digits_through_one_rectified_unit(right=False):
    stack = (32, "relu"), (16 if right else 1, "relu"), (10, "softmax")
    return digit(_opt.SGD(0.1), *stack, epochs=20)


@case("deep", "vanishing_gradient", "saturated_activation")
def eight_sigmoid_layers_for_digits(right=False):
    stack = [(48, "relu" if right else "sigmoid")] * (2 if right else 8)
    sgd = _opt.SGD(0.1, momentum=0.9)
    return digit(sgd, *stack, (10, "softmax"), epochs=20)


@case("deep", "vanishing_gradient", "poor_initialization")
def tanh_from_normals_of_a_hundredth(right=False):
    start = "glorot_normal" if right else _start.RandomNormal(stddev=0.01)
    net = chain((10,))
    for _ in range(6):
        net.add(layers.Dense(32, "tanh", kernel_initializer=start))
    net.add(layers.Dense(4, "softmax"))
    x, y = data.faults()
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(net, sgd, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("deep", "vanishing_gradient", "poor_initialization")
def rectifiers_without_the_start_of_he(right=False):
    how = {"kernel_initializer": _start.RandomNormal(stddev=0.03)}
    how = {"kernel_initializer": "he_normal"} if right else how
    net = chain((14, 14, 3))
    for _ in range(7):
        net.add(layers.Conv2D(12, 3, padding="same", activation="relu", **how))
    net.add(layers.GlobalMaxPooling2D())
    net.add(layers.Dense(3, "softmax"))
    return picture(_opt.SGD(0.02, momentum=0.9), net, epochs=15)


@case("dead", "dead_relu", "poor_initialization", "update_ratio")
def rectifiers_whose_biases_start_at_minus_five(right=False):
    how = {} if right else {"bias_initializer": _start.Constant(-5.0)}
    net = chain(
        (10,),
        layers.Dense(48, "relu", **how),
        layers.Dense(24, "relu", **how),
        layers.Dense(4, "softmax"),
    )
    x, y = data.faults()
    return ready(net, _opt.SGD(0.05), _SPARSE, x, y, ["accuracy"], epochs=20)


# Sides of a game, attention


def forged(forger, judge, epochs=12):
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.digits()
    made = dense((LATENT,), (48, "relu"), (64, "sigmoid"))
    judged = dense((64,), (48, "leaky_relu"), (24, "leaky_relu"), (1, None))
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
def judge_of_digits_has_won():
    return forged(2e-6, 1e-2)


class Places(layers.Layer):
    """Adds a learnt row to each place of a sequence."""

    def build(self, shape):
        self.rows = self.add_weight(shape=shape[1:], initializer="uniform")
        self.built = True

    def call(self, x):
        return x + self.rows


class Read(layers.Layer):
    """Looks back only, with a shortcut and a norm, and a net behind."""

    def __init__(self, width):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, width // 2)
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.up, self.down = (
            layers.Dense(2 * width, "gelu"),
            layers.Dense(width),
        )

    def build(self, shape):
        self.attention.build(shape, shape)
        for norm in self.norms:
            norm.build(shape)
        self.up.build(shape)
        self.down.build((*shape[:-1], self.up.units))
        self.built = True

    def call(self, x):
        h = self.norms[0](x)
        x = x + self.attention(h, h, use_causal_mask=True)
        return x + self.down(self.up(self.norms[1](x)))


def next_ids(optimizer, *blocks, **fit):
    x, y = data.lines()
    net = chain(
        (10,),
        layers.Embedding(12, 24),
        Places(),
        *blocks,
        layers.Dense(12, "softmax"),
        dtype="int32",
    )
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


@case(
    "A11",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
    "vanishing_gradient",
)
def four_blocks_normed_behind_without_warm_up(right=False):
    blocks = [Attend(16, before=right) for _ in range(2 if right else 4)]
    return post(
        _opt.Adam(3e-3 if right else 0.1),
        *blocks,
        layers.GlobalAveragePooling1D(),
        epochs=12,
    )


@case("A11", "output_mismatch", "frozen_layer")
def mask_of_padding_is_turned_round(right=False):
    x, y = data.posts()

    def how(self, x):
        real = ops.not_equal(x, 0) if right else ops.equal(x, 0)
        h = self.table(x)
        h = self.attention(h, h, attention_mask=real[:, None, :])
        real = ops.cast(real, "float32")[..., None]
        h = ops.sum(h * real, 1) / ops.maximum(ops.sum(real, 1), 1.0)
        return self.head(h)

    parts = {
        "table": layers.Embedding(100, 16),
        "attention": layers.MultiHeadAttention(2, 8),
        "head": dense((16,), (16, "relu"), (3, "softmax")),
    }
    return two(_opt.Adam(5e-3), _SPARSE, x, y, how, parts, epochs=15)


# Healthy, some of difficult look


@case("out")
def house_prices_by_a_softplus():
    adam = _opt.Adam(5e-3)
    return house(adam, (32, "relu"), (16, "relu"), (1, "softplus"), epochs=25)


@case("dead")
def moons_by_four_rectified_units():
    x, y = data.moons(noise=0.1)
    net = dense((2,), (8, "relu"), (4, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(2e-2), _BINARY, x, y, ["accuracy"], epochs=30)


@case("A3")
def tumours_long_learnt():
    adam = _opt.Adam(3e-3)
    return tumour(adam, (64, "relu"), (32, "relu"), (1, "sigmoid"), epochs=60)


@case("A9")
def wines_one_by_one():
    from sklearn import datasets

    x, y = datasets.load_wine(return_X_y=True)
    net = dense((13,), (16, "relu"), (3, "softmax"))
    sgd = _opt.SGD(5e-3)
    y = y.astype("int32")
    x = standard(x)
    return ready(net, sgd, _SPARSE, x, y, ["accuracy"], epochs=12, batch_size=1)


@case("deep")
def twelve_tanh_layers_for_faults():
    stack = [(24, "tanh")] * 12
    return fault(_opt.Adam(1e-3), *stack, (4, "softmax"), epochs=20)


@case("A4")
def frozen_body_of_some_digits():
    x, y = data.digits()
    body = dense((64,), (64, "relu"), (32, "relu"))
    first = keras.Sequential([body, layers.Dense(10, "softmax")])
    first.compile(_opt.Adam(3e-3), _SPARSE)
    first.fit(x[:500], y[:500], epochs=12, verbose=0)
    body.trainable = False
    inputs = keras.Input((64,))
    h = layers.Dropout(0.1)(body(inputs, training=False))
    net = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    x, y = x[500:], y[500:]
    return ready(net, _opt.Adam(1e-2), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A8")
def digits_through_a_code_of_eight():
    x, _ = data.digits()
    net = dense((64,), (48, "relu"), (8, "relu"), (48, "relu"), (64, "sigmoid"))
    return ready(net, _opt.Adam(3e-3), _BINARY, x, x, epochs=25)


@case("A5")
def diabetes_in_its_noise():
    x, y = data.diabetes()
    net = dense((10,), (16, "relu"), (1, None))
    y = (y - y.mean()) / y.std()
    held = {"validation_split": 0.2}
    return ready(net, _opt.Adam(3e-3), "mse", x, y, epochs=25, **held)


@case("A9")
def nuclei_through_a_small_u_net():
    x, y = data.nuclei()
    inputs = keras.Input((16, 16, 1))
    how = {"padding": "same", "activation": "relu"}
    first = layers.Conv2D(8, 3, **how)(inputs)
    h = layers.Conv2D(16, 3, **how)(layers.MaxPooling2D()(first))
    low = layers.Conv2D(16, 3, **how)(layers.MaxPooling2D()(h))
    h = layers.Concatenate()([layers.UpSampling2D()(low), h])
    h = layers.Conv2D(12, 3, **how)(h)
    h = layers.Concatenate()([layers.Conv2DTranspose(8, 2, 2)(h), first])
    h = layers.Conv2D(8, 3, **how)(h)
    net = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(h))
    return ready(net, _opt.Adam(3e-3), _BINARY, x, y, epochs=12)


@case("A3")
def digits_by_a_sampled_code():
    return variance_of_a_code_falls_to_nothing(right=True)


@case("A4")
def nearest_codes_with_a_way_back():
    return nearest_codes_without_a_way_back(right=True)


@case("A11", only=["tensorflow", "torch"])
def forger_and_judge_of_digits():
    return forged(1e-3, 4e-4, epochs=15)


@case("A11")
def next_ids_by_looking_back():
    rate = _rates.CosineDecay(
        0.0, 300, warmup_target=4e-3, warmup_steps=60, alpha=0.1
    )
    return next_ids(_opt.AdamW(rate), Read(24), Read(24), epochs=20)


@case("A11")
def posts_by_two_blocks_normed_behind():
    return post(
        _opt.Adam(1e-3),
        Attend(16, before=False),
        Attend(16, before=False),
        layers.GlobalAveragePooling1D(),
        epochs=12,
    )


@case("A11")
def posts_by_a_gru_of_both_ways():
    return post(
        _opt.Adam(5e-3),
        layers.SpatialDropout1D(0.2),
        layers.Bidirectional(layers.GRU(16)),
        epochs=12,
    )


@case("A9")
def one_fraud_in_ten_with_weights():
    x, y = data.cards(1200, share=0.1)
    net = dense((8,), (24, "relu"), (12, "relu"), (1, "sigmoid"))
    weights = {"class_weight": {0: 1.0, 1: 9.0}}
    return ready(net, _opt.Adam(3e-3), _BINARY, x, y, epochs=15, **weights)


@case("A6")
def months_by_an_lstm_with_a_clip():
    return months(
        _opt.RMSprop(3e-3, clipnorm=1.0),
        layers.LSTM(24, return_sequences=True),
        layers.LSTM(12),
        layers.Dense(1),
        epochs=15,
    )


@case("A9")
def pictures_from_a_pipeline():
    import tensorflow as tf

    x, y = data.shapes()
    net = chain(
        (14, 14, 3),
        layers.Conv2D(12, 3, use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(3, "softmax"),
    )
    net.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    rows = tf.data.Dataset.from_tensor_slices((x[:480], y[:480]))
    rows = rows.shuffle(480, seed=2).batch(32)
    held = {"validation_data": (x[480:], y[480:])}
    return net, rows, None, {"epochs": 15, **held}


@case("A8")
def pictures_under_a_light_penalty():
    how = {"kernel_regularizer": keras.regularizers.L2(1e-4)}
    sgd = _opt.SGD(0.03, momentum=0.9, nesterov=True)
    return picture(sgd, cnn(12, 24, **how), epochs=20)


@case("A7")
def distance_of_pictures_beside_a_margin():
    return distance_of_a_picture_to_itself(right=True)


@case("A5")
def sales_by_their_rate():
    x, y = data.sales()
    net = dense((6,), (32, "relu"), (16, "relu"), (1, "exponential"))
    return ready(net, _opt.Adam(3e-3), "poisson", x, y, epochs=20)


@case("deep")
def motors_by_convolutions_and_shortcuts():
    x, y = data.motors()
    inputs = keras.Input((64, 1))
    h = layers.Conv1D(16, 5, padding="same", activation="relu")(inputs)
    for _ in range(4):
        more = layers.Conv1D(16, 5, padding="same", activation="relu")(h)
        more = layers.Conv1D(16, 5, padding="same")(more)
        h = layers.ReLU()(layers.Add()([h, more]))
    h = layers.GlobalAveragePooling1D()(h)
    net = keras.Model(inputs, layers.Dense(3, "softmax")(h))
    return ready(net, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A8")
def rate_falls_where_it_stands():
    calls = [keras.callbacks.ReduceLROnPlateau("loss", 0.5, 3, min_lr=1e-5)]
    return digit(
        _opt.Adam(5e-3),
        (48, "elu"),
        (10, "softmax"),
        epochs=30,
        callbacks=calls,
    )


@case("A9")
def tumours_behind_a_normalization():
    x, y = data.tumours()
    norm = layers.Normalization()
    norm.adapt(x)
    net = chain(
        (30,),
        norm,
        layers.Dense(24, "relu"),
        layers.Dropout(0.4),
        layers.Dense(1, "sigmoid"),
    )
    return ready(net, _opt.Adam(3e-3), _BINARY, x, y, ["accuracy"], epochs=25)


@case("A4")
def price_and_age_by_two_heads():
    x, y = data.houses()
    x, y = standard(x), 1e-5 * y
    dear = (y > np.median(y)).astype("float32")
    inputs = keras.Input((5,))
    h = layers.Dense(32, "relu")(inputs)
    h = layers.Dense(32, "relu")(h)
    outputs = [
        layers.Dense(1, name="price")(h),
        layers.Dense(1, "sigmoid", name="dear")(h),
    ]
    net = keras.Model(inputs, outputs)
    net.compile(_opt.Adam(3e-3), ["mse", _BINARY], loss_weights=[1.0, 0.5])
    return net, x, [y, dear], {"epochs": 25}
