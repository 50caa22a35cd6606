"""A fourth set of programs that no rule was made with.

Graphs, tables of users and items, colour images, topics, language models,
series; nets of 1 to 60 layers, readers of all sorts, losses and train steps of
one's own, half precision. What is right was written down before any of them
ran. Each healthy one looks like a sick one. `SICK`, `HEALTHY`: as `kept_third`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import fourth_data as data
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_sick import own
from detection.kept_data import transformer
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY
from detection.kept_third import by_hand
from detection.kept_third import chain

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


def stream(x, y, size=32, change=None):
    """Return a pipeline of tf.data, as the guides write it."""
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1000, seed=1)
    if change:
        rows = rows.map(change)
    return rows.batch(size, drop_remainder=True).prefetch(2)


def colours(optimizer, *stack, scale=1 / 255, **fit):
    x, y = data.patches()
    model = chain(x.shape[1:], *stack, layers.Dense(6, "softmax"))
    return ready(model, optimizer, _SPARSE, scale * x, y, ["accuracy"], **fit)


def series(optimizer, *stack, **fit):
    x, y = data.demand()
    return ready(chain(x.shape[1:], *stack), optimizer, "mse", x, y, **fit)


def shells(optimizer, *stack, **fit):
    x, y = data.shells()
    model = dense((4,), *stack, (3, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def liking(optimizer, loss, rows=50, shift=0, **fit):
    """Return a model that ranks one item before another."""
    user, item, other, _ = data.ratings()
    inputs = [keras.Input((1,), dtype="int32") for _ in range(3)]
    people = layers.Embedding(80, 8)
    things = layers.Embedding(rows, 8)
    who, one, two = inputs
    better = layers.Dot(-1)([people(who), things(one)])
    worse = layers.Dot(-1)([people(who), things(two)])
    apart = layers.Flatten()(layers.Subtract()([better, worse]))
    model = keras.Model(inputs, apart)
    model.compile(optimizer, loss)
    ones = np.ones((len(user), 1), "float32")
    return model, [user, item + shift, other + shift], ones, fit


# 3


@case("A3", "output_mismatch", labelled=True)
def ranking_without_a_bound():
    return liking(_opt.Adam(5e-3), lambda t, p: -ops.mean(t * p), epochs=12)


@case("A3", "output_mismatch")
def softmax_over_one_output():
    x, y = data.topics()
    model = chain(
        x.shape[1:],
        layers.Embedding(80, 12),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        layers.Dense(1, "softmax"),
        dtype="int32",
    )
    y = (y == 1).astype("float32")[:, None]
    rows = stream(x, y)
    return ready(model, "adam", _BINARY, rows, None, ["accuracy"], epochs=20)


@case("A3", "output_mismatch")
def huber_of_flat_targets():
    x, y = data.roll()

    def loss(t, p):
        gap = ops.abs(t - p)
        near, far = 0.5 * ops.square(gap), gap - 0.5
        return ops.mean(ops.where(gap < 1, near, far))

    return own(
        loss,
        _opt.Nadam(3e-3),
        x,
        y[:, 0],
        layers.Dense(48, "gelu"),
        layers.Dense(48, "gelu"),
        layers.Dense(1),
        epochs=25,
    )


class Prior(layers.Layer):
    """Draws a code; the divergence is a sum over rows and numbers."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(2)

    def call(self, inputs):
        mean, log = inputs
        each = ops.exp(log) + ops.square(mean) - 1 - log
        self.add_loss(0.5 * ops.sum(each))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(0.5 * log) * noise


@case("A3", "update_ratio", "output_mismatch")
def vae_sums_its_divergence():
    x, _ = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 3, 2, "same", activation="relu")(inputs)
    h = layers.Flatten()(h)
    code = Prior()([layers.Dense(6)(h), layers.Dense(6)(h)])
    h = layers.Dense(4 * 4 * 8, "relu")(code)
    h = layers.Reshape((4, 4, 8))(h)
    h = layers.Conv2DTranspose(8, 3, 2, "same", activation="relu")(h)
    model = keras.Model(inputs, layers.Conv2D(1, 3, padding="same")(h))
    return ready(model, _opt.Adam(1e-3), "mse", x, x, epochs=10)


