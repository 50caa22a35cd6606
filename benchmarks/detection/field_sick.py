"""Programs that do not learn, by the point of the field they stand for.

Each is made after public reports, on other data; none is one of those that
verdicts are judged by. `SICK` maps a name to (point, right rules, program).
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import circles
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_data import waves

SICK = {}
_Adam, _SGD = keras.optimizers.Adam, keras.optimizers.SGD


def sick(point, *rules):
    def keep(function):
        SICK[function.__name__] = (point, rules, function)
        return function

    return keep


class Own(keras.Model):
    """A net with a loss of its own."""

    def __init__(self, loss, *stack):
        super().__init__()
        self.own_loss, self.stack = loss, list(stack)

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        return self.own_loss(y, y_pred)


def own(loss, optimizer, x, y, *stack, **fit):
    model = Own(loss, *stack)
    model.compile(optimizer)
    model(x[:1])
    return model, x, y, fit


# 3: learnt once, no floor, outputs that shrink


@sick("A3", "exploding_gradient", "update_ratio", "oscillating_loss")
def collapse_by_rising_rate():
    x, y = digits()
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([200], [1e-3, 3.0])
    model = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    return ready(
        model,
        _Adam(rate),
        "sparse_categorical_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=12,
    )


@sick("A3", "output_mismatch")
def crossentropy_of_counts():
    x, y = waves()
    y = np.round(20 + 10 * y).astype("float32")
    model = dense((4,), (32, "relu"), (1, "sigmoid"))
    return ready(model, "adam", "binary_crossentropy", x, y, epochs=20)


@sick("A3", "output_mismatch")
def crossentropy_of_logits_of_prices():
    x, y = waves(1200)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model = dense((4,), (64, "relu"), (32, "relu"), (1, None))
    return ready(model, "rmsprop", loss, x, 1000 * (y + 3), epochs=12)


@sick("A3", "output_mismatch")
def own_loss_without_floor():
    x, y = waves()
    return own(
        lambda t, p: -ops.mean(t * p),
        _Adam(1e-3),
        x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=20,
    )


@sick("A3", "output_mismatch")
def own_loss_broadcasts():
    x, y = sequences()
    return own(
        lambda t, p: ops.mean(ops.abs(t - p)),
        _Adam(3e-3),
        x,
        y[:, 0],
        layers.LSTM(16),
        layers.Dense(1),
        epochs=15,
    )


@sick("A3", "output_mismatch")
def own_loss_broadcasts_deep():
    x, y = cancer()
    return own(
        lambda t, p: ops.mean(ops.square(t - p)),
        _Adam(1e-3),
        x,
        y[:, 0],
        layers.Dense(64, "tanh"),
        layers.Dense(64, "tanh"),
        layers.Dense(1, "sigmoid"),
        epochs=40,
    )


class Vae(keras.layers.Layer):
    """Samples a code; its prior weighs as told."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.seed = keras.random.SeedGenerator(0)

    def call(self, code):
        mean, log = ops.split(code, 2, axis=-1)
        prior = ops.mean(ops.exp(log) + ops.square(mean) - 1 - log)
        self.add_loss(self.weight * prior)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(0.5 * log) * noise


def vae(weight, units=64):
    x, _ = digits()
    model = dense(
        (64,),
        (units, "relu"),
        (16, None),
        Vae(weight),
        (units, "relu"),
        (64, "sigmoid"),
    )
    return ready(model, _Adam(2e-3), "mse", x, x, epochs=25)


@sick("A3", "output_mismatch", "update_ratio")
def vae_collapses():
    return vae(1.0)


@sick("A3", "output_mismatch", "update_ratio")
def vae_collapses_wide():
    return vae(10.0, 128)


# 4: no gradient at all, or none in a part


@sick("A4", "frozen_layer")
def loss_of_rounded():
    x, y = cancer()
    return own(
        lambda t, p: ops.mean(ops.square(t - (ops.round(p) + 0 * p))),
        "adam",
        x,
        y,
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
        epochs=10,
    )


