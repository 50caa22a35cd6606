"""A ninth set that no rule was made with, each sick one with a twin.

Mistakes as users of Keras make them: a loss or an output that does not fit,
data as they come, starts, rates, schedules, what is frozen, axes. What is
right was written down before any of them was watched. `SICK` and `HEALTHY` as
in `kept_sick`. A program that takes `right` builds its corrected twin, too: the
sick one is scored where it gains less than half of what its twin gains.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import ninth_data as data
from detection.field_data import dense
from detection.field_data import digits
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


def signs(optimizer, *stack, **fit):
    x, y = data.glyphs()
    model = chain((12, 12, 1), *stack, layers.Dense(6, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def load(optimizer, *stack, loss="mse", **fit):
    x, y = data.machines()
    model = chain((6,), *stack, layers.Dense(1))
    return ready(model, optimizer, loss, x, y, **fit)


def gaits(optimizer, *stack, **fit):
    x, y = data.steps()
    model = chain((48, 3), *stack, layers.Dense(4, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def subjects(optimizer, *stack, **fit):
    x, y = data.reviews()
    model = chain((24,), *stack, layers.Dense(4, "softmax"), dtype="int32")
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def within(optimizer, *stack, **fit):
    x, y = data.rings()
    model = chain((2,), *stack, layers.Dense(3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


# Outputs and losses that do not fit


@case("out", "output_mismatch")
def divergence_of_plain_scores(right=False):
    x, y = data.spectra()
    last = "softmax" if right else None
    model = dense((40,), (32, "relu"), (32, "relu"), (3, last))
    adam = _opt.Adam(3e-3)
    return ready(model, adam, "kl_divergence", x, y, epochs=15)


@case("out", "output_mismatch")
def sigmoid_for_an_angle_in_degrees(right=False):
    x, t = data.roll()
    y = t if right else 180 + 90 * t
    last = None if right else "sigmoid"
    model = dense((3,), (40, "tanh"), (40, "tanh"), (1, last))
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=25)


@case("out", "output_mismatch")
def softmax_over_the_rows_of_the_picture(right=False):
    x, y = data.glyphs()
    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(16, 5, activation="relu")(inputs)
    h = layers.Conv2D(6, 5)(h)
    h = layers.GlobalMaxPooling2D(keepdims=True)(h)
    h = layers.Softmax(axis=-1 if right else 1)(h)
    model = keras.Model(inputs, layers.Flatten()(h))
    adam = _opt.Adam(3e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A3", "output_mismatch")
def quantile_of_every_pair(right=False):
    x, y = data.machines()

    def loss(t, p):
        gap = t - p
        return ops.mean(ops.maximum(0.6 * gap, -0.4 * gap))

    stack = [layers.Dense(32, "swish"), layers.Dense(32, "swish")]
    y = y if right else y[:, 0]
    adam = _opt.Adam(3e-3)
    return own(loss, adam, x, y, *stack, layers.Dense(1), epochs=20)


@case("A3", "output_mismatch", labelled=True)
def triplets_without_a_margin():
    return triplets(None)


def triplets(margin):
    """Return pictures three by three: two of a sign, one of another."""
    x, y = data.glyphs(900)
    rng = np.random.default_rng(1)
    of = [np.flatnonzero(y == kind) for kind in range(6)]
    like = np.array([rng.choice(of[k]) for k in y])
    other = np.array([rng.choice(of[(k + rng.integers(1, 6)) % 6]) for k in y])
    three = np.stack([x, x[like], x[other]], 1)

    def loss(_, p):
        near = ops.sum(ops.square(p[:, 0] - p[:, 1]), -1)
        far = ops.sum(ops.square(p[:, 0] - p[:, 2]), -1)
        if margin is None:
            return ops.mean(near - far)
        return ops.mean(ops.relu(near - far + margin))

    stack = [
        layers.Reshape((3, 144)),
        layers.Dense(48, "relu"),
        layers.Dense(8),
    ]
    return own(loss, _opt.Adam(2e-3), three, y, *stack, epochs=10)


# Nothing gets through


@case("A4", "frozen_layer", only=["jax", "torch"])
def parcels_come_in_whole_numbers(right=False):
    x, y = data.machines()

    def loss(t, p):
        return ops.mean(ops.square(t - (p if right else ops.ceil(p))))

    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    adam = _opt.Adam(3e-3)
    return own(loss, adam, x, 2 * y, *stack, layers.Dense(1), epochs=20)


class Spike(layers.Layer):
    """A neuron that fires or not; with `soft` a gradient passes."""

    def __init__(self, soft, **kwargs):
        super().__init__(**kwargs)
        self.soft = soft

    def call(self, x):
        fired = ops.cast(x > 0.5, x.dtype)
        if not self.soft:
            return fired
        share = ops.sigmoid(4 * (x - 0.5))
        return share + ops.stop_gradient(fired - share)


@case("A4", "frozen_layer")
def spikes_without_a_slope(right=False):
    return within(
        _opt.Adam(5e-3),
        layers.Dense(8),
        Spike(right),
        layers.Dense(3),
        Spike(right),
        epochs=25,
    )


@case("A4", "frozen_layer")
def only_biases_are_trained(right=False):
    model, x, y, fit = signs(
        _opt.Adam(2e-3),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        epochs=15,
    )
    for layer in model.layers[1:]:
        layer.kernel.trainable = right
    return model, x, y, fit


@case("A4", "saturated_activation", "poor_initialization")
def biases_beyond_the_hard_sigmoid(right=False):
    x, y = data.stains()
    start = "zeros" if right else keras.initializers.Constant(6.0)
    model = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", bias_initializer=start),
        layers.Activation("hard_sigmoid"),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=15)


@case("A4", "frozen_layer")
def words_and_reader_frozen_together(right=False):
    def body():
        return keras.Sequential(
            [
                layers.Embedding(60, 4, name="words"),
                layers.Conv1D(4, 3, activation="relu", name="reader"),
            ],
            name="body",
        )

    base = body()
    base.trainable = right
    adam = _opt.Adam(5e-3)
    return subjects(adam, base, layers.GlobalMaxPooling1D(), epochs=15)


# Data as they come


@case("A9", "unscaled_data")
def metres_of_a_national_grid(right=False):
    x, y = data.roll()
    if not right:
        x = np.array([4.4e6, 5.2e6, 800]) + x * np.array([900, 900, 40])
    model = dense((3,), (40, "relu"), (40, "relu"), (1, None))
    x = x.astype("float32")
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@case("A9", "unscaled_data")
def spectra_divided_again_in_the_model(right=False):
    x, y = data.spectra()
    model = chain(
        (40, 1),
        layers.Rescaling(1.0 if right else 1 / 4095),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(24, "relu"),
        layers.Dense(3, "softmax"),
    )
    sgd = _opt.SGD(0.1, momentum=0.9)
    x = x[..., None]
    return ready(model, sgd, "categorical_crossentropy", x, y, epochs=25)


@case("A9", "output_mismatch", "unscaled_data")
def rows_are_views_of_one_buffer(right=False):
    given, y = data.steps()
    buffer, x = np.zeros((48, 3), "float32"), []
    for row in given:
        buffer[:] = row
        x.append(buffer.copy() if right else buffer)
    model = chain(
        (48, 3),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, "softmax"),
    )
    x = np.stack(x)
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A9", "output_mismatch")
def labels_of_the_row_before(right=False):
    x, y = data.glyphs()
    y = y if right else np.roll(y, 1)
    model = chain(
        (12, 12, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(6, "softmax"),
    )
    adam = _opt.Adam(2e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=18)


@case("A9", "output_mismatch")
def one_fault_in_a_hundred(right=False):
    x, y = data.faults(2000, apart=3.0)
    more = {"class_weight": {0: 1.0, 1: 10.0}} if right else {}
    model = dense((10,), (16, "tanh"), (2, "softmax"))
    sgd = _opt.SGD(5e-3)
    return ready(model, sgd, _SPARSE, x, y, ["accuracy"], epochs=8, **more)


@case("A9", "output_mismatch")
def last_third_of_sorted_irises(right=False):
    x, y = data.iris()
    if right:
        order = np.random.default_rng(0).permutation(len(x))
        x, y = x[order], y[order]
    model = dense((4,), (16, "relu"), (3, "softmax"))
    return ready(
        model,
        _opt.Adam(1e-2),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=40,
        batch_size=16,
        validation_split=1 / 3,
    )


@case("A9", "unscaled_data")
def missing_is_minus_99999(right=False):
    x, y = data.machines()
    gone = np.random.default_rng(2).random(x.shape) < 0.06
    x = np.where(gone, 0.0 if right else -99999.0, x).astype("float32")
    model = dense((6,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@case("A9", "unscaled_data")
def pressure_in_pascal(right=False):
    x, y = data.machines()
    y = y if right else (101325 + 800 * y).astype("float32")
    model = dense((6,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@case("A9", "unscaled_data", "output_mismatch")
def rows_are_standardised_for_columns(right=False):
    x, y = data.wines()
    at = 0 if right else 1
    x = (x - x.mean(at, keepdims=True)) / x.std(at, keepdims=True)
    model = dense((13,), (16, "relu"), (3, "softmax"))
    sgd = _opt.SGD(0.02)
    return ready(
        model, sgd, _SPARSE, x, y, ["accuracy"], epochs=40, batch_size=16
    )


# Explodes, vanishes, or is not a number


@case("A6", "exploding_gradient", "nonfinite_gradient")
def squares_of_squares(right=False):
    how = "relu" if right else ops.square
    stack = [
        layers.Dense(32, how, kernel_initializer="he_normal") for _ in range(6)
    ]
    return load(_opt.Adam(1e-3), *stack, epochs=15)


@case("A6", "exploding_gradient", "nonfinite_gradient", "unscaled_data")
def relu_memory_of_wide_kernels(right=False):
    memory = layers.SimpleRNN(
        24,
        "tanh" if right else "relu",
        recurrent_initializer="orthogonal" if right else "he_uniform",
    )
    return gaits(_opt.SGD(0.05), memory, epochs=20)


@case("A6", "vanishing_gradient")
def answer_a_hundred_steps_ago(right=False):
    x, y = data.signals()
    model = chain(
        (120, 3),
        layers.SimpleRNN(16, go_backwards=right),
        layers.Dense(3, "softmax"),
    )
    adam = _opt.Adam(1e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=8)


@case("A7", "nonfinite_gradient", only=["jax"])
def days_from_one_to_seven(right=False):
    x, y = data.rides()
    model = chain(
        (1,),
        layers.Embedding(8 if right else 7, 4),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        layers.Dense(1),
        dtype="int32",
    )
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=10)


class Above(layers.Layer):
    """Takes a root of what is above zero, and 0 of the rest."""

    def __init__(self, safe):
        super().__init__()
        self.safe = safe

    def call(self, x):
        inside = ops.where(x > 0, x, 1.0) if self.safe else x
        return ops.where(x > 0, ops.power(inside, 0.4), 0.0)


@case("A7", "nonfinite_gradient")
def power_in_the_branch_not_taken(right=False):
    return load(
        _opt.Adam(3e-3),
        layers.Dense(32),
        Above(right),
        layers.Dense(32, "elu"),
        epochs=20,
    )


@case("A7", "nonfinite_gradient")
def logarithm_of_cosh_by_hand(right=False):
    x, y = data.machines()

    def loss(t, p):
        gap = ops.abs(t - p)
        if right:
            return ops.mean(gap + ops.log1p(ops.exp(-2 * gap)))
        return ops.mean(ops.log(ops.cosh(gap)))

    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    adam = _opt.Adam(2e-2)
    return own(loss, adam, x, 40 * y + 60, *stack, layers.Dense(1), epochs=25)


class Direction(layers.Layer):
    """Gives each row of what comes the length 1."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def call(self, x):
        square = ops.sum(ops.square(x), -1, keepdims=True)
        return x / ops.sqrt(square + self.least)


