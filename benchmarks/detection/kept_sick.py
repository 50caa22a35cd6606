"""Programs that do not learn, that no rule was made or tuned with.

Kinds are those of `field_sick`, all else differs: data, depths, losses. What
is right was written down before the first of them ran. `SICK` maps a name to
(point, right rules, program); `LABELLED` names those whose harm a score on
the training data does not show; `ONLY` the backends that one is for.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import kept_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.field_sick import own

SICK: dict = {}
LABELLED: set = set()
ONLY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def sick(point, *rules, labelled=False, only=None):
    def keep(function):
        name = function.__name__
        SICK[name] = (point, rules, function)
        if labelled:
            LABELLED.add(name)
        if only:
            ONLY[name] = only
        return function

    return keep


def numbers(optimizer, *stack, loss="mse", **fit):
    x, y = data.friedman()
    return ready(dense((10,), *stack), optimizer, loss, x, y, **fit)


def classes(optimizer, *stack, **fit):
    x, y = data.clusters()
    model = dense((12,), *stack, (5, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def images(optimizer, *stack, scale=1.0, channels=1, **fit):
    x, y = data.stripes(channels=channels)
    shape = x.shape[1:]
    model = keras.Sequential([keras.Input(shape), *stack])
    return ready(model, optimizer, _SPARSE, scale * x, y, ["accuracy"], **fit)


# 3


@sick("A3", "output_mismatch", labelled=True)
def critic_without_bound():
    x, y = data.moons()
    return own(
        lambda t, p: ops.mean((1 - 2 * t) * p),
        _opt.RMSprop(2e-3),
        x,
        y,
        layers.Dense(48, "gelu"),
        layers.Dense(48, "gelu"),
        layers.Dense(1),
        epochs=25,
    )


@sick("A3", "output_mismatch")
def poisson_of_negative():
    x, y = data.friedman()
    model = dense((10,), (40, "elu"), (1, "softplus"))
    return ready(model, _opt.Adam(2e-3), "poisson", x, y - 0.5, epochs=30)


@sick("A3", "output_mismatch")
def relative_error_broadcasts():
    x, y = data.friedman()
    return own(
        lambda t, p: ops.mean(ops.abs(t - p) / (1 + ops.abs(t))),
        _opt.Nadam(2e-3),
        x,
        y[:, 0],
        layers.Dense(64, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=30,
    )


class Code(layers.Layer):
    """Draws a code and adds the divergence from the prior to the loss."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.seed = weight, keras.random.SeedGenerator(3)

    def call(self, both):
        mean, log = ops.split(both, 2, axis=-1)
        each = ops.exp(log) + ops.square(mean) - 1 - log
        self.add_loss(self.weight * ops.mean(ops.sum(each, axis=-1)) / 2)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(log / 2) * noise


def conv_vae(weight, epochs):
    x, _ = data.stripes()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(12, 3, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dense(12),
            Code(weight),
            layers.Dense(6 * 6 * 12, "relu"),
            layers.Reshape((6, 6, 12)),
            layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid"),
        ]
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, x, epochs=epochs)


@sick("A3", "update_ratio", "output_mismatch")
def conv_vae_collapses():
    return conv_vae(2.0, 20)


@sick("A3", "update_ratio", "exploding_gradient", "oscillating_loss")
def rate_grows_each_epoch():
    grow = keras.callbacks.LearningRateScheduler(lambda e, r: r * 2.5)
    return classes(
        _opt.SGD(0.05, momentum=0.9), (32, "relu"), epochs=14, callbacks=[grow]
    )


# 4


@sick("A4", "frozen_layer", labelled=True)
def loss_of_signs():
    x, y = data.moons()
    return own(
        lambda t, p: ops.mean(ops.abs((2 * t - 1) - ops.sign(p))),
        _opt.Adam(3e-3),
        x,
        y,
        layers.Dense(24, "silu"),
        layers.Dense(1, "tanh"),
        epochs=15,
    )


class Codebook(layers.Layer):
    """Gives the nearest of its rows, and nothing straight through."""

    def build(self, shape):
        self.rows = self.add_weight((16, shape[-1]), "random_normal")

    def call(self, x):
        gap = ops.sum(ops.square(x[:, None] - self.rows), axis=-1)
        return ops.take(self.rows, ops.argmin(gap, axis=-1), axis=0)


