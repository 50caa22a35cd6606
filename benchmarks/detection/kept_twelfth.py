"""A twelfth set that no rule was made with, over all three backends by lot.

As users of a forum would have posted them: small convolutions, memories,
autoencoders, Transformers, forgers and segmentation, in the functional style
and in classes, fed by arrays, generators, `PyDataset` and `tf.data`. What is
right was written down before any of them was watched. `SICK` and `HEALTHY` as
in `kept_sick`. A program that takes `right` builds its corrected twin, too.
`SEEDS` is the seed that the lot gave each.
"""

import random

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import twelfth_data as data
from detection.field_data import dense
from detection.field_data import ready
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


class Pair(keras.Model):
    """Keeps two nets and calls them as told; its loss is a function."""

    def __init__(self, first, second=None, how=None, loss_of=None):
        super().__init__()
        self.first, self.second = first, second
        self.how, self.loss_of = how, loss_of

    def call(self, x):
        return self.how(self, x) if self.how else self.first(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if self.loss_of is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        return self.loss_of(y, y_pred)


def pair(optimizer, x, y, first, second=None, how=None, loss=None, **fit):
    own = loss if callable(loss) else None
    model = Pair(first, second, how, own)
    model.compile(optimizer, None if own else loss)
    model(x[:2])
    return model, x, y, fit


def looks(*filters, last=5, how="relu", answer="softmax"):
    """Return a net for flags: strided convolutions and an average."""
    inputs = keras.Input((12, 12, 3))
    h = inputs
    for count in filters:
        h = layers.Conv2D(count, 3, strides=2, padding="same", activation=how)(
            h
        )
    h = layers.Flatten()(h)
    return keras.Model(inputs, layers.Dense(last, answer)(h))


def pixels(h):
    """Return the shares of three kinds at each of 256 pixels."""
    h = layers.Reshape((256, 3))(layers.Conv2D(3, 1)(h))
    return layers.Softmax()(h)


def flagged(optimizer, net, factor=1.0, **fit):
    x, y, _ = data.flags()
    return ready(net, optimizer, _SPARSE, factor * x, y, ["accuracy"], **fit)


# Outputs, and losses without a floor


@case("out", "output_mismatch")
def bikes_by_a_last_tanh(right=False):
    x, y = data.bikes()
    net = dense(
        (8,), (32, "relu"), (32, "relu"), (1, None if right else "tanh")
    )
    return ready(net, _opt.Adam(5e-3), "mae", data.told(x), y, epochs=20)


@case("A3", "output_mismatch")
def share_of_red_by_a_logcosh_of_ones_own(right=False):
    x, _, red = data.flags()

    def loss(t, p):
        t = ops.reshape(t, (-1, 1)) if right else t
        gap = p - ops.cast(t, "float32")
        return ops.mean(gap + ops.softplus(-2 * gap) - ops.log(2.0))

    return pair(
        _opt.Adam(3e-3),
        x,
        4 * red,
        looks(8, 16, last=1, answer=None),
        loss=loss,
        epochs=25,
    )


@case("A3", "output_mismatch")
def bikes_under_a_crossentropy_of_logits(right=False):
    x, y = data.bikes()
    net = dense((8,), (32, "gelu"), (16, "gelu"), (1, None))
    loss = "mse" if right else keras.losses.BinaryCrossentropy(from_logits=True)
    return ready(
        net, _opt.Adam(5e-3), loss, data.told(x), 10 * y / 8, epochs=20
    )


@case("out", "output_mismatch")
def goods_as_counts_under_a_divergence(right=False):
    x, y = data.baskets()
    y = y / y.sum(-1, keepdims=True) if right else y
    net = dense((10,), (32, "relu"), (6, "softmax"))
    loss = keras.losses.KLDivergence()
    return ready(net, _opt.Adam(1e-2), loss, x, y, epochs=20)


@case("out", "output_mismatch")
def curves_rebuilt_by_a_softmax(right=False):
    x, _ = data.peaks()
    inputs = keras.Input((48,))
    code = layers.Dense(8, name="code")(layers.Dense(32, "relu")(inputs))
    h = layers.Dense(32, "relu")(code)
    last = "sigmoid" if right else "softmax"
    net = keras.Model(inputs, layers.Dense(48, last, name="rebuilt")(h))
    return ready(net, _opt.Adam(5e-3), "mse", x, x, epochs=25)


@case("out", "output_mismatch")
def degrees_by_a_hard_sigmoid(right=False):
    x, y = data.warmth()
    inputs = keras.Input((30, 1))
    h = layers.LSTM(16)(layers.Rescaling(0.1, offset=-1.1)(inputs))
    last = None if right else "hard_sigmoid"
    net = keras.Model(inputs, layers.Dense(1, last)(h))
    y = y / 10 if right else y
    return ready(net, _opt.Adam(1e-2), "mse", x, y, epochs=15)


@case("A3", "output_mismatch", "exploding_gradient", labelled=True)
def divergence_is_subtracted(right=False):
    x, _ = data.peaks()
    read = dense((48,), (32, "relu"), (8, None))
    give = dense((4,), (32, "relu"), (48, "sigmoid"))

    class Sample(keras.Model):
        def __init__(self):
            super().__init__()
            self.read, self.give = read, give
            self.noise = keras.random.SeedGenerator(1)

        def call(self, x):
            code = self.read(x)
            mean, log = code[:, :4], code[:, 4:]
            kl = -0.5 * ops.sum(1 + log - ops.square(mean) - ops.exp(log), -1)
            self.add_loss((5e-4 if right else -0.1) * ops.mean(kl))
            noise = keras.random.normal(ops.shape(mean), seed=self.noise)
            return self.give(mean + ops.exp(0.5 * log) * noise)

    net = Sample()
    net.compile(_opt.Adam(3e-3), "mse")
    net(x[:2])
    return net, x, x, {"epochs": 25}


@case("out", "output_mismatch", labelled=True, only=["jax", "tensorflow"])
def three_kinds_of_pixels_by_one_sigmoid(right=False):
    x, y = data.cells()
    inputs = keras.Input((16, 16, 1))
    how = {"padding": "same", "activation": "relu"}
    h = layers.Conv2D(12, 3, **how)(inputs)
    h = layers.Conv2D(12, 3, **how)(h)
    if right:
        net = keras.Model(inputs, pixels(h))
        return ready(net, _opt.Adam(5e-3), _SPARSE, x, y, epochs=12)
    h = layers.Conv2D(1, 1, activation="sigmoid")(h)
    net = keras.Model(inputs, layers.Reshape((256,))(h))
    return ready(net, _opt.Adam(5e-3), _BINARY, x, 1.0 * y, epochs=12)


# Gradients that are cut


@case("A4", "frozen_layer", only=["jax"])
def place_is_read_by_argmax(right=False):
    x, at = data.peaks()
    bins = np.arange(48, dtype="float32")

    def how(self, x):
        score = ops.softmax(self.first(x))
        if right:
            return ops.sum(
                score * ops.convert_to_tensor(bins), -1, keepdims=True
            )
        place = ops.argmax(score, -1)
        return ops.cast(place, "float32")[:, None]

    net = dense((48,), (48, "relu"), (48, None))
    return pair(_opt.Adam(3e-3), x, at, net, how=how, loss="mse", epochs=20)


@case("A4", "frozen_layer")
def second_tower_is_never_read(right=False):
    x, y = data.bikes()
    x = data.told(x)

    def how(self, x):
        a = self.first(x[:, 1:4])
        b = self.second(ops.concatenate([x[:, :1], x[:, 4:]], -1))
        return self.last(ops.concatenate([a, b if right else a], -1))

    one = dense((3,), (24, "relu"), (16, "relu"))
    two = dense((5,), (24, "relu"), (16, "relu"))
    model = Pair(one, two, how)
    model.last = layers.Dense(1)
    model.compile(_opt.Adam(5e-3), "mse")
    model(x[:2])
    return model, x, y, {"epochs": 20}


@case("A4", "frozen_layer")
def features_are_cached_with_a_stop(right=False):
    x, y, _ = data.flags()
    body = chain(
        (12, 12, 3),
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, "tanh"),
    )

    def how(self, x):
        h = self.first(x)
        return self.second(h if right else ops.stop_gradient(h))

    body = looks(8, 16, last=4, answer="tanh") if right else body
    head = dense((4,), (5, "softmax"))
    adam = _opt.Adam(5e-3)
    return pair(adam, x, y, body, head, how, _SPARSE, epochs=20)