@sick("A4", "frozen_layer")
def loss_of_stopped():
    x, y = waves()

    def loss(t, p):
        return ops.mean(ops.square(t - ops.stop_gradient(p)) + 0 * p)

    return ready(
        dense((4,), (32, "tanh"), (32, "tanh"), (1, None)),
        "adam",
        loss,
        x,
        y,
        epochs=10,
    )


@sick("A4", "frozen_layer")
def loss_of_comparison():
    x, y = digits()

    def loss(t, p):
        hit = ops.cast(ops.argmax(p, axis=-1), "float32")
        return ops.mean(ops.abs(ops.reshape(t, (-1,)) - hit)) + 0 * ops.sum(p)

    return ready(
        dense((64,), (32, "relu"), (10, "softmax")),
        _SGD(0.1),
        loss,
        x,
        y.astype("float32")[:, None],
        epochs=10,
    )


class Lora(keras.layers.Layer):
    """Adds a low-rank product to a frozen layer."""

    def __init__(self, layer, rank, **start):
        super().__init__()
        self.layer, self.rank, self.start = layer, rank, start
        self.layer.trainable = False

    def build(self, shape):
        units = self.layer.units
        self.a = self.add_weight((shape[-1], self.rank), "zeros", name="a")
        self.b = self.add_weight((self.rank, units), "zeros", name="b")
        self.layer.build(shape)

    def call(self, x):
        return self.layer(x) + x @ self.a @ self.b


@sick("A4", "frozen_layer")
def adapters_start_at_zero():
    x, y = digits()
    base = [Lora(layers.Dense(32, "relu"), 4), Lora(layers.Dense(10), 4)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(
        dense((64,), *base), _Adam(1e-2), loss, x, y, ["accuracy"], epochs=10
    )


class Quantize(keras.layers.Layer):
    """Rounds its inputs, without passing the gradient straight through."""

    def call(self, x):
        return ops.round(x * 4) / 4 + 0 * x


@sick("A4", "frozen_layer")
def encoder_behind_quantizer():
    x, _ = digits()
    model = dense(
        (64,),
        (32, "relu"),
        (8, "tanh"),
        Quantize(),
        (32, "relu"),
        (64, "sigmoid"),
    )
    return ready(model, "adam", "mse", x, x, epochs=15)


@sick("A4", "frozen_layer")
def branch_times_zero():
    x, y = waves()
    inputs = keras.Input((4,))
    main = layers.Dense(2, "relu", name="main")(inputs[:, :1])
    side = layers.Dense(32, "relu", name="side")(inputs)
    side = layers.Dense(2, "tanh", name="side_out")(side)
    joined = layers.Lambda(lambda t: t[0] + 0 * t[1])([main, side])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    return ready(model, "adam", "mse", x, y, epochs=15)


# 6: exploding at once


@sick("A6", "exploding_gradient", "nonfinite_gradient")
def relu_rnn():
    x, y = sequences(length=60)
    model = keras.Sequential(
        [
            keras.Input((60, 1)),
            layers.SimpleRNN(
                32,
                "relu",
                recurrent_initializer=keras.initializers.Orthogonal(1.5),
            ),
            layers.Dense(1),
        ]
    )
    return ready(model, "adam", "mse", x, y, epochs=1)


@sick("A6", "exploding_gradient", "poor_initialization")
def wide_start_deep():
    x, y = waves()
    model = dense(
        (4,), *[(64, "relu")] * 6, (1, None), kernel_initializer="random_normal"
    )
    for layer in model.layers:
        layer.kernel_initializer = keras.initializers.RandomNormal(stddev=1.0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *[
                layers.Dense(
                    64,
                    "relu",
                    kernel_initializer=keras.initializers.RandomNormal(
                        stddev=1.0
                    ),
                )
                for _ in range(6)
            ],
            layers.Dense(1),
        ]
    )
    return ready(model, _Adam(1e-3), "mse", x, y, epochs=1)


@sick("A6", "exploding_gradient", "unscaled_data")
def huge_targets_short():
    x, y = waves()
    return ready(
        dense((4,), (32, "relu"), (1, None)),
        _SGD(0.01),
        "mse",
        x,
        1e6 * y,
        epochs=1,
    )


# 7: NaN