@case("A7", "nonfinite_gradient")
def direction_of_words_that_are_none(right=False):
    def start(shape, dtype=None):
        table = 0.05 * np.random.default_rng(0).normal(size=shape)
        table[0] = 0
        return ops.convert_to_tensor(table, dtype)

    x, y = data.reviews()
    model = chain(
        (24,),
        layers.Embedding(60, 12, embeddings_initializer=start),
        Direction(1e-3 if right else 0.0),
        layers.GlobalMaxPooling1D(),
        layers.Dense(24, "relu"),
        layers.Dense(4, "softmax"),
        dtype="int32",
    )
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A7", "nonfinite_gradient", "update_ratio", "exploding_gradient")
def half_precision_throughout(right=False):
    kind = "float32" if right else "float16"
    x, y = data.spectra()
    model = chain(
        (40,),
        layers.Dense(64, "relu", dtype=kind),
        layers.Dense(64, "relu", dtype=kind),
        layers.Dense(3, "softmax", dtype=kind),
    )
    adam = _opt.Adam(1e-3)
    return ready(model, adam, "mse", x, y, epochs=20)


# Penalty, decay, schedules, clipping, rates


@case("A8", "update_ratio", "poor_initialization", "vanishing_gradient")
def kernels_held_to_a_hundredth(right=False):
    held = keras.constraints.MaxNorm(3.0 if right else 0.01)
    stack = [layers.Dense(32, "relu", kernel_constraint=held) for _ in range(3)]
    return within(_opt.Adam(3e-3), *stack, epochs=20)