@case("A4", "frozen_layer")
def curves_hashed_by_their_signs(right=False):
    x, _ = data.peaks()

    def how(self, x):
        code = self.first(x)
        return self.second(code if right else ops.sign(code))

    read, give = (
        dense((48,), (48, "relu"), (4, None)),
        dense((4,), (48, "relu"), (48, "sigmoid")),
    )
    return pair(_opt.Adam(5e-3), x, x, read, give, how, "mse", epochs=25)


@case("A4", "frozen_layer", "output_mismatch", only=["jax"])
def overlap_of_masks_after_a_threshold(right=False):
    x, y = data.cells()
    y = (y == 1).astype("float32").reshape(-1, 16, 16, 1)

    def loss(t, p):
        p = p if right else ops.cast(p > 0.5, "float32")
        both = ops.sum(t * p, axis=(1, 2, 3))
        each = ops.sum(t, axis=(1, 2, 3)) + ops.sum(p, axis=(1, 2, 3))
        return ops.mean(1 - (2 * both + 1) / (each + 1))

    net = chain(
        (16, 16, 1),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    )
    return ready(net, _opt.Adam(1e-2), loss, x, y, epochs=12)


# Too large, or no number


@case("A6", "exploding_gradient", "poor_initialization", "update_ratio")
def linear_memory_starts_at_one_and_a_half(right=False):
    x, y = data.moves()
    start = "orthogonal" if right else _start.Identity(1.5)
    net = chain(
        (40, 3),
        layers.SimpleRNN(
            24,
            activation=None,
            recurrent_initializer=start,
            return_sequences=True,
        ),
        layers.Conv1D(24, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, "softmax"),
    )
    rate = _opt.Adam(5e-3) if right else _opt.SGD(0.01)
    return ready(net, rate, _SPARSE, x, y, ["accuracy"], epochs=15)