@sick("A4", "frozen_layer")
def codebook_cuts_encoder():
    x, _ = data.stripes()
    x = x.reshape(len(x), -1)
    model = dense(
        (144,), (48, "relu"), (6, None), Codebook(), (48, "relu"), (144, None)
    )
    return ready(model, _opt.Adam(2e-3), "mse", x, x, epochs=20)


class Adapter(layers.Layer):
    """Adds two small layers that both begin at zero."""

    def __init__(self, width):
        super().__init__()
        self.down = layers.Dense(4, "relu", kernel_initializer="zeros")
        self.up = layers.Dense(width, kernel_initializer="zeros")

    def build(self, shape):
        self.down.build(shape)
        self.up.build((*shape[:-1], 4))

    def call(self, x):
        return x + self.up(self.down(x))


@sick("A4", "frozen_layer", "poor_initialization")
def adapters_between_frozen_layers():
    x, y = data.wine()
    base = [layers.Dense(24, "relu"), layers.Dense(3, "softmax")]
    for layer in base:
        layer.trainable = False
    model = dense((13,), base[0], Adapter(24), base[1])
    return ready(model, _opt.Adam(1e-2), _SPARSE, x, y, epochs=30)


@sick("A4", "frozen_layer")
def tower_is_stopped():
    x, y = data.friedman()
    inputs = keras.Input((10,))
    near = layers.Dense(3, "tanh", name="near")(inputs[:, 5:])
    far = layers.Dense(48, "relu", name="far")(inputs[:, :5])
    far = layers.Dense(2, "relu", name="far_out")(far)
    far = layers.Lambda(lambda t: 0.02 * ops.stop_gradient(t))(far)
    joined = layers.Concatenate()([near, far])
    model = keras.Model(inputs, layers.Dense(1, name="head")(joined))
    return ready(model, _opt.Adam(2e-3), "mae", x, y, epochs=25)


# 6


def wild(std):
    return keras.initializers.RandomNormal(stddev=std)


@sick("A6", "exploding_gradient", "poor_initialization")
def normal_of_one_in_convolutions():
    conv = [
        layers.Conv2D(24, 3, activation="relu", kernel_initializer=wild(1.0))
        for _ in range(4)
    ]
    return images(
        _opt.SGD(1e-3),
        *conv,
        layers.Flatten(),
        layers.Dense(4, "softmax", kernel_initializer=wild(1.0)),
        epochs=4,
    )


@sick("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def relu_gru_of_wide_start():
    x, y = data.walks(length=50)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.GRU(24, activation="relu", recurrent_initializer=wild(1.0)),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, epochs=3)


@sick("A6", "exploding_gradient", "unscaled_data")
def seconds_since_1970():
    x, y = data.friedman()
    model = dense((10,), (24, "tanh"), (24, "tanh"), (1, None))
    fit = {"epochs": 4, "batch_size": 16}
    return ready(model, _opt.SGD(0.05), "mse", x, 1.6e9 + 1e7 * y, **fit)


# 7


@sick("A7", "nonfinite_gradient", only=["jax"])
def token_beyond_table():
    x, y = data.tokens(rows=25)
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(24, 12),
            layers.Conv1D(12, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, "adam", _BINARY, x, y, epochs=4)


@sick("A7", "nonfinite_gradient")
def distance_of_equal_pairs():
    x, _ = data.friedman()
    y = np.zeros((len(x), 1), "float32")
    y[::2] = 1
    other = np.where(y == 1, x, x[::-1]).astype("float32")
    inputs = keras.Input((20,))
    tower = dense((10,), (16, "relu"), (4, None))
    gap = tower(inputs[:, :10]) - tower(inputs[:, 10:])
    gap = layers.Lambda(
        lambda g: ops.sqrt(ops.sum(ops.square(g), axis=-1, keepdims=True)),
        output_shape=(1,),
    )(gap)
    model = keras.Model(inputs, gap)

    def contrastive(t, d):
        far = ops.square(ops.maximum(1 - d, 0))
        return ops.mean(t * ops.square(d) + (1 - t) * far)

    x = np.concatenate([x, other], axis=1)
    return ready(model, _opt.Adam(1e-3), contrastive, x, y, epochs=5)