@sick("A7", "nonfinite_gradient")
def root_at_zero():
    x, y = waves()

    def distance(t, p):
        gap = ops.sum(ops.square(t - p), axis=-1)
        return ops.mean(ops.sqrt(ops.where(t > 0, gap, 0 * gap)))

    return own(
        distance,
        "adam",
        x,
        y,
        layers.Dense(16, "relu"),
        layers.Dense(1),
        epochs=3,
    )


@sick("A7", "nonfinite_gradient")
def branch_not_taken():
    x, y = cancer()

    class Safe(layers.Layer):
        def call(self, h):
            above = ops.sum(ops.relu(h - 2), axis=-1, keepdims=True)
            return ops.where(above > 0, h / above, h)

    return ready(
        dense((30,), (16, "tanh"), Safe(), (1, "sigmoid")),
        "adam",
        "binary_crossentropy",
        x,
        y,
        epochs=3,
    )


@sick("A7", "nonfinite_gradient")
def loss_is_nan_at_once():
    x, y = waves()

    def loss(t, p):
        return ops.mean(ops.square(ops.log(t) - ops.log(1 + ops.abs(p))))

    return ready(
        dense((4,), (16, "relu"), (1, None)), "adam", loss, x, y, epochs=2
    )


@sick("A7", "nonfinite_gradient")
def likelihood_underflows():
    x, y = waves()

    def loss(t, p):
        spread = ops.exp(p[:, 1:])
        gap = ops.square((6 * t - p[:, :1]) / spread)
        return -ops.mean(ops.log(ops.exp(-20 * gap) / spread))

    return ready(
        dense((4,), (16, "tanh"), (2, None)), _Adam(3e-3), loss, x, y, epochs=3
    )


# 8: penalties, decay, schedules, Keras's clip


def classifier(optimizer, epochs=30, penalty=None, hidden=2, **fit):
    x, y = digits()
    how = {"kernel_regularizer": penalty}
    model = dense(
        (64,),
        *[layers.Dense(48, "relu", **how) for _ in range(hidden)],
        layers.Dense(10, "softmax", **how),
    )
    return ready(
        model,
        optimizer,
        "sparse_categorical_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=epochs,
        **fit,
    )


@sick("A8", "update_ratio")
def l2_of_one():
    return classifier("adam", penalty=keras.regularizers.L2(1.0))


@sick("A8", "update_ratio")
def l1_of_a_tenth():
    return classifier("rmsprop", penalty=keras.regularizers.L1(0.1), hidden=1)


@sick("A8", "update_ratio")
def penalty_on_regression():
    x, y = waves()
    how = {"kernel_regularizer": keras.regularizers.L2(0.5)}
    model = dense(
        (4,),
        layers.Dense(32, "tanh", **how),
        layers.Dense(32, "tanh", **how),
        layers.Dense(1, **how),
    )
    return ready(model, _Adam(3e-3), "mse", x, y, epochs=30)


@sick("A8", "update_ratio")
def decay_outweighs():
    return classifier(keras.optimizers.AdamW(1e-3, weight_decay=300.0))


@sick("A8", "update_ratio")
def decay_of_sgd():
    return classifier(_SGD(0.05, weight_decay=2.0), hidden=1)


@sick("A8", "update_ratio")
def schedule_ends_early():
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 30)
    return classifier(_Adam(rate))


@sick("A8", "update_ratio")
def schedule_halves_each_step():
    rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 4, 0.5)
    return classifier(_SGD(rate), hidden=1)


@sick("A8", "update_ratio")
def schedule_of_polynomial():
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, 20, 0.0)
    x, y = waves()
    return ready(
        dense((4,), (32, "relu"), (1, None)), _SGD(rate), "mse", x, y, epochs=40
    )


@sick("A8", "clipping")
def clipnorm_tiny():
    return classifier(_SGD(0.1, clipnorm=1e-4))


@sick("A8", "clipping")
def clipvalue_tiny():
    return classifier(_SGD(0.05, momentum=0.9, clipvalue=1e-6))


@sick("A8", "clipping")
def global_clipnorm_tiny():
    x, y = waves()
    return ready(
        dense((4,), (32, "tanh"), (32, "tanh"), (1, None)),
        _SGD(0.01, global_clipnorm=1e-3),
        "mse",
        x,
        y,
        epochs=40,
    )