@case("A8", "update_ratio")
def l2_of_three_on_the_memory(right=False):
    cost = keras.regularizers.L2(1e-5 if right else 3.0)
    return gaits(
        _opt.Adam(3e-3),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.GRU(16, kernel_regularizer=cost, recurrent_regularizer=cost),
        layers.Dense(16, "relu", kernel_regularizer=cost),
        epochs=15,
    )


@case("A8", "update_ratio")
def decay_of_fifty_in_rmsprop(right=False):
    rate = _opt.RMSprop(2e-3, weight_decay=1e-3 if right else 50.0)
    return signs(
        rate,
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        epochs=15,
    )


@case("A8", "update_ratio")
def halves_every_five_steps(right=False):
    steps = _rates.ExponentialDecay(5e-3, 500 if right else 5, 0.5)
    return subjects(
        _opt.Adam(steps),
        layers.Embedding(60, 12),
        layers.GlobalAveragePooling1D(),
        layers.Dense(24, "relu"),
        epochs=25,
    )


@case("A8", "clipping")
def clipvalue_of_a_millionth(right=False):
    return gaits(
        _opt.SGD(0.1, momentum=0.9, clipvalue=0.5 if right else 1e-6),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(16, "relu"),
        epochs=20,
    )


@case("A8", "update_ratio")
def loss_weighs_a_millionth(right=False):
    x, y = data.roll()
    model = dense((3,), (32, "tanh"), (32, "tanh"), (1, None))
    weight = 1.0 if right else 1e-6
    sgd = _opt.SGD(0.05, momentum=0.9)
    model.compile(sgd, "mse", loss_weights=[weight])
    return model, x, y, {"epochs": 30}


