"""A seventh set that no rule was made with: reports, and beginners' mistakes.

Half are rebuilt from bug reports and questions ("loss is nan", "predicts the
same for all"), half are small programs with a setting that does not fit, as
beginners post them. What is right was written down before any of them ran.
`SICK` and `HEALTHY` as in `kept_sick`; each healthy one is near to a sick one.
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
from detection.field_sick import own
from detection.kept_fifth import chain
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY
from detection.kept_sixth import customers

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


def weather(count=700, seed=1):
    """Return five readings and temperature and pressure a day later."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype("float32")
    heat = np.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2]
    press = x[:, 3] - 0.5 * x[:, 0] * x[:, 4]
    y = np.stack([20 + 5 * heat, 101_325 + 800 * press], -1)
    return x, y.astype("float32")


def documents(count=640, words=40, empty=0.0, seed=2):
    """Return counts of words and which of three topics a document has."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    often = rng.dirichlet(np.full(words, 0.3), 3)
    x = rng.poisson(12 * often[y])
    x[x.sum(1) == 0, 0] = 1
    x[rng.random(count) < empty] = 0
    return x.astype("float32"), y.astype("int32")


def visits(count=700, seed=3):
    """Return four numbers of a shop and how many came in an hour."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype("float32")
    y = rng.poisson(np.exp(1.0 + 0.6 * x[:, 0] - 0.4 * x[:, 1] * x[:, 2]))
    return x, y.astype("float32")[:, None]


def events(count=600, length=30, seed=4):
    """Return time of day in seconds and a reading (n, length, 2), a mean."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 86_400, (count, length)), -1)
    level = rng.normal(size=(count, 1))
    reading = level + rng.normal(size=(count, length))
    x = np.stack([time, reading], -1)
    return x.astype("float32"), np.tanh(2 * level).astype("float32")


def gates():
    """Return the four rows of the exclusive or."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    return x, np.array([[0], [1], [1], [0]], "float32")