# 9: classes and data


@sick("A9", "output_mismatch")
def blank_masks():
    x, y = blobs(blank=0.97)
    x = 0.3 * np.random.default_rng(1).normal(size=x.shape) + 0.2 * (
        x - x.mean()
    )
    conv = [
        layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(2)
    ]
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            *conv,
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    return ready(
        model,
        "adam",
        "binary_crossentropy",
        x.astype("float32"),
        y,
        ["accuracy"],
        epochs=10,
    )


@sick("A9", "output_mismatch")
def rare_class():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8000, 10)).astype("float32")
    score = x[:, :1] + 1.5 * rng.normal(size=(8000, 1))
    y = (score > np.quantile(score, 0.998)).astype("float32")
    return ready(
        dense((10,), (16, "relu"), (1, "sigmoid")),
        "adam",
        "binary_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=8,
    )


@sick("A9", "unscaled_data")
def spread_beside_mean():
    x, y = waves()
    return ready(
        dense((4,), (32, "relu"), (32, "relu"), (1, None)),
        "adam",
        "mse",
        20 + 0.02 * x,
        y,
        epochs=30,
    )


@sick("A9", "unscaled_data")
def years_and_altitudes():
    x, y = cancer()
    return ready(
        dense((30,), (32, "tanh"), (1, "sigmoid")),
        "adam",
        "binary_crossentropy",
        2000 + x,
        y,
        ["accuracy"],
        epochs=30,
    )


@sick("A9", "unscaled_data")
def scaled_twice():
    x, y = digits((8, 8, 1))
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return ready(
        model,
        _SGD(0.01),
        "sparse_categorical_crossentropy",
        x / 255,
        y,
        ["accuracy"],
        epochs=15,
    )


# 10: one-sided weights, one unit


def ring(hidden, start=None, optimizer=None, epochs=60):
    x, y = circles()
    start = start or keras.initializers.GlorotUniform()
    stack = [layers.Dense(u, a, kernel_initializer=start) for u, a in hidden]
    model = dense((2,), *stack)
    return ready(
        model,
        optimizer or _SGD(0.05),
        "binary_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=epochs,
    )


def _positive(high=1.0):
    return keras.initializers.RandomUniform(0, high)


@sick("A10", "poor_initialization")
def one_sided_tanh():
    return ring([(8, "tanh")] * 4 + [(1, "sigmoid")], _positive())


@sick("A10", "poor_initialization")
def one_sided_wide():
    return ring([(32, "sigmoid")] * 3 + [(1, "sigmoid")], _positive(0.5))


@sick("A10", "poor_initialization")
def one_unit_in_the_way():
    return ring(
        [(8, "tanh"), (1, "sigmoid"), (8, "tanh"), (1, "sigmoid")],
        optimizer=_Adam(1e-3),
        epochs=30,
    )


@sick("A10", "poor_initialization")
def one_unit_of_digits():
    x, y = digits()
    return ready(
        dense((64,), (64, "relu"), (1, "relu"), (10, "softmax")),
        "adam",
        "sparse_categorical_crossentropy",
        x,
        y,
        ["accuracy"],
        epochs=15,
    )


# 2 and 23: outputs that cannot reach


@sick("02", "output_mismatch")
def softplus_of_negative():
    x, y = waves()
    return ready(
        dense((4,), (16, "relu"), (1, "softplus")),
        _Adam(3e-3),
        "mse",
        x,
        y - 0.2,
        epochs=30,
    )


@sick("02", "output_mismatch")
def relu_of_standardised():
    x, y = waves()
    y = (y - y.mean()) / y.std()
    return ready(
        dense((4,), (32, "relu"), (16, "relu"), (1, "relu")),
        "adam",
        "mae",
        x,
        y,
        epochs=40,
    )


@sick("02", "output_mismatch")
def sigmoid_of_hundreds():
    x, y = waves()
    return ready(
        dense((4,), (32, "tanh"), (1, "sigmoid")),
        "rmsprop",
        "mse",
        x,
        50 + 20 * y,
        epochs=30,
    )