@case("rate", "update_ratio")
def epsilon_of_a_hundred(right=False):
    return signs(
        _opt.Adam(2e-3, epsilon=1e-7 if right else 100.0),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        epochs=15,
    )


@case("rate", "update_ratio")
def adam_at_a_millionth(right=False):
    return subjects(
        _opt.Adam(5e-3 if right else 1e-6),
        layers.Embedding(60, 16, mask_zero=True),
        layers.GRU(16),
        epochs=10,
    )


@case("rate", "update_ratio", "exploding_gradient", "saturated_activation")
def nadam_at_a_half(right=False):
    return gaits(
        _opt.Nadam(5e-3 if right else 0.5),
        layers.GRU(16),
        layers.Dense(16, "tanh"),
        epochs=12,
    )


@case("rate", "update_ratio", "oscillating_loss", "exploding_gradient")
def momentum_of_999(right=False):
    return load(
        _opt.SGD(0.05, momentum=0.9 if right else 0.999),
        layers.Dense(32, "gelu"),
        layers.Dense(32, "gelu"),
        epochs=20,
    )


# Starts, dead units, saturation, normalization


@case("A10", "poor_initialization")
def absolute_values_of_normals(right=False):
    def above(shape, dtype=None):
        drawn = np.random.default_rng(shape[-1]).normal(0, 0.2, shape)
        return ops.convert_to_tensor(np.abs(drawn), dtype)

    how = "he_normal" if right else above
    stack = [layers.Dense(48, "relu", kernel_initializer=how) for _ in range(3)]
    return signs(
        _opt.SGD(5e-3, momentum=0.9), layers.Flatten(), *stack, epochs=20
    )