@case(
    "A6",
    "exploding_gradient",
    "unscaled_data",
    "update_ratio",
    "output_mismatch",
    "nonfinite_gradient",
)
def bikes_one_by_one_by_sgd(right=False):
    x, y = data.bikes()
    x, y = (
        (data.told(x), y) if right else (np.pad(x, ((0, 0), (0, 2))), 100 * y)
    )
    net = dense((8,), (64, "relu"), (32, "relu"), (1, None))
    sgd = _opt.SGD(0.01)
    return ready(net, sgd, "mse", x, y, epochs=20)


@case("A6", "exploding_gradient", "update_ratio", "output_mismatch")
def place_weighs_a_hundred_thousand(right=False):
    x, at = data.peaks()
    left = (at < 16).astype("float32")
    inputs = keras.Input((48,))
    h = layers.Dense(48, "relu")(inputs)
    h = layers.Dense(24, "relu")(h)
    outputs = [
        layers.Dense(1, "sigmoid", name="left")(h),
        layers.Dense(1, name="place")(h),
    ]
    net = keras.Model(inputs, outputs)
    weights = [1.0, 1.0 if right else 1e5]
    net.compile(_opt.SGD(0.02), ["mse", "mse"], loss_weights=weights)
    return net, x, [left, (at - 16) / 8], {"epochs": 20}


@case("A7", "nonfinite_gradient", only=["jax"])
def hours_from_one_to_twenty_four(right=False):
    x, y = data.bikes()
    inputs = keras.Input((8,))
    hour = layers.Lambda(lambda t: ops.cast(t[:, 0], "int32"), output_shape=())(
        inputs
    )
    h = layers.Embedding(25 if right else 24, 4, name="hours")(hour)
    h = layers.Concatenate()([h, inputs[:, 1:]])
    h = layers.Dense(32, "relu")(h)
    net = keras.Model(inputs, layers.Dense(1)(h))
    x = np.concatenate([x[:, :1] + 1, data.told(x)[:, 1:]], -1)
    return ready(net, _opt.Adam(5e-3), "mse", x, y, epochs=20)


@case("A7", "nonfinite_gradient")
def products_of_pairs_by_signed_roots(right=False):
    x, y, _ = data.flags()
    inputs = keras.Input((12, 12, 3))
    h = layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    h = layers.Conv2D(8, 3, activation="relu")(h)
    h = layers.Reshape((9, 8))(h)

    def products(t):
        both = ops.matmul(ops.transpose(t, (0, 2, 1)), t) / 9
        return ops.sign(both) * ops.sqrt(ops.abs(both) + (1e-3 if right else 0))

    h = layers.Lambda(products, output_shape=(8, 8))(h)
    net = keras.Model(inputs, layers.Dense(5, "softmax")(layers.Flatten()(h)))
    return ready(net, _opt.Adam(1e-2), _SPARSE, x, y, ["accuracy"], epochs=30)