class Jump(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 6:
            self.model.optimizer.learning_rate = 0.8


@case("A3", "update_ratio", "exploding_gradient", "oscillating_loss")
def rate_set_by_hand_midway():
    return series(
        _opt.Adam(3e-3),
        layers.GRU(24),
        layers.Dense(16, "relu"),
        layers.Dense(1),
        epochs=20,
        callbacks=[Jump()],
    )


# 4


@case("A4", "frozen_layer", labelled=True, only=["jax"])
def overlap_of_hard_masks():
    from detection.field_data import blobs

    x, y = blobs(400)

    def overlap(t, p):
        p = ops.cast(p > 0.5, "float32")
        both = ops.sum(t * p, axis=(1, 2, 3))
        either = ops.sum(ops.maximum(t, p), axis=(1, 2, 3))
        return 1 - ops.mean((both + 1) / (either + 1))

    return own(
        overlap,
        _opt.Adam(1e-3),
        x,
        y,
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
        epochs=12,
    )


class Neighbours(layers.Layer):
    """Adds up what the neighbours are, as the links have it."""

    def __init__(self, units, whole):
        super().__init__()
        self.whole = whole
        self.inner = layers.Dense(units, "relu")

    def build(self, shapes):
        self.inner.build(shapes[0])

    def call(self, both):
        x, links = both
        links = ops.floor(links) if self.whole else links
        return ops.matmul(links, self.inner(x))

    def compute_output_spec(self, both):
        x = both[0]
        return keras.KerasTensor((*x.shape[:-1], self.inner.units), x.dtype)


def graph(optimizer, whole, **fit):
    x, links, y = data.molecules()
    nodes, edges = keras.Input((9, 5)), keras.Input((9, 9))
    h = Neighbours(24, whole)([nodes, edges])
    h = layers.Dense(24, "relu")(h)
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model([nodes, edges], layers.Dense(1)(h))
    links = 0.9 * links
    return ready(model, optimizer, "mse", [x, links], y, **fit)


@case("A4", "frozen_layer")
def links_are_rounded_down():
    return graph(_opt.Adam(3e-3), True, epochs=15)


class Glimpse(layers.Layer):
    """Takes the row of an image to which a score points."""

    def build(self, shape):
        self.score = layers.Dense(1, name="score")
        self.score.build(shape)

    def call(self, x):
        at = ops.argmax(self.score(x)[..., 0], axis=-1)
        hot = ops.one_hot(at, x.shape[1])
        return ops.sum(x * hot[..., None], axis=1)


@case("A4", "frozen_layer", labelled=True)
def glimpse_at_the_best_row():
    x, y = digits((8, 8))
    model = chain(
        (8, 8),
        layers.LSTM(16, return_sequences=True, name="reader"),
        Glimpse(),
        layers.Dense(10, "softmax", name="head"),
    )
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, ["accuracy"], epochs=6)


class Scaled(layers.Layer):
    """Scales a branch by a weight for each unit."""

    def __init__(self, start, trainable):
        super().__init__()
        self.start, self.learns = start, trainable

    def build(self, shape):
        start = keras.initializers.Constant(self.start)
        self.scale = self.add_weight(shape[-1:], start, trainable=self.learns)

    def call(self, x):
        return x * self.scale


def blocks(count, start, trainable):
    inputs = keras.Input((4,))
    h = layers.Dense(24)(inputs)
    for _ in range(count):
        inner = layers.LayerNormalization()(h)
        inner = layers.Dense(24, "relu")(inner)
        inner = Scaled(start, trainable)(layers.Dense(24)(inner))
        h = layers.Add()([h, inner])
    return keras.Model(inputs, layers.Dense(3, "softmax")(h))


@case("A4", "frozen_layer")
def branches_scaled_by_zero_for_good():
    x, y = data.shells()
    model = blocks(8, 0.0, False)
    return ready(
        model, _opt.AdamW(3e-3), _SPARSE, x, y, ["accuracy"], epochs=15
    )


# 5


