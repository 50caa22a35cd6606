"""A second set of programs that no rule was made with.

They were written after the rules had been mended by the first, and what is
right was written down before they ran. `SICK` and `HEALTHY` as in `kept_sick`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import kept_data as data
from detection.field_data import cancer
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_sick import own
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY
from detection.kept_sick import classes
from detection.kept_sick import images
from detection.kept_sick import numbers

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


@case("A3", "output_mismatch", labelled=True)
def error_of_the_wrong_sign():
    x, y = data.friedman()
    return own(
        lambda t, p: -ops.mean(ops.square(t - p)),
        _opt.Adam(2e-3),
        x,
        y,
        layers.Dense(32, "tanh"),
        layers.Dense(1),
        epochs=20,
    )


@case("A3", "output_mismatch")
def handwritten_entropy_broadcasts():
    x, y = data.moons()

    def entropy(t, p):
        p = ops.clip(p, 1e-6, 1 - 1e-6)
        return -ops.mean(t * ops.log(p) + (1 - t) * ops.log(1 - p))

    return own(
        entropy,
        _opt.Adam(3e-3),
        x,
        y[:, 0],
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
        epochs=25,
    )


@case("A3", "update_ratio", "exploding_gradient", "oscillating_loss")
def rate_restarts_too_high():
    x, y = sequences()
    rate = _rates.PiecewiseConstantDecay([180, 190], [5e-3, 5.0, 5e-3])
    model = keras.Sequential(
        [keras.Input((30, 1)), layers.GRU(24), layers.Dense(1)]
    )
    return ready(model, _opt.RMSprop(rate), "mse", x, y, epochs=20)


class Gate(layers.Layer):
    """Passes on which units are positive, and no more."""

    def call(self, x):
        return ops.cast(x > 0, "float32")


@case("A4", "frozen_layer")
def features_behind_a_comparison():
    x, y = data.clusters()
    model = dense((12,), (24, "tanh"), (3, None), Gate(), (5, "softmax"))
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A4", "frozen_layer")
def encoder_behind_one_hot():
    x, _ = digits()
    inputs = keras.Input((64,))
    code = layers.Dense(32, "relu", name="encoder")(inputs)
    code = layers.Dense(6, name="code")(code)
    hard = layers.Lambda(lambda c: ops.one_hot(ops.argmax(c, axis=-1), 6))
    out = layers.Dense(32, "relu")(hard(code))
    model = keras.Model(inputs, layers.Dense(64, "sigmoid")(out))
    return ready(model, _opt.RMSprop(2e-3), "mse", x, x, epochs=12)


@case("A4", "frozen_layer", only=["jax"])
def loss_of_hits():
    x, y = data.wine()

    def misses(t, p):
        hit = ops.argmax(p, axis=-1) == ops.cast(ops.reshape(t, (-1,)), "int64")
        return 1 - ops.mean(ops.cast(hit, "float32"))

    model = dense((13,), (24, "relu"), (3, "softmax"))
    return ready(model, _opt.Adam(3e-3), misses, x, y, epochs=25)


@case("A6", "exploding_gradient", "poor_initialization", "nonfinite_gradient")
def uniform_to_three():
    wild = {"kernel_initializer": keras.initializers.RandomUniform(-3, 3)}
    stack = [layers.Dense(48, "elu", **wild) for _ in range(5)]
    return numbers(_opt.SGD(1e-2), *stack, (1, None), epochs=4)


@case("A6", "unscaled_data", "exploding_gradient")
def seconds_as_inputs():
    x, y = data.friedman()
    model = dense((10,), (32, "relu"), (1, None))
    fit = {"epochs": 4, "batch_size": 16}
    return ready(model, _opt.SGD(1e-3), "mse", 1e6 * (x + 2), y, **fit)


class Unit(layers.Layer):
    """Gives each row length one."""

    def call(self, x):
        return x / ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True))


@case("A7", "nonfinite_gradient")
def rows_of_length_zero():
    x, y = data.moons()
    model = dense((2,), (3, "relu"), Unit(), (16, "tanh"), (1, "sigmoid"))
    fit = {"epochs": 4, "batch_size": 64}
    return ready(model, _opt.Adam(2e-3), "mse", x, y, **fit)


@case("A7", "nonfinite_gradient")
def root_of_a_masked_error():
    x, y = data.friedman()

    def softer(t, p):
        counted = ops.cast(t > -1, "float32")
        return ops.mean(ops.power(ops.abs(counted * (t - p)), 0.5))

    model = dense((10,), (24, "silu"), (1, None))
    return ready(model, _opt.Nadam(2e-3), softer, x, y, epochs=4)


class Standard(layers.Layer):
    """Standardises each feature over the batch."""

    def call(self, x):
        mean = ops.mean(x, axis=0, keepdims=True)
        return (x - mean) / ops.std(x, axis=0, keepdims=True)


@case("A7", "nonfinite_gradient")
def feature_that_never_varies():
    x, y = cancer()
    x[:, 3] = 1.0
    model = dense((30,), Standard(), (16, "relu"), (1, "sigmoid"))
    return ready(model, "adam", "mse", x, y, epochs=4)


@case("A8", "update_ratio")
def penalty_on_gru():
    x, y = data.walks()
    heavy = keras.regularizers.L2(2.0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.GRU(
                16, kernel_regularizer=heavy, recurrent_regularizer=heavy
            ),
            layers.Dense(1, "sigmoid", kernel_regularizer=heavy),
        ]
    )
    return ready(model, _opt.Adam(2e-3), _BINARY, x, y, ["accuracy"], epochs=20)


@case("A8", "update_ratio")
def warmup_of_a_million_steps():
    rate = _rates.PolynomialDecay(0.0, 1_000_000, 1e-2)
    return classes(_opt.SGD(rate), (32, "relu"), epochs=25)


@case("A8", "update_ratio")
def plateau_without_patience():
    down = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=1e-3, patience=1, min_delta=10.0
    )
    return classes(_opt.SGD(2e-2), (32, "tanh"), epochs=25, callbacks=[down])


@case("A8", "clipping")
def images_under_tiny_global_clip():
    return images(
        _opt.SGD(0.05, momentum=0.9, global_clipnorm=1e-5),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(12, 3, 2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, "softmax"),
        epochs=15,
    )


@case("A9", "output_mismatch", only=["jax"])
def wines_counted_from_one():
    x, y = data.wine()
    model = dense((13,), (24, "relu"), (3, "softmax"))
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y + 1, epochs=20)


@case("A9", "output_mismatch", labelled=True)
def classes_of_minus_one():
    x, y = data.moons()
    model = dense((2,), (24, "relu"), (24, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(3e-3), _BINARY, x, 2 * y - 1, epochs=20)


@case("A9", "unscaled_data")
def kelvin_and_hectopascal():
    x, y = data.clusters()
    model = dense((12,), (24, "tanh"), (24, "tanh"), (5, "softmax"))
    return ready(
        model, _opt.Adam(1e-3), _SPARSE, 900 + 8 * x, y, ["accuracy"], epochs=20
    )


@case("A9", "output_mismatch", labelled=True)
def rare_stripes():
    rng = np.random.default_rng(2)
    x = rng.normal(0.5, 0.2, (2400, 8, 8, 1)).astype("float32")
    y = np.zeros((2400, 1), "float32")
    y[rng.choice(2400, 8, False)] = 1
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=10)


@case("A10", "poor_initialization")
def normal_about_a_half():
    start = keras.initializers.RandomNormal(0.5, 0.1)
    how = {"kernel_initializer": start}
    x, y = cancer()
    model = dense((30,), *[(24, "sigmoid")] * 3, (1, "sigmoid"), **how)
    return ready(model, _opt.SGD(0.02), _BINARY, x, y, ["accuracy"], epochs=20)


@case("A10", "poor_initialization")
def gru_of_one_unit():
    x, y = sequences()
    y = (np.digitize(y[:, 0], [-0.5, 0.0, 0.5])).astype("int32")
    model = keras.Sequential(
        [keras.Input((30, 1)), layers.GRU(1), layers.Dense(4, "softmax")]
    )
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=15)


@case("A11", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def critic_stands_still():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = data.moons(1280)
    generator = dense((LATENT,), (48, "relu"), (2, None))
    discriminator = dense((2,), (48, "relu"), (1, None))
    model = GAN(generator, discriminator)
    model.compile(_opt.SGD(1e-8), _opt.Adam(1e-2))
    return model, x, None, {"epochs": 25}


@case("02", "output_mismatch")
def relu_for_centred_numbers():
    return numbers(
        _opt.Adam(2e-3), (32, "silu"), (16, "silu"), (1, "relu"), epochs=25
    )


# Healthy ones


@case("A3")
def smoothed_labels():
    x, y = data.clusters()
    y = keras.utils.to_categorical(y, 5)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    model = dense((12,), (48, "relu"), layers.Dropout(0.3), (5, "softmax"))
    return ready(model, _opt.Adam(3e-3), loss, x, y, ["accuracy"], epochs=20)


class Through(layers.Layer):
    """Rounds, and passes the gradient straight through."""

    def call(self, x):
        return x + ops.stop_gradient(ops.round(4 * x) / 4 - x)


@case("A4")
def quantizer_with_straight_through():
    x, _ = digits()
    model = dense(
        (64,), (48, "relu"), (12, "tanh"), Through(), (48, "relu"), (64, None)
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, x, epochs=25)


@case("A4")
def two_outputs_one_loss():
    x, y = data.clusters()
    inputs = keras.Input((12,))
    h = layers.Dense(32, "relu")(inputs)
    main = layers.Dense(5, "softmax", name="main")(h)
    seen = layers.Dense(3, "tanh", name="seen")(h)
    model = keras.Model(inputs, {"main": main, "seen": seen})
    model.compile(_opt.Adam(3e-3), {"main": _SPARSE})
    return model, x, {"main": y}, {"epochs": 20}


@case("A5")
def next_to_no_signal():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2000, 5)).astype("float32")
    y = (x[:, :1] + 3.0 * rng.normal(size=(2000, 1))).astype("float32")
    model = dense((5,), (12, "tanh"), (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=20)


@case("A7")
def pairs_with_a_safe_distance():
    x, _ = data.friedman()
    y = np.zeros((len(x), 1), "float32")
    y[::2] = 1
    other = np.where(y == 1, x + 0.05, x[::-1]).astype("float32")
    inputs = keras.Input((20,))
    tower = dense((10,), (16, "relu"), (4, None))
    gap = tower(inputs[:, :10]) - tower(inputs[:, 10:])
    gap = layers.Lambda(
        lambda g: ops.sqrt(
            ops.sum(ops.square(g), axis=-1, keepdims=True) + 1e-6
        ),
        output_shape=(1,),
    )(gap)
    model = keras.Model(inputs, gap)

    def contrastive(t, d):
        far = ops.square(ops.maximum(1 - d, 0))
        return ops.mean(t * ops.square(d) + (1 - t) * far)

    x = np.concatenate([x, other], axis=1)
    return ready(model, _opt.Adam(2e-3), contrastive, x, y, epochs=15)


@case("A8")
def sparse_autoencoder():
    x, _ = digits()
    code = layers.Dense(
        48, "relu", activity_regularizer=keras.regularizers.L1(1e-5)
    )
    model = dense((64,), code, (64, "sigmoid"))
    return ready(model, _opt.Adam(3e-3), "mse", x, x, epochs=25)


@case("A8")
def warmup_then_cosine():
    rate = _rates.CosineDecay(0.0, 600, warmup_target=5e-3, warmup_steps=60)
    return classes(_opt.Lion(rate), (48, "gelu"), (48, "gelu"), epochs=22)


@case("A9")
def three_in_a_hundred():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4000, 6)).astype("float32")
    y = (x[:, :1] + x[:, 3:4] > 2.7).astype("float32")
    model = dense((6,), (24, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, ["accuracy"], epochs=15)


@case("A10")
def code_of_one_number():
    rng = np.random.default_rng(3)
    t = rng.uniform(-1, 1, (700, 1))
    x = np.concatenate([t, t**3, np.cos(2 * t), 1 - t], axis=1)
    x = x.astype("float32")
    model = dense((4,), (24, "tanh"), (1, "tanh"), (24, "tanh"), (4, None))
    return ready(model, _opt.Adam(5e-3), "mse", x, x, epochs=40)


@case("A11")
def post_norm_with_warmup():
    x, y = data.tokens(900)
    rate = _rates.CosineDecay(0.0, 300, warmup_target=1e-3, warmup_steps=60)
    model = data.transformer(24, 16, 24, 2, before=False)
    return ready(model, _opt.Adam(rate), _BINARY, x, y, ["accuracy"], epochs=13)


@case("A12")
def deep_residual_numbers():
    x, y = data.friedman()
    inputs = keras.Input((10,))
    h = layers.Dense(32)(inputs)
    for _ in range(8):
        inner = layers.LayerNormalization()(h)
        inner = layers.Dense(32, "relu")(inner)
        h = layers.Add()([h, layers.Dense(32)(inner)])
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=20)


@case("A12")
def squared_error_of_one_hot():
    x, y = data.wine()
    y = keras.utils.to_categorical(y, 3)
    model = dense((13,), (24, "relu"), (3, "softmax"))
    fit = {"epochs": 20, "batch_size": 8}
    return ready(model, _opt.Adam(2e-3), "mse", x, y, ["accuracy"], **fit)