@case("A10", "poor_initialization")
def one_filter_between_the_others(right=False):
    return signs(
        _opt.Adam(3e-3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(16 if right else 1, 1, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(24, "relu"),
        epochs=15,
    )


@case("deep", "saturated_activation", "poor_initialization")
def sigmoids_of_wide_normals(right=False):
    wide = keras.initializers.RandomNormal(stddev=6.0)
    how = "glorot_uniform" if right else wide
    kind = "tanh" if right else "sigmoid"
    stack = [layers.Dense(32, kind, kernel_initializer=how) for _ in range(5)]
    return load(_opt.SGD(0.05), *stack, epochs=25)


@case("dead", "dead_relu", "unscaled_data")
def decibels_into_kernels_above_zero(right=False):
    x, y = data.spectra()
    x = x if right else (20 * np.log10(x + 1e-4) - 20).astype("float32")
    model = chain(
        (40,),
        layers.Dense(
            32,
            "relu",
            kernel_initializer=keras.initializers.RandomUniform(0, 0.2),
            kernel_constraint=keras.constraints.NonNeg(),
        ),
        layers.Dense(32, "relu"),
        layers.Dense(3, "softmax"),
    )
    adam = _opt.Adam(5e-3)
    return ready(model, adam, "categorical_crossentropy", x, y, epochs=25)


@case("norm", "output_mismatch", "frozen_layer", "saturated_activation")
def layer_normalization_of_two_coordinates(right=False):
    start = [layers.LayerNormalization()] if not right else []
    return within(
        _opt.Adam(5e-3),
        *start,
        layers.Dense(32, "relu"),
        layers.Dense(32, "relu"),
        epochs=20,
    )


class Heads(layers.Layer):
    """Attention; the sequence comes first, as elsewhere, or the batch."""

    def __init__(self, turned):
        super().__init__()
        self.turned = turned
        self.attention = layers.MultiHeadAttention(2, 8)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        if self.turned:
            x = ops.transpose(x, (1, 0, 2))
        x = self.attention(x, x)
        return ops.transpose(x, (1, 0, 2)) if self.turned else x

    def compute_output_shape(self, shape):
        return shape


@case("axis", "output_mismatch", "frozen_layer")
def heads_attend_over_the_batch(right=False):
    return subjects(
        _opt.Adam(3e-3),
        layers.Embedding(60, 16),
        Heads(not right),
        Heads(not right),
        layers.GlobalMaxPooling1D(),
        epochs=12,
    )


# GANs, Transformers


@case("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def forger_hardly_moves():
    return gan(1e-7, 5e-3)


def gan(forger, judge):
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.roll(1280)
    made = dense((LATENT,), (32, "relu"), (32, "relu"), (3, None))
    judged = dense((3,), (48, "leaky_relu"), (48, "leaky_relu"), (1, None))
    model = GAN(made, judged)
    model.compile(_opt.Adam(judge, 0.5), _opt.Adam(forger, 0.5))
    return model, x + 2, None, {"epochs": 20}


@case("A11", "update_ratio", "exploding_gradient", "vanishing_gradient")
def blocks_normed_behind_at_full_rate(right=False):
    rate = 1e-3 if right else 3e-2
    return subjects(
        _opt.Adam(rate),
        layers.Embedding(60, 24),
        *[Attend(24, before=right) for _ in range(4)],
        layers.GlobalAveragePooling1D(),
        epochs=8,
    )


# Healthy, of difficult look


@case("A3")
def learnt_by_heart_long_ago():
    x, y = data.faults(600, share=0.5, apart=4.0)
    model = dense((10,), (32, "relu"), (2, "softmax"))
    adam = _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=50)


@case("A5")
def load_in_much_noise():
    x, y = data.machines(1200, noise=1.3)
    model = dense((6,), (24, "relu"), (24, "relu"), (1, None))
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=15)


@case("A9")
def cleans_noisy_signs():
    x, _ = data.glyphs(noise=0.4)
    y, _ = data.glyphs(noise=0.0)
    model = chain(
        (12, 12, 1),
        layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(24, 3, padding="same", activation="relu"),
        layers.Conv2DTranspose(
            12, 3, strides=2, padding="same", activation="relu"
        ),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    )
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=20)