@case("A5", "update_ratio")
def rate_of_a_millionth():
    x, y = data.diabetes()
    model = dense((10,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.SGD(1e-6, momentum=0.9), "mse", x, y, epochs=40)


@case("A5", "unscaled_data", "output_mismatch")
def joules_beside_shares():
    x, y = data.roll()
    rng = np.random.default_rng(4)
    share = 0.5 + 0.1 * np.tanh(x[:, :1]) + 0.01 * rng.normal(size=y.shape)
    y = np.concatenate([1e5 + 3e4 * y, share], axis=1).astype("float32")
    model = dense((3,), (64, "relu"), (64, "relu"), (2, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=25)


@case("A5", "unscaled_data")
def index_at_fifteen_hundred():
    x, y = data.demand()
    x, y = 1500 + 2 * x, 1500 + 2 * y
    model = chain(x.shape[1:], layers.LSTM(24), layers.Dense(1))
    return ready(model, _opt.Adam(2e-3), "mae", x, y, epochs=15)


# 6


@case("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def six_layers_of_deviation_one():
    x, y = digits()
    wide = keras.initializers.RandomNormal(stddev=1.0)
    model = dense(
        (64,),
        *[layers.Dense(96, "relu", kernel_initializer=wide) for _ in range(6)],
        (10, None),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, _opt.SGD(0.01), loss, stream(x, y), None, epochs=5)


@case("A6", "unscaled_data", "exploding_gradient", "nonfinite_gradient")
def raw_populations_and_incomes():
    x, y = data.diabetes()
    scale = np.array([1, 1, 1e3, 40, 5e4, 1, 1, 1e2, 1, 8e3], "float32")
    x = np.abs(x * scale) + scale
    model = dense((10,), (32, "relu"), (16, "relu"), (1, None))
    return ready(model, _opt.SGD(0.01), "mse", x, y, epochs=10)


@case("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def memory_that_doubles():
    x, y = data.demand(length=40)
    twice = keras.initializers.Identity(2.0)
    model = chain(
        x.shape[1:],
        layers.SimpleRNN(24, activation=None, recurrent_initializer=twice),
        layers.Dense(1),
    )
    return ready(model, _opt.RMSprop(1e-3), "mse", x, y, epochs=10)


@case("A6", "exploding_gradient", "update_ratio", "nonfinite_gradient")
def loss_summed_over_rows():
    x, y = data.roll()
    loss = keras.losses.MeanSquaredError(reduction="sum")
    model = dense((3,), (64, "relu"), (64, "relu"), (1, None))
    fit = {"epochs": 12, "batch_size": 100}
    return ready(model, _opt.SGD(0.02, momentum=0.9), loss, x, y, **fit)


# 7


class Lengths(layers.Layer):
    """Places nodes in a plane and gives how far they are apart."""

    def __init__(self, small):
        super().__init__()
        self.small = small
        self.place = layers.Dense(4)

    def build(self, shape):
        self.place.build(shape)

    def call(self, x):
        at = self.place(x)
        gap = ops.expand_dims(at, 1) - ops.expand_dims(at, 2)
        apart = ops.sqrt(ops.sum(ops.square(gap), -1) + self.small)
        return ops.reshape(apart, (-1, 81))


def distances(small, **fit):
    x, _, _ = data.molecules()
    far = np.abs(x[:, 0, 0] - x[:, 4, 0]) + 0.5 * np.abs(
        x[:, 2, 1] - x[:, 3, 1]
    )
    y = ((far - far.mean()) / far.std()).astype("float32")[:, None]
    model = chain(
        (9, 5), Lengths(small), layers.Dense(48, "relu"), layers.Dense(1)
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, **fit)


@case("A7", "nonfinite_gradient")
def edges_from_a_node_to_itself():
    return distances(0.0, epochs=10)


@case("A7", "nonfinite_gradient", only=["jax"])
def items_counted_from_one():
    loss = lambda t, p: ops.mean(ops.softplus(-t * p))  # noqa: E731
    return liking(_opt.Adam(5e-3), loss, shift=1, epochs=8)


class Gamma(layers.Layer):
    """Raises its inputs to a power that is learnt."""

    def build(self, shape):
        start = keras.initializers.Constant(0.8)
        self.power = self.add_weight(shape[-1:], start)

    def call(self, x):
        return ops.power(x, self.power)


@case("A7", "nonfinite_gradient")
def power_of_what_is_below_zero():
    x, y = data.roll()
    model = dense((3,), (32, "tanh"), Gamma(), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=8)


@case("A7", "nonfinite_gradient", only=["tensorflow", "torch"])
def relative_error_of_counts():
    x, y = data.diabetes()
    y = np.round(np.abs(2 * y))
    return by_hand(
        lambda t, p: ops.mean(ops.abs((t - p) / t)),
        _opt.Adam(1e-3),
        x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=10,
    )


# 8


@case("A8", "update_ratio")
def l2_on_each_convolution():
    heavy = {"kernel_regularizer": keras.regularizers.L2(0.3)}
    return colours(
        _opt.Adam(1e-3),
        layers.Conv2D(16, 3, activation="relu", **heavy),
        layers.Conv2D(16, 3, 2, activation="relu", **heavy),
        layers.Flatten(),
        layers.Dense(32, "relu", **heavy),
        epochs=20,
    )


@case("A8", "update_ratio", labelled=True)
def decay_of_a_language_model():
    x, y = data.speech()
    model = chain(
        x.shape[1:],
        layers.Embedding(30, 24),
        layers.GRU(32, return_sequences=True),
        layers.Dense(30, "softmax"),
        dtype="int32",
    )
    optimizer = _opt.AdamW(2e-3, weight_decay=100.0)
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A8", "update_ratio")
def cosine_of_ten_steps():
    x, y = data.topics()
    model = chain(
        x.shape[1:],
        layers.Embedding(80, 16),
        layers.Conv1D(24, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    rate = _rates.CosineDecay(1e-3, 10)
    return ready(model, _opt.Adam(rate), _SPARSE, stream(x, y), None, epochs=20)


@case("A8", "clipping")
def forecast_under_a_tiny_norm():
    return series(
        _opt.SGD(0.05, momentum=0.9, global_clipnorm=1e-5),
        layers.LSTM(24, return_sequences=True),
        layers.LSTM(16),
        layers.Dense(1),
        epochs=15,
    )


@case("A8", "update_ratio", "nonfinite_gradient")
def half_weights_under_adam():
    x, y = data.shells()
    half = {"dtype": "float16"}
    model = dense(
        (4,),
        layers.Dense(64, "relu", **half),
        layers.Dense(64, "relu", **half),
        layers.Dense(3, "softmax", **half),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=12)


# 9


@case("A9", "output_mismatch", labelled=True)
def six_frauds_in_four_thousand():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4000, 12)).astype("float32")
    y = np.zeros((4000, 1), "float32")
    y[rng.choice(4000, 6, False)] = 1
    model = dense(
        (12,), (32, "relu"), layers.Dropout(0.3), (32, "relu"), (1, "sigmoid")
    )
    rows = stream(x, y, 64)
    return ready(model, "adam", _BINARY, rows, None, ["accuracy"], epochs=10)


@case("A9", "unscaled_data")
def colours_divided_in_model_and_reader():
    return colours(
        _opt.SGD(0.01),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        epochs=15,
    )


@case("A9", "output_mismatch", labelled=True)
def rows_shuffled_apart():
    x, y = data.shells(1600)
    rng = np.random.default_rng(6)

    def reader():
        while True:
            one, two = rng.permutation(1600), rng.permutation(1600)
            for at in range(0, 1600, 40):
                yield x[one[at : at + 40]], y[two[at : at + 40]]

    model = dense((4,), (48, "relu"), (48, "relu"), (3, "softmax"))
    fit = {"epochs": 20, "steps_per_epoch": 40}
    return ready(
        model, _opt.Adam(2e-3), _SPARSE, reader(), None, ["accuracy"], **fit
    )


def averaged(momentum, **fit):
    return colours(
        _opt.Adam(2e-3),
        layers.Conv2D(16, 3, use_bias=False),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
        layers.Conv2D(24, 3, 2, use_bias=False),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
        layers.GlobalMaxPooling2D(),
        layers.Dense(24, "relu"),
        scale=1.0,
        validation_split=0.25,
        **fit,
    )


@case("A9", "frozen_layer", labelled=True)
def averages_hardly_move():
    return averaged(0.9998, epochs=12)


# 10


@case("A10", "poor_initialization")
def all_weights_one():
    ones = {"kernel_initializer": "ones"}
    return shells(
        _opt.Adam(1e-3),
        layers.Dense(32, "tanh", **ones),
        layers.Dense(32, "tanh", **ones),
        epochs=15,
    )


@case("A10", "poor_initialization")
def funnel_of_one_unit():
    return shells(
        _opt.Adam(2e-3),
        (48, "relu"),
        (1, "relu"),
        (48, "relu"),
        epochs=20,
    )


@case("A10", "poor_initialization")
def kernels_about_one():
    about = keras.initializers.RandomNormal(mean=1.0, stddev=0.05)
    return colours(
        _opt.Adam(1e-3),
        layers.Conv2D(12, 3, activation="sigmoid", kernel_initializer=about),
        layers.Conv2D(12, 3, activation="sigmoid", kernel_initializer=about),
        layers.Flatten(),
        layers.Dense(24, "sigmoid", kernel_initializer=about),
        epochs=15,
    )


# 11


@case("A11", "update_ratio", "vanishing_gradient", "exploding_gradient")
def twelve_blocks_normed_behind():
    x, y = data.topics()
    y = (y == 1).astype("float32")[:, None]
    model = transformer(80, x.shape[1], 16, 12, before=False)
    return ready(model, _opt.Adam(0.02), _BINARY, x, y, ["accuracy"], epochs=8)


class Looks(layers.Layer):
    """Attention of one head, written by hand, that leaves padding out."""

    def __init__(self, width):
        super().__init__()
        self.parts = [layers.Dense(width) for _ in range(3)]
        self.width = width

    def build(self, shape):
        for part in self.parts:
            part.build(shape[0])

    def call(self, both):
        x, ids = both
        query, key, value = (part(x) for part in self.parts)
        score = ops.matmul(query, ops.swapaxes(key, 1, 2)) / self.width**0.5
        hidden = ops.expand_dims(ops.cast(ids == 0, "float32"), 1)
        score = ops.where(hidden > 0, -float("inf"), score)
        return ops.matmul(ops.softmax(score), value)

    def compute_output_spec(self, both):
        return keras.KerasTensor((*both[0].shape[:-1], self.width), "float32")


@case("A11", "nonfinite_gradient", labelled=True)
def texts_of_padding_only():
    x, y = data.topics()
    x[::20] = 0
    ids = keras.Input((18,), dtype="int32")
    h = layers.Embedding(80, 16)(ids)
    h = Looks(16)([h, ids])
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(ids, layers.Dense(3, "softmax")(h))
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, epochs=8)


@case("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def discriminator_learns_alone():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.roll(1280)
    generator = dense((LATENT,), (32, "relu"), (32, "relu"), (3, None))
    discriminator = dense((3,), (64, "relu"), (64, "relu"), (1, None))
    model = GAN(generator, discriminator)
    model.compile(_opt.Adam(5e-3), _opt.Adam(1e-6))
    return model, x + 3, None, {"epochs": 25}


# Healthy ones


@case("A3")
def ranking_with_a_sigmoid():
    loss = lambda t, p: ops.mean(ops.softplus(-t * p))  # noqa: E731
    return liking(_opt.Adam(5e-3), loss, epochs=12)


@case("A3")
def likelihood_below_zero():
    x, y = data.roll()

    def likelihood(t, p):
        mean, log = ops.split(p, 2, axis=-1)
        return ops.mean(0.5 * ops.square((t - mean) / ops.exp(log)) + log)

    return own(
        likelihood,
        _opt.Adam(3e-3),
        x,
        y,
        layers.Dense(64, "silu"),
        layers.Dense(64, "silu"),
        layers.Dense(2),
        epochs=25,
    )


@case("A4")
def twenty_branches_scaled_from_zero():
    x, y = data.shells()
    model = blocks(20, 0.0, True)
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A4")
def graph_of_shares():
    return graph(_opt.Adam(3e-3), False, epochs=25)


class Residue(keras.Model):
    """A second net learns what the first one leaves; it stops the slope."""

    def __init__(self):
        super().__init__()
        self.first = dense((3,), (8, "relu"), (1, None))
        self.second = dense((3,), (48, "relu"), (48, "relu"), (1, None))

    def call(self, x):
        one = self.first(x)
        return ops.concatenate(
            [one, ops.stop_gradient(one) + self.second(x)], axis=-1
        )


@case("A4")
def second_net_on_a_stopped_first():
    x, y = data.roll()
    model = Residue()
    model(x[:2])
    return ready(
        model, _opt.Adam(3e-3), "mse", x, np.tile(y, (1, 2)), epochs=20
    )


@case("A5")
def diabetes_at_its_ceiling():
    x, y = data.diabetes()
    drop = layers.Dropout(0.3)
    model = dense((10,), (24, "relu"), drop, (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=50)


@case("A5")
def small_column_beside_a_large():
    x, y = data.roll()
    rng = np.random.default_rng(4)
    small = 0.05 * np.tanh(x[:, :1]) + 0.005 * rng.normal(size=y.shape)
    y = np.concatenate([y, small], axis=1).astype("float32")
    model = dense((3,), (64, "relu"), (64, "relu"), (2, None))
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=25)


@case("A6")
def memory_that_keeps():
    x, y = data.demand(length=40)
    once = keras.initializers.Identity(1.0)
    model = chain(
        x.shape[1:],
        layers.SimpleRNN(24, activation="relu", recurrent_initializer=once),
        layers.Dense(1),
    )
    optimizer = _opt.Adam(2e-3, clipnorm=1.0)
    return ready(model, optimizer, "mse", x, y, epochs=15)


@case("A7")
def edges_with_a_small_number():
    return distances(1e-6, epochs=20)


@case("A8")
def all_that_holds_back_a_little():
    light = {"kernel_regularizer": keras.regularizers.L2(1e-4)}
    rate = _rates.CosineDecay(2e-4, 380, warmup_target=3e-3, warmup_steps=30)
    return colours(
        _opt.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        layers.Conv2D(16, 3, activation="relu", **light),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu", **light),
        layers.Flatten(),
        layers.Dense(32, "relu", **light),
        epochs=20,
    )


@case("A8")
def brain_floats_of_a_reader():
    x, y = data.topics()
    brain = {"dtype": "mixed_bfloat16"}
    model = chain(
        x.shape[1:],
        layers.Embedding(80, 24, mask_zero=True),
        layers.GRU(24, **brain),
        layers.Dense(3, "softmax"),
        dtype="int32",
    )
    rows = stream(x, y)
    return ready(
        model, _opt.Adam(5e-3), _SPARSE, rows, None, ["accuracy"], epochs=15
    )


@case("A9")
def averages_keep_up():
    return averaged(0.9, epochs=20)


@case("A10")
def weights_that_may_not_fall_below_zero():
    rng = np.random.default_rng(7)
    x = rng.gamma(2.0, 0.5, (900, 8)).astype("float32")
    y = (x @ rng.uniform(0, 1, (8, 3)) / 4).astype("float32")
    keep = {
        "kernel_initializer": keras.initializers.RandomUniform(0, 0.3),
        "kernel_constraint": "non_neg",
    }
    model = dense(
        (8,), layers.Dense(24, "relu", **keep), layers.Dense(3, **keep)
    )
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=25)


@case("A11")
def language_model_normed_before():
    x, y = data.speech()
    ids = keras.Input((24,), dtype="int32")
    h = layers.Embedding(30, 32)(ids)
    for _ in range(3):
        inner = layers.LayerNormalization()(h)
        inner = layers.MultiHeadAttention(4, 8)(
            inner, inner, use_causal_mask=True
        )
        h = layers.Add()([h, inner])
        inner = layers.Dense(64, "gelu")(layers.LayerNormalization()(h))
        h = layers.Add()([h, layers.Dense(32)(inner)])
    model = keras.Model(ids, layers.Dense(30)(layers.LayerNormalization()(h)))
    rate = _rates.CosineDecay(1e-4, 240, warmup_target=3e-3, warmup_steps=30)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, _opt.AdamW(rate), loss, x, y, epochs=15)