@keras.saving.register_keras_serializable("kept_seventh")
class UnitLength(layers.Layer):
    def call(self, x):
        return x / ops.norm(x, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("kept_seventh")
class ByNumbers(layers.Layer):
    """A dense layer that reads its kernel as NumPy would."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], self.units), "he_normal")

    def call(self, x):
        kernel = ops.convert_to_tensor(ops.convert_to_numpy(self.kernel))
        return ops.relu(ops.matmul(x, kernel))

    def compute_output_shape(self, shape):
        return *shape[:-1], self.units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def flats(optimizer, loss, *stack, last=1, shift=0.0, **fit):
    x, y = third_data.flats(800)
    stack = stack or (layers.Dense(32, "relu"), layers.Dense(16, "relu"))
    model = chain((6,), *stack, layers.Dense(last))
    return ready(model, optimizer, loss, x, y + shift, **fit)


def numbers(optimizer, *stack, **fit):
    x, y = digits()
    model = chain((64,), *stack, layers.Dense(10, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def forms(optimizer, *stack, **fit):
    x, y = third_data.shapes(600)
    model = chain((14, 14, 1), *stack, layers.Dense(3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def smooth(least, **fit):
    """Return a net that repeats images with few jumps between pixels."""
    _, x = blobs(320, 16, seed=5)

    def loss(y, p):
        down = p[:, 1:, :-1] - p[:, :-1, :-1]
        right = p[:, :-1, 1:] - p[:, :-1, :-1]
        jumps = ops.sqrt(ops.square(down) + ops.square(right) + least)
        return ops.mean(ops.square(y - p)) + 0.01 * ops.mean(jumps)

    model = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 3, padding="same"),
    )
    return ready(model, "adam", loss, x, x, **fit)


def overlap(harden, **fit):
    """Return a net for an F1 score, of hard or of soft answers."""
    x, y = cancer()

    def loss(y, p):
        p = ops.round(p) if harden else p
        both, total = ops.sum(y * p), ops.sum(y + p)
        return 1 - 2 * both / (total + 1e-7)

    return own(
        loss,
        "adam",
        x,
        y,
        layers.Dense(24, "relu"),
        layers.Dense(1, "sigmoid"),
        **fit,
    )


def spread(of_raw, **fit):
    """Return a net that tells a mean and how sure it is."""

    def loss(y, p):
        mean, wide = p[:, :1], of_raw(p[:, 1:])
        apart = ops.square((y - mean) / wide)
        return ops.mean(ops.log(wide) + apart / 2)

    return flats(_opt.Adam(2e-3), loss, last=2, **fit)


def tags(axis, **fit):
    x, y = fourth_data.speech()
    model = chain(
        (24,),
        layers.Embedding(30, 24),
        layers.GRU(32, return_sequences=True),
        layers.Dense(30),
        layers.Softmax(axis),
        dtype="int32",
    )
    return ready(model, _opt.Adam(5e-3), _SPARSE, x, y, ["accuracy"], **fit)


def exclusive(optimizer, hidden, epochs):
    x, y = gates()
    model = chain((2,), hidden, layers.Dense(1, "sigmoid"))
    return ready(model, optimizer, _BINARY, x, y, ["accuracy"], epochs=epochs)


# Reports: a loss without a floor, or of nothing


@case("A3", "output_mismatch", labelled=True)
def critic_without_a_bound():
    real, _ = blobs(320, 16, seed=6)
    noise = np.random.default_rng(6).normal(0, 0.4, real.shape)
    x = np.concatenate([real, noise.astype("float32")])
    y = np.repeat(np.float32([-1, 1]), 320)[:, None]
    order = np.random.default_rng(7).permutation(len(x))
    model = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, strides=2),
        layers.LeakyReLU(0.2),
        layers.Flatten(),
        layers.Dense(1),
    )
    loss = lambda y, p: ops.mean(y * p)  # noqa: E731
    rms = _opt.RMSprop(1e-3)
    return ready(model, rms, loss, x[order], y[order], epochs=12)


@case("A3", "output_mismatch")
def r_squared_is_minimised():
    def loss(y, p):
        left = ops.sum(ops.square(y - p))
        return 1 - left / (ops.sum(ops.square(y - ops.mean(y))) + 1e-7)

    return flats("adam", loss, epochs=15)


@case("A4", "frozen_layer", labelled=True, only=["jax", "torch"])
def f1_of_rounded_answers():
    return overlap(True, epochs=15)


@case("A4", "frozen_layer", labelled=True, only=["torch"])
def layer_reads_its_weights_as_numbers():
    return numbers(
        "adam",
        layers.Dense(48, "relu"),
        ByNumbers(32),
        layers.Dense(24, "relu"),
        epochs=8,
    )


@case("A4", "frozen_layer", labelled=True)
def rows_all_weigh_nothing():
    x, y = digits()
    weights = 1 // np.bincount(y)[y]
    model = chain((64,), layers.Dense(32, "relu"), layers.Dense(10, "softmax"))
    return ready(
        model,
        "adam",
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=6,
        sample_weight=weights.astype("float32"),
    )


@case("A5", "output_mismatch", "unscaled_data")
def temperature_and_pressure_at_once():
    x, y = weather()
    model = chain((5,), layers.Dense(32, "relu"), layers.Dense(2))
    return ready(model, "adam", "mse", x, y, ["mae"], epochs=25)


# Reports: exploding, NaN


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "nonfinite_gradient",
)
def powers_of_the_input_with_sgd():
    t = np.random.default_rng(8).uniform(0, 10, (600, 1))
    x = np.concatenate([t**power for power in range(1, 6)], -1)
    model = chain((5,), layers.Dense(16, "relu"), layers.Dense(1))
    x, y = x.astype("float32"), np.sin(t).astype("float32")
    return ready(model, _opt.SGD(0.01), "mse", x, y, epochs=20)


@case(
    "A6",
    "exploding_gradient",
    "nonfinite_gradient",
    "unscaled_data",
    "output_mismatch",
    labelled=True,
)
def weibull_of_times_in_seconds():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(600, 4)).astype("float32")
    y = 4e4 * np.exp(0.4 * x[:, :1]) * rng.weibull(1.5, (600, 1))

    def loss(y, p):
        scale, form = ops.exp(p[:, :1]), ops.softplus(p[:, 1:])
        part = (y + 1e-6) / scale
        likely = ops.log(form) + form * ops.log(part) - ops.power(part, form)
        return -ops.mean(likely)

    model = chain((4,), layers.Dense(20, "tanh"), layers.Dense(2))
    y = y.astype("float32")
    return ready(model, _opt.SGD(0.01), loss, x, y, epochs=15)


@case("A7", "nonfinite_gradient")
def total_variation_of_flat_images():
    return smooth(0.0, epochs=12)


@case("A7", "nonfinite_gradient")
def spread_may_fall_below_zero():
    return spread(lambda raw: raw, epochs=15)


@case("A7", "nonfinite_gradient")
def cosine_of_empty_documents():
    x, y = documents(empty=0.01)
    model = chain(
        (40,),
        UnitLength(),
        layers.Dense(32, "relu"),
        layers.Dense(3, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A7", "nonfinite_gradient", "output_mismatch", only=["torch"])
def labels_longer_than_the_sound():
    rng = np.random.default_rng(10)
    y = rng.integers(1, 9, (320, 12))
    x = np.repeat(np.eye(9)[y], 3, 1) + 0.1 * rng.normal(size=(320, 36, 9))
    model = chain(
        (36, 9),
        layers.Conv1D(24, 3, strides=2, padding="same", activation="relu"),
        layers.Conv1D(24, 3, strides=2, padding="same", activation="relu"),
        layers.Dense(9),
    )
    x, y = x.astype("float32"), y.astype("int32")
    return ready(model, "adam", keras.losses.CTC(), x, y, epochs=12)


@case("A7", "nonfinite_gradient", "output_mismatch")
def poisson_with_a_line():
    x, y = visits()
    model = chain((4,), layers.Dense(24, "relu"), layers.Dense(1))
    return ready(model, "adam", "poisson", x, y, epochs=15)


# Reports: schedules, data, attention


@case("A8", "update_ratio")
def boundaries_are_epochs():
    steps = _rates.PiecewiseConstantDecay([4, 8], [1e-3, 1e-4, 1e-6])
    return numbers(
        _opt.Adam(steps),
        layers.Dense(64, "relu"),
        layers.Dense(32, "relu"),
        epochs=10,
    )


@case("A9", "output_mismatch", "unscaled_data")
def words_are_divided_before_the_table():
    x, y = fourth_data.topics()
    model = chain(
        (18,),
        layers.Embedding(80, 16),
        layers.LSTM(16),
        layers.Dense(3, "softmax"),
    )
    x = (x / 80).astype("float32")
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A9", "output_mismatch", labelled=True)
def weights_of_classes_are_turned_round():
    x, y = customers(share=0.05)
    model = chain((10,), layers.Dense(16, "relu"), layers.Dense(1, "sigmoid"))
    return ready(
        model,
        "adam",
        _BINARY,
        x,
        y,
        ["accuracy"],
        epochs=10,
        class_weight={0: 0.95, 1: 0.05},
    )


@case("A11", "unscaled_data", "exploding_gradient")
def attention_over_seconds_of_the_day():
    x, y = events()
    inputs = keras.Input((30, 2))
    hidden = layers.Dense(16)(inputs)
    hidden = layers.MultiHeadAttention(2, 8)(hidden, hidden)
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    return ready(model, "adam", "mse", x, y, epochs=15)


# Beginners: outputs, losses and labels


@case("out", "output_mismatch", "unscaled_data")
def sigmoid_autoencoder_of_raw_pixels():
    x, _ = digits()
    x = 255 * x
    model = chain(
        (64,),
        layers.Dense(32, "relu"),
        layers.Dense(8, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(64, "sigmoid"),
    )
    return ready(model, "adam", "mse", x, x, epochs=10)


@case("out", "output_mismatch")
def squared_logarithms_of_negative_targets():
    return flats("adam", "mean_squared_logarithmic_error", shift=-1, epochs=15)


@case("out", "output_mismatch", "frozen_layer")
def cosine_of_one_number():
    return flats("adam", keras.losses.CosineSimilarity(), epochs=15)


@case("out", "output_mismatch", only=["jax", "torch"])
def tags_by_softmax_over_time():
    return tags(1, epochs=15)


@case("out", "output_mismatch")
def two_outputs_for_one_label():
    x, y = cancer()
    model = chain((30,), layers.Dense(16, "relu"), layers.Dense(2, "softmax"))
    return ready(model, "adam", "mse", x, y, ["accuracy"], epochs=25)


@case("norm", "output_mismatch", "frozen_layer")
def normalization_of_one_number_a_step():
    x, y = fourth_data.demand()
    model = chain(
        (36, 1), layers.LayerNormalization(), layers.GRU(16), layers.Dense(1)
    )
    return ready(model, _opt.Adam(0.005), "mse", x, y, epochs=12)


# Beginners: data, rate, depth, start


@case("data", "unscaled_data")
def raw_cells_with_sgd():
    from sklearn import datasets

    x, y = datasets.load_breast_cancer(return_X_y=True)
    x, y = x.astype("float32"), y.astype("float32")[:, None]
    model = chain(
        (30,),
        layers.Dense(16, "relu"),
        layers.Dense(8, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    sgd = _opt.SGD(0.01)
    return ready(model, sgd, _BINARY, x, y, ["accuracy"], epochs=30)


@case("rate", "update_ratio")
def adam_rate_of_one():
    return numbers(
        _opt.Adam(1.0),
        layers.Dense(64, "relu"),
        layers.Dense(32, "relu"),
        epochs=8,
    )


@case("rate", "update_ratio", "exploding_gradient")
def momentum_of_99_at_a_fifth():
    return forms(
        _opt.SGD(0.2, momentum=0.99),
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        epochs=15,
    )


@case("rate", "update_ratio")
def exclusive_or_by_sgd():
    return exclusive(_opt.SGD(0.01), layers.Dense(4, "tanh"), 500)


@case("deep", "vanishing_gradient")
def eight_convolutions_with_sigmoid():
    stack = [
        layers.Conv2D(8, 3, padding="same", activation="sigmoid")
        for _ in range(8)
    ]
    return forms("adam", *stack, layers.GlobalAveragePooling2D(), epochs=15)


@case("deep", "dead_relu", "poor_initialization")
def biases_of_minus_ten():
    low = {"bias_initializer": keras.initializers.Constant(-10.0)}
    return numbers(
        "adam",
        layers.Dense(64, "relu", **low),
        layers.Dense(32, "relu", **low),
        epochs=8,
    )


@case("deep", "poor_initialization", "saturated_activation")
def kernels_between_zero_and_a_half():
    start = {"kernel_initializer": keras.initializers.RandomUniform(0.0, 0.5)}
    stack = [layers.Dense(32, "tanh", **start) for _ in range(4)]
    return flats(_opt.SGD(0.01), "mse", *stack, epochs=15)


# Healthy, each near to one of those above


@case("A7")
def total_variation_with_a_small_number():
    return smooth(1e-6, epochs=20)


@case("A4")
def f1_of_soft_answers():
    return overlap(False, epochs=25)


@case("A7")
def spread_by_softplus():
    return spread(lambda raw: ops.softplus(raw) + 1e-3, epochs=20)


@case("out")
def cosine_of_eight_numbers():
    x, _ = third_data.flats(800)
    turn = np.random.default_rng(11).normal(size=(6, 8))
    y = np.tanh(x @ turn).astype("float32")
    model = chain((6,), layers.Dense(48, "relu"), layers.Dense(8))
    loss = keras.losses.CosineSimilarity()
    return ready(model, _opt.Adam(2e-3), loss, x, y, epochs=15)


@case("A8")
def boundaries_are_steps():
    steps = _rates.PiecewiseConstantDecay([300, 500], [3e-3, 1e-3, 1e-4])
    return numbers(
        _opt.Adam(steps),
        layers.Dense(64, "relu"),
        layers.Dense(32, "relu"),
        epochs=12,
    )


@case("A5")
def temperature_and_pressure_both_scaled():
    x, y = weather()
    y = (y - y.mean(0)) / y.std(0)
    model = chain((5,), layers.Dense(48, "relu"), layers.Dense(2))
    return ready(model, _opt.Adam(0.005), "mse", x, y, epochs=25)


@case("norm")
def normalization_of_sixteen_numbers_a_step():
    x, y = fourth_data.demand()
    model = chain(
        (36, 1),
        layers.Dense(16),
        layers.LayerNormalization(),
        layers.GRU(16),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(0.005), "mse", x, y, epochs=12)


@case("out")
def tags_by_softmax():
    return tags(-1, epochs=20)


@case("rate")
def momentum_of_90_at_a_hundredth():
    return forms(
        _opt.SGD(0.02, momentum=0.9, nesterov=True),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(48, "relu"),
        epochs=20,
    )


@case("rate")
def exclusive_or_by_adam():
    return exclusive(_opt.Adam(0.05), layers.Dense(8, "tanh"), 300)