@case("A7", "nonfinite_gradient", "output_mismatch")
def logarithm_of_hours_without_bikes(right=False):
    x, y = data.bikes()
    y = np.floor(5 * y)

    def loss(t, p):
        t = t + 1 if right else t
        return ops.mean(ops.square(ops.log(t) - p))

    net = dense((8,), (32, "silu"), (32, "silu"), (1, None))
    return ready(net, _opt.Adam(5e-3), loss, data.told(x), y, epochs=20)


@case("A7", "nonfinite_gradient", "unscaled_data")
def batch_norm_without_an_epsilon(right=False):
    x, y = data.leavers()
    x = np.concatenate([x, np.full((len(x), 1), 3.0, "float32")], -1)
    inputs = keras.Input((13,))
    h = layers.BatchNormalization(epsilon=1e-3 if right else 0.0)(inputs)
    h = layers.Dense(32, "relu")(h)
    net = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    return ready(net, _opt.Adam(5e-3), "mse", x, y, epochs=15)


@case("A7", "nonfinite_gradient", "output_mismatch")
def two_peaks_by_a_mixture_of_plain_densities(right=False):
    x, y = data.board()
    x, y = x[:, :1], 40 * x[:, 1:] * np.sign(x[:, :1])

    def loss(t, p):
        log, mean, wide = p[:, :3], 10 * p[:, 3:6], p[:, 6:]
        part = ops.log_softmax(log, -1) - wide
        part = part - 0.5 * ops.square((t - mean) / ops.exp(wide))
        if right:
            return -ops.mean(ops.logsumexp(part, -1))
        return -ops.mean(ops.log(ops.sum(ops.exp(part), -1)))

    net = dense((1,), (24, "tanh"), (9, None))
    return pair(_opt.Adam(1e-2), x, y, net, loss=loss, epochs=15)


# Penalties, schedules, clips, rates