@sick("A7", "nonfinite_gradient")
def divergence_of_zeros():
    x, y = data.wine()
    y = keras.utils.to_categorical(y, 3)

    def divergence(t, p):
        return ops.mean(ops.sum(t * (ops.log(t) - ops.log(p)), axis=-1))

    model = dense((13,), (24, "relu"), (3, "softmax"))
    return ready(model, "adam", divergence, x, y, epochs=5)


class Masked(layers.Layer):
    """Pools over what is no padding, by weights of a softmax."""

    def build(self, shape):
        self.score = self.add_weight((shape[0][-1], 1), name="score")

    def call(self, both):
        h, ids = both
        seen = ops.expand_dims(ids > 0, -1)
        scores = ops.where(seen, h @ self.score, -float("inf"))
        return ops.sum(h * ops.softmax(scores, axis=1), axis=1)


@sick("A7", "nonfinite_gradient")
def all_is_masked():
    x, y = data.tokens()
    x[5::11] = 0
    inputs = keras.Input((16,), dtype="int32")
    h = layers.Embedding(24, 12)(inputs)
    h = layers.Dense(12, "relu")(h)
    model = keras.Model(
        inputs, layers.Dense(1, "sigmoid")(Masked()([h, inputs]))
    )
    return ready(model, "adam", _BINARY, x, y, epochs=4)


class Logs(layers.Layer):
    """Gives the logarithm of what is positive, else 0."""

    def call(self, x):
        return ops.where(x > 0, ops.log(x), 0 * x)


@sick("A7", "nonfinite_gradient")
def logarithm_not_taken():
    return numbers(
        _opt.Adam(1e-3), (20, "relu"), Logs(), (16, "tanh"), (1, None), epochs=4
    )


# 8


@sick("A8", "update_ratio")
def activity_outweighs():
    quiet = layers.Dense(
        32, "relu", activity_regularizer=keras.regularizers.L2(30.0)
    )
    return classes(_opt.Adam(2e-3), quiet, (24, "relu"), epochs=25)


@sick("A8", "update_ratio")
def l1_of_convolutions():
    how = {"kernel_regularizer": keras.regularizers.L1(0.2)}
    return images(
        _opt.Adam(1e-3),
        layers.Conv2D(12, 3, activation="relu", **how),
        layers.Conv2D(12, 3, activation="relu", **how),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, "softmax", **how),
        epochs=20,
    )


@sick("A8", "update_ratio")
def decay_of_lion():
    return classes(
        _opt.Lion(1e-3, weight_decay=200.0),
        (32, "relu"),
        (32, "relu"),
        epochs=30,
    )


@sick("A8", "update_ratio")
def rate_of_one_over_steps():
    rate = _rates.InverseTimeDecay(1e-3, 1, 2.0)
    return classes(_opt.SGD(rate), (40, "relu"), epochs=25)


@sick("A8", "update_ratio")
def callback_ends_rate():
    down = keras.callbacks.LearningRateScheduler(lambda e, r: r * 0.01)
    return numbers(
        _opt.Adam(1e-3), (32, "tanh"), (1, None), epochs=30, callbacks=[down]
    )


@sick("A8", "clipping")
def gru_under_tiny_clipnorm():
    x, y = data.walks()
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.GRU(16), layers.Dense(1, "sigmoid")]
    )
    rate = _opt.SGD(0.05, momentum=0.9, clipnorm=1e-6)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=20)


@sick("A8", "clipping")
def clipvalue_below_epsilon():
    return numbers(
        _opt.RMSprop(1e-3, clipvalue=1e-11), (32, "relu"), (1, None), epochs=30
    )


# 9


@sick("A9", "output_mismatch", labelled=True)
def rare_faults():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6000, 6)).astype("float32")
    score = x[:, :1] * x[:, 1:2] + 2.5 * rng.normal(size=(6000, 1))
    y = (score > np.quantile(score, 0.9975)).astype("float32")
    model = dense((6,), (12, "tanh"), (12, "tanh"), (1, "sigmoid"))
    fit = {"epochs": 10, "batch_size": 64}
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], **fit)