@case("rate")
def gaits_one_by_one():
    model, x, y, fit = gaits(
        _opt.SGD(2e-2),
        layers.Conv1D(12, 7, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=2,
        batch_size=1,
    )
    return model, x[:400], y[:400], fit


@case("dead")
def rings_by_six_rectified_units():
    return within(
        _opt.Adam(1e-2),
        layers.Dense(6, "relu", kernel_initializer="he_normal"),
        layers.Dense(6, "relu", kernel_initializer="he_normal"),
        epochs=30,
    )


@case("deep")
def fourteen_tanh_layers_of_load():
    stack = [layers.Dense(32, "tanh") for _ in range(14)]
    return load(_opt.Adam(1e-3), *stack, epochs=25)


@case("A4")
def body_of_four_digits_reads_the_others():
    x, y = digits((8, 8, 1))
    body = chain(
        (8, 8, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(48, "relu"),
    )
    first = keras.Sequential([body, layers.Dense(5, "softmax")])
    first.compile(_opt.Adam(3e-3), _SPARSE)
    first.fit(x[y < 5], y[y < 5], epochs=4, verbose=0)
    body.trainable = False
    model = keras.Sequential([body, layers.Dense(5, "softmax")])
    adam, rest = _opt.Adam(5e-3), y >= 5
    return ready(
        model, adam, _SPARSE, x[rest], y[rest] - 5, ["accuracy"], epochs=15
    )


@case("A9")
def pascal_behind_a_rescaling():
    x, y = data.machines()
    y = (101325 + 800 * y).astype("float32")
    model = chain(
        (6,),
        layers.Dense(32, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(1),
        layers.Rescaling(800.0, 101325.0),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@case("A9")
def one_fault_in_seven():
    x, y = data.faults(1000, share=0.14, apart=2.0)
    model = dense((10,), (16, "relu"), (1, "sigmoid"))
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _BINARY, x, y[:, None], ["accuracy"], epochs=15)


@case("A6")
def gaits_of_unlike_length_masked():
    x, y = data.steps()
    rng = np.random.default_rng(3)
    x[np.arange(48) >= rng.integers(24, 49, (len(x), 1))] = 0
    model = chain(
        (48, 3),
        layers.Masking(),
        layers.LSTM(20),
        layers.Dense(4, "softmax"),
    )
    adam = _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A11", only=["tensorflow", "torch"])
def forger_and_judge_in_balance():
    return gan(1e-3, 1e-3)


@case("A3")
def code_of_signs_with_a_light_prior():
    x, _ = data.spectra()
    model = dense(
        (40,),
        (32, "relu"),
        (8, None),
        Vae(1e-3),
        (32, "relu"),
        (40, "sigmoid"),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, x, epochs=25)


@case("A3")
def triplets_with_a_margin():
    return triplets(1.0)


@case("out")
def gait_and_its_strength():
    x, y = data.steps()
    strength = np.abs(x[:, :, :1]).mean(1)
    strength = (strength - strength.mean()) / strength.std()
    inputs = keras.Input((48, 3))
    h = layers.Conv1D(16, 7, strides=2, activation="relu")(inputs)
    h = layers.Conv1D(24, 5, activation="relu")(h)
    h = layers.Concatenate()(
        [layers.GlobalMaxPooling1D()(h), layers.GlobalAveragePooling1D()(h)]
    )
    model = keras.Model(
        inputs,
        {
            "gait": layers.Dense(4, "softmax", name="gait")(h),
            "strength": layers.Dense(1, name="strength")(h),
        },
    )
    model.compile(
        _opt.Adam(5e-3),
        {"gait": _SPARSE, "strength": "mse"},
        loss_weights={"gait": 1.0, "strength": 0.5},
    )
    return model, x, {"gait": y, "strength": strength}, {"epochs": 18}


@case("A9")
def users_and_items_by_their_product():
    x, y = data.ratings()
    pair = keras.Input((2,), dtype="int32")
    user = layers.Embedding(40, 6)(pair[:, 0])
    item = layers.Embedding(30, 6)(pair[:, 1])
    model = keras.Model(pair, layers.Dot(-1)([user, item]))
    adam = _opt.Adam(1e-2)
    return ready(model, adam, "mse", x, y, epochs=15)


@case("rank")
def better_item_of_two():
    x, y = data.machines(1200)
    pairs = np.stack([x[:600], x[600:]], 1)
    higher = (y[:600] > y[600:]).astype("float32")

    def loss(t, p):
        gap = p[:, 0] - p[:, 1]
        return ops.mean(ops.softplus(ops.where(t > 0.5, -gap, gap)))

    stack = [layers.Dense(32, "relu"), layers.Dense(32, "relu")]
    adam = _opt.Adam(3e-3)
    return own(loss, adam, pairs, higher, *stack, layers.Dense(1), epochs=20)


@case("A7")
def power_where_it_is_safe():
    return power_in_the_branch_not_taken(True)


@case("A9")
def one_label_in_five_is_wrong():
    x, y = data.steps(800)
    rng = np.random.default_rng(4)
    y = np.where(rng.random(len(y)) < 0.2, rng.integers(0, 4, len(y)), y)
    model = chain(
        (48, 3),
        layers.Conv1D(12, 7, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, "softmax"),
    )
    adam = _opt.Adam(3e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=15)