@case("A8", "update_ratio")
def l1_and_l2_by_their_name(right=False):
    how = (
        {}
        if right
        else {"kernel_regularizer": keras.regularizers.L1L2(0.1, 0.1)}
    )
    x, y = data.moves()
    net = chain(
        (40, 3),
        layers.Conv1D(24, 5, activation="relu", **how),
        layers.MaxPooling1D(2),
        layers.Conv1D(24, 5, activation="relu", **how),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, "softmax", **how),
    )
    return ready(net, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A8", "update_ratio")
def sgd_with_a_decay_of_five(right=False):
    x, y = data.leavers()
    net = dense((12,), (48, "elu"), (48, "elu"), (1, "sigmoid"))
    sgd = _opt.SGD(0.1, momentum=0.5, weight_decay=1e-4 if right else 5.0)
    return ready(net, sgd, _BINARY, x, y, ["accuracy"], epochs=20)


@case("A8", "update_ratio")
def polynomial_to_zero_in_ten_steps(right=False):
    x, y = data.reviews()
    rate = _rates.PolynomialDecay(
        2e-3 if right else 5e-4, 500 if right else 10, 0.0, power=2.0
    )
    net = chain(
        (18,),
        layers.Embedding(80, 16, mask_zero=True),
        layers.GRU(16),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(net, _opt.Nadam(rate), _BINARY, x, y, ["accuracy"], epochs=12)


@case("A8", "update_ratio")
def a_tenth_of_the_rate_each_epoch(right=False):
    x, y = data.cells()
    base = 0.98 if right else 0.1
    calls = [
        keras.callbacks.LearningRateScheduler(
            lambda epoch: 0.1 * base ** (epoch + 1)
        )
    ]
    net = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(3, 1),
        layers.Reshape((256, 3)),
        layers.Softmax(),
    )
    sgd = _opt.SGD(0.1, momentum=0.9)
    return ready(net, sgd, _SPARSE, x, y, epochs=15, callbacks=calls)


@case("A8", "clipping")
def curves_under_a_global_norm_of_a_ten_thousandth(right=False):
    x, _ = data.peaks()
    most = {} if right else {"global_clipnorm": 1e-4}
    inputs = keras.Input((48, 1))
    how = {"padding": "same", "activation": "relu"}
    h = layers.Conv1D(12, 5, strides=2, **how)(inputs)
    h = layers.Conv1D(6, 5, strides=2, **how)(h)
    h = layers.Conv1DTranspose(12, 5, 2, **how)(h)
    h = layers.Conv1DTranspose(12, 5, 2, **how)(h)
    net = keras.Model(inputs, layers.Conv1D(1, 1)(h))
    sgd = _opt.SGD(0.3, momentum=0.9, **most)
    return ready(net, sgd, "mse", x[..., None], x[..., None], epochs=20)


@case("A8", "clipping")
def words_whose_slopes_are_cut_to_a_hundred_thousandth(right=False):
    import tensorflow as tf

    x, y = data.reviews()
    most = {} if right else {"clipvalue": 1e-5}
    net = chain(
        (18,),
        layers.Embedding(80, 16),
        layers.Conv1D(16, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    net.compile(
        _opt.SGD(0.3, momentum=0.9, **most), _BINARY, metrics=["accuracy"]
    )
    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(700, seed=1)
    return net, rows.batch(32), None, {"epochs": 20}


class Shrunk(keras.Model):
    """A step for TensorFlow that divides by the rows once too often."""

    def __init__(self, net, rows):
        super().__init__()
        self.net, self.rows = net, rows
        self.mean = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.mean]

    def call(self, x):
        return self.net(x)

    def train_step(self, batch):
        import tensorflow as tf

        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            loss = loss / self.rows
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(
            zip(slopes, self.trainable_variables, strict=True)
        )
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


@case("A8", "update_ratio", "vanishing_gradient", only=["tensorflow"])
def own_step_divides_by_all_rows(right=False):
    x, y = data.leavers()
    net = dense((12,), (32, "tanh"), (32, "tanh"), (1, "sigmoid"))
    model = Shrunk(net, 1.0 if right else 900.0 * 32)
    model.compile(_opt.SGD(0.3, momentum=0.9), _BINARY)
    model(x[:2])
    return model, x, y, {"epochs": 20}


@case(
    "rate",
    "update_ratio",
    "dead_relu",
    "exploding_gradient",
    "saturated_activation",
)
def flags_by_adam_at_one(right=False):
    adam = _opt.Adam(3e-3 if right else 1.0)
    return flagged(adam, looks(12, 24), epochs=20)


@case("rate", "update_ratio")
def reviews_by_sgd_at_a_hundred_thousandth(right=False):
    x, y = data.reviews()
    inputs = keras.Input((18,), dtype="int32")
    h = layers.Embedding(80, 12, mask_zero=True)(inputs)
    h = layers.Bidirectional(layers.LSTM(12))(h)
    net = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    rate = _opt.Adam(5e-3) if right else _opt.SGD(1e-5)
    return ready(net, rate, _BINARY, x, y, ["accuracy"], epochs=15)


# Data


@case("A9", "output_mismatch")
def cells_of_one_pixel_in_a_hundred(right=False):
    x, y = data.cells(radius=3.0 if right else 1.1, blank=0.0 if right else 0.6)
    inputs = keras.Input((16, 16, 1))
    how = {"padding": "same", "activation": "relu"}
    first = layers.Conv2D(8, 3, **how)(inputs)
    h = layers.Conv2D(12, 3, **how)(layers.MaxPooling2D()(first))
    h = layers.Concatenate()([layers.UpSampling2D()(h), first])
    net = keras.Model(inputs, pixels(h))
    sgd = _opt.SGD(0.05, momentum=0.9)
    return ready(net, sgd, _SPARSE, x, y, epochs=15)


@case("A9", "output_mismatch", labelled=True)
def pictures_shuffled_beside_their_labels(right=False):
    import tensorflow as tf

    x, y, _ = data.flags()
    rows = [tf.data.Dataset.from_tensor_slices(part) for part in (x, y)]
    if not right:
        rows = [part.shuffle(600) for part in rows]
    rows = tf.data.Dataset.zip(tuple(rows)).batch(32)
    net = looks(12, 24)
    net.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    return net, rows, None, {"epochs": 15}


@case("A9", "unscaled_data")
def bytes_are_the_norms_of_shares(right=False):
    x, y, _ = data.flags()
    norm = layers.Normalization()
    norm.adapt(x if right else 255 * x)
    inputs = keras.Input((12, 12, 3))
    h = norm(inputs)
    for count in (8, 16):
        h = layers.Conv2D(count, 3, strides=2, activation="sigmoid")(h)
    net = keras.Model(inputs, layers.Dense(5, "softmax")(layers.Flatten()(h)))
    adam = _opt.Adam(3e-3)
    return ready(net, adam, _SPARSE, x, y, ["accuracy"], epochs=25)


@case("A9", "unscaled_data")
def bikes_as_the_table_has_them(right=False):
    x, y = data.bikes()
    x = data.told(x) if right else np.pad(x, ((0, 0), (0, 2)))
    net = dense((8,), (32, "tanh"), (32, "tanh"), (1, None))
    return ready(net, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case("A9", "unscaled_data")
def degrees_about_a_level_of_twenty_thousand(right=False):
    x, y = data.warmth()
    y = (y - 11) / 8
    x = (x - 11) / 8 if right else x + 20_000
    net = chain((30, 1), layers.LSTM(16), layers.Dense(1))
    return ready(net, _opt.Adam(5e-3), "mse", x, y, epochs=15)


@case("A9", "output_mismatch", "unscaled_data", "update_ratio")
def year_of_a_curve(right=False):
    x, at = data.peaks()
    y = at / 10 if right else 1990 + at
    inputs = keras.Input((48, 1))
    h = layers.Conv1D(12, 5, strides=2, activation="relu")(inputs)
    h = layers.Dense(16, "relu")(layers.Flatten()(h))
    net = keras.Model(inputs, layers.Dense(1)(h))
    return ready(net, _opt.Adam(1e-3), "mae", x[..., None], y, epochs=20)


@case("A9", "frozen_layer", labelled=True)
def averages_of_999_in_forty_steps(right=False):
    x, y, _ = data.flags(800)
    norm = {"momentum": 0.8 if right else 0.9999}
    net = chain(
        (12, 12, 3),
        layers.Rescaling(20.0, offset=30.0),
        layers.Conv2D(12, 3, strides=2),
        layers.BatchNormalization(**norm),
        layers.ReLU(),
        layers.Conv2D(24, 3, strides=2),
        layers.BatchNormalization(**norm),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(5, "softmax"),
    )
    held = {"validation_data": (x[640:], y[640:])}
    return ready(
        net,
        _opt.Adam(3e-3),
        _SPARSE,
        x[:640],
        y[:640],
        ["accuracy"],
        epochs=8,
        **held,
    )


@case("A9", "unscaled_data", "dead_relu", "exploding_gradient", "update_ratio")
def flags_in_bytes_by_sgd(right=False):
    sgd = _opt.SGD(0.05, momentum=0.9)
    return flagged(sgd, looks(16, 32), 1.0 if right else 255.0, epochs=20)


# Starts, depth, one unit


@case("A10", "poor_initialization", "saturated_activation")
def clients_from_weights_above_zero(right=False):
    x, y = data.leavers()
    start = "glorot_uniform" if right else _start.RandomUniform(0, 1)
    net = chain((12,))
    for _ in range(3):
        net.add(layers.Dense(64, "tanh", kernel_initializer=start))
    net.add(layers.Dense(1, "sigmoid", kernel_initializer=start))
    sgd = _opt.SGD(0.02)
    return ready(net, sgd, _BINARY, x, y, ["accuracy"], epochs=25)


@case("A10", "poor_initialization", "dead_relu")
def flags_through_one_unit(right=False):
    x, y, _ = data.flags()
    inputs = keras.Input((12, 12, 3))
    h = layers.Conv2D(12, 3, strides=2, activation="relu")(inputs)
    h = layers.Conv2D(16, 3, strides=2, activation="relu")(h)
    h = layers.Dense(16 if right else 1, "relu")(layers.Flatten()(h))
    h = layers.Dense(16, "relu")(h)
    net = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    return ready(net, _opt.Adam(5e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A10", "poor_initialization")
def filters_that_start_alike(right=False):
    x, y, _ = data.flags()
    start = "he_normal" if right else _start.Constant(0.05)
    how = {"kernel_initializer": start, "activation": "relu"}
    net = chain(
        (12, 12, 3),
        layers.Conv2D(12, 3, **how),
        layers.MaxPooling2D(),
        layers.Conv2D(12, 3, **how),
        layers.Flatten(),
        layers.Dense(24, **how),
        layers.Dense(5, "softmax"),
    )
    return ready(net, _opt.Adam(1e-2), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("deep", "vanishing_gradient", "saturated_activation")
def nine_sigmoid_layers_of_a_client(right=False):
    x, y = data.leavers()
    how = "relu" if right else "sigmoid"
    net = dense((12,), *[(24, how)] * (3 if right else 9), (1, "sigmoid"))
    sgd = _opt.SGD(0.05)
    return ready(net, sgd, _BINARY, x, y, ["accuracy"], epochs=20)


# Sides of a game, attention


@case(
    "A11",
    "exploding_gradient",
    "update_ratio",
    "output_mismatch",
    labelled=True,
    only=["tensorflow", "torch"],
)
def judge_of_curves_is_too_fast():
    return forged(1e-5, 2e-2)


def forged(forger, judge, epochs=12):
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.peaks(960)
    made = dense((LATENT,), (32, "relu"), (48, "sigmoid"))
    judged = dense((48,), (32, "leaky_relu"), (16, "leaky_relu"), (1, None))
    model = GAN(made, judged)
    model.compile(_opt.Adam(judge, 0.5), _opt.Adam(forger, 0.5))
    return model, x, None, {"epochs": epochs}


class Places(layers.Layer):
    """Adds a learnt row to each place of a sequence."""

    def build(self, shape):
        self.rows = self.add_weight(shape=shape[1:], initializer="uniform")
        self.built = True

    def call(self, x):
        return x + self.rows


def turned(optimizer, *blocks, **fit):
    """Return a Transformer that reads a code from its end."""
    x, y = data.codes()
    net = chain(
        (7,),
        layers.Embedding(9, 24),
        Places(),
        *blocks,
        layers.Dense(9, "softmax"),
        dtype="int32",
    )
    return ready(net, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


@case(
    "A11",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
)
def codes_by_attention_at_two(right=False):
    adam = _opt.AdamW(3e-3 if right else 2.0)
    return turned(adam, Attend(24), Attend(24), epochs=20)


class Blind(layers.Layer):
    """Attention with a mask, as it is, or of zeros only."""

    def __init__(self, right):
        super().__init__()
        self.right = right
        self.attention = layers.MultiHeadAttention(2, 12)

    def build(self, shape):
        self.attention.build(shape, shape)
        self.built = True

    def call(self, x):
        rows = ops.shape(x)[0]
        mask = ops.zeros((rows, 7, 7), "bool")
        if self.right:
            mask = ops.ones((rows, 7, 7), "bool")
        return self.attention(x, x, attention_mask=mask)


@case("A11", "output_mismatch", "frozen_layer")
def mask_shuts_every_place(right=False):
    return turned(
        _opt.Adam(1e-2), Blind(right), layers.Dense(24, "relu"), epochs=20
    )


# Healthy, some of difficult look


@case("out")
def flags_by_strided_convolutions():
    return flagged(_opt.Adam(3e-3), looks(12, 24), epochs=15)


@case("A5")
def bikes_in_much_noise():
    x, y = data.bikes(noise=0.8)
    net = dense((8,), (24, "relu"), (24, "relu"), (1, "softplus"))
    return ready(net, _opt.Adam(5e-3), "mse", data.told(x), y, epochs=15)


@case("A8")
def codes_with_warm_up():
    rate = _rates.CosineDecay(
        0.0, 400, warmup_target=4e-3, warmup_steps=80, alpha=0.1
    )
    return turned(_opt.AdamW(rate), Attend(24), Attend(24), epochs=20)


@case("A9")
def three_kinds_of_pixels():
    x, y = data.cells()
    net = chain(
        (16, 16, 1),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(
            12, 3, padding="same", dilation_rate=2, activation="relu"
        ),
        layers.Conv2D(3, 1),
        layers.Reshape((256, 3)),
        layers.Softmax(),
    )
    return ready(net, _opt.Adam(5e-3), _SPARSE, x, y, epochs=12)


@case("out")
def words_from_a_pipeline():
    return words_whose_slopes_are_cut_to_a_hundred_thousandth(right=True)


@case("A3")
def code_of_curves_with_a_light_prior():
    return divergence_is_subtracted(right=True)


@case("A8")
def height_and_place_of_a_curve():
    return place_weighs_a_hundred_thousand(right=True)


@case("A9")
def one_client_in_twelve_leaves():
    x, y = data.leavers(1200, share=0.08)
    net = dense((12,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    weights = {"class_weight": {0: 1.0, 1: 6.0}}
    return ready(net, _opt.Adam(5e-3), _BINARY, x, y, epochs=15, **weights)


@case("A11", only=["tensorflow", "torch"])
def forger_and_judge_of_curves():
    return forged(1e-3, 5e-4)


@case("dead")
def board_by_six_rectified_units():
    x, y = data.board(1200, fields=2)
    net = dense((2,), (8, "relu"), (6, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(2e-2), _BINARY, x, y, epochs=25)


@case("deep")
def moves_by_shortcuts_and_norms():
    x, y = data.moves()
    inputs = keras.Input((40, 3))
    h = layers.Conv1D(16, 5, padding="same")(inputs)
    for _ in range(5):
        more = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))
        h = layers.Add()([h, layers.Conv1D(16, 3, padding="same")(more)])
    h = layers.GlobalAveragePooling1D()(layers.ReLU()(h))
    net = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    sgd = _opt.SGD(0.03, momentum=0.9, nesterov=True)
    held = {"validation_split": 0.2}
    return ready(net, sgd, _SPARSE, x, y, ["accuracy"], epochs=15, **held)


@case("A6")
def degrees_by_a_gru_with_a_clip():
    x, y = data.warmth()
    net = chain(
        (30, 1),
        layers.Rescaling(0.1, offset=-1.1),
        layers.GRU(16, return_sequences=True),
        layers.GRU(16),
        layers.Dense(1),
    )
    adam = _opt.Adam(1e-2, clipnorm=1.0)
    return ready(net, adam, "huber", x, y / 10, epochs=12)


class Batches(keras.utils.PyDataset):
    """Batches of moves, turned about at random."""

    def __init__(self, x, y, size=25):
        super().__init__()
        self.x, self.y, self.size = x, y, size
        self.rng = np.random.default_rng(5)

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        at = slice(index * self.size, (index + 1) * self.size)
        sign = self.rng.choice([-1, 1], (self.size, 1, 3)).astype("float32")
        return sign * self.x[at], self.y[at]


@case("A9")
def moves_turned_about_by_a_reader():
    x, y = data.moves()
    net = chain(
        (40, 3),
        layers.LSTM(20, return_sequences=True),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(0.3),
        layers.Dense(4, "softmax"),
    )
    net.compile(_opt.Adam(1e-2), _SPARSE, metrics=["accuracy"])
    return net, Batches(x, y), None, {"epochs": 15}


@case("A9")
def goods_from_a_generator():
    x, y = data.baskets()

    def rows():
        rng = np.random.default_rng(2)
        while True:
            at = rng.integers(0, len(x), 32)
            yield x[at], y[at]

    net = dense((10,), (32, "relu"), (6, "exponential"))
    net.compile(_opt.Adam(3e-3), "poisson")
    return net, rows(), None, {"epochs": 12, "steps_per_epoch": 25}


@case("A4")
def two_towers_of_a_table():
    return second_tower_is_never_read(right=True)


@case("A8")
def curves_without_noise():
    x, _ = data.peaks()
    rng = np.random.default_rng(3)
    noisy = (x + 0.15 * rng.normal(size=x.shape)).astype("float32")
    net = dense((48,), (32, "silu"), (12, None), (32, "silu"), (48, None))
    rmsprop = _opt.RMSprop(2e-3, momentum=0.5)
    return ready(net, rmsprop, "mse", noisy, x, epochs=20)


@case("deep")
def ten_tanh_layers_of_a_client():
    x, y = data.leavers()
    net = dense((12,), *[(20, "tanh")] * 10, (1, "sigmoid"))
    return ready(net, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=15)


@case("A7")
def products_of_pairs_by_safe_roots():
    return products_of_pairs_by_signed_roots(right=True)


@case("A9")
def half_of_the_reviews_weigh_little():
    x, y = data.reviews()
    weight = np.where(np.arange(len(x)) % 2, 1.0, 0.1).astype("float32")
    net = chain(
        (18,),
        layers.Embedding(80, 12, mask_zero=True),
        layers.Bidirectional(layers.GRU(8)),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    adam = _opt.Adam(5e-3)
    return ready(net, adam, _BINARY, x, y, epochs=10, sample_weight=weight)


@case("A3")
def clients_long_learnt():
    x, y = data.leavers(300)
    net = dense((12,), (64, "relu"), (64, "relu"), (1, "sigmoid"))
    return ready(net, _opt.Adam(1e-2), _BINARY, x, y, epochs=60)


@case("A3")
def two_peaks_by_a_mixture_in_logarithms():
    return two_peaks_by_a_mixture_of_plain_densities(right=True)