@sick("A9", "unscaled_data")
def wave_far_from_zero():
    x, y = data.walks()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.LSTM(16),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, "adam", _BINARY, 300 + x, y, ["accuracy"], epochs=15)


@sick("A9", "unscaled_data")
def colours_scaled_twice():
    return images(
        _opt.SGD(0.02),
        layers.Rescaling(1 / 255),
        layers.Conv2D(12, 3, 2, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(4, "softmax"),
        scale=1 / 255,
        channels=3,
        epochs=20,
    )


class Refilled(keras.utils.PyDataset):
    """Collects batches of inputs that a reader fills into one array."""

    def __init__(self, x, y, size=32):
        super().__init__()
        self.batches, page = [], np.empty((size, *x.shape[1:]), x.dtype)
        for at in range(0, len(x) - size + 1, size):
            page[:] = x[at : at + size]
            self.batches.append((page, y[at : at + size].copy()))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@sick("A9", "output_mismatch", "unscaled_data", labelled=True)
def reader_refills_one_array():
    x, y = data.clusters()
    model = dense((12,), (32, "relu"), (5, "softmax"))
    return ready(
        model,
        _opt.Adam(2e-3),
        _SPARSE,
        Refilled(x, y),
        None,
        ["accuracy"],
        epochs=25,
    )


@sick("A9", "output_mismatch", labelled=True)
def sorted_wines():
    x, y = data.wine()
    order = np.argsort(y, kind="stable")
    model = dense((13,), (24, "relu"), (3, "softmax"))
    return ready(
        model,
        _opt.Adam(2e-3),
        _SPARSE,
        x[order],
        y[order],
        ["accuracy"],
        epochs=25,
        batch_size=16,
        validation_split=0.25,
    )


@sick("A9", "frozen_layer", labelled=True)
def averages_stay_at_start():
    return images(
        _opt.Adam(3e-3),
        layers.Conv2D(12, 3),
        layers.BatchNormalization(momentum=0.9995),
        layers.ReLU(),
        layers.GlobalMaxPooling2D(),
        layers.Dense(16, "relu"),
        layers.Dense(4, "softmax"),
        scale=255.0,
        epochs=8,
        batch_size=20,
        validation_split=0.2,
    )


# 10


@sick("A10", "poor_initialization")
def uniform_to_one():
    x, y = data.moons()
    how = {"kernel_initializer": keras.initializers.RandomUniform(0, 1)}
    model = dense((2,), *[(16, "tanh")] * 3, (1, "sigmoid"), **how)
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, ["accuracy"], epochs=15)


@sick("A10", "poor_initialization")
def one_unit_before_classes():
    return images(
        _opt.Adam(1e-3),
        layers.Conv2D(8, 3, 2, activation="relu"),
        layers.Flatten(),
        layers.Dense(1, "sigmoid"),
        layers.Dense(4, "softmax"),
        epochs=15,
    )


@sick("A10", "poor_initialization")
def all_weights_alike():
    how = {"kernel_initializer": keras.initializers.Constant(0.05)}
    x, y = data.friedman()
    model = dense((10,), (32, "tanh"), (32, "tanh"), (1, None), **how)
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=15)


# 11


@sick("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def generator_is_starved():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.moons(1280)
    generator = dense((LATENT,), (48, "gelu"), (48, "gelu"), (2, None))
    discriminator = dense((2,), (96, "relu"), (96, "relu"), (1, None))
    model = GAN(generator, discriminator)
    model.compile(_opt.RMSprop(3e-3), _opt.SGD(1e-7))
    return model, x + 4, None, {"epochs": 25}


@sick("A11", "update_ratio", "vanishing_gradient", "oscillating_loss")
def post_norm_without_warmup():
    x, y = data.tokens()
    model = data.transformer(24, 16, 32, 8, before=False)
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, ["accuracy"], epochs=8)


# 2


@sick("02", "output_mismatch")
def tanh_for_hundreds():
    x, y = data.friedman()
    model = dense((10,), (32, "relu"), (32, "relu"), (1, "tanh"))
    return ready(model, _opt.Adam(1e-3), "huber", x, 150 + 75 * y, epochs=20)
