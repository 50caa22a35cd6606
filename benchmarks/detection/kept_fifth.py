"""A fifth set that no rule was made with: programs as beginners write them.

The kinds of faults that questions on public forums are about, on
scikit-learn's data and made-up ones. What is right was written down before any
of them ran. `SICK` and `HEALTHY` as in `kept_sick`; of the point `few` the
right answer is neither healthy nor sick but too few steps to say.
"""

import keras
import numpy as np
from keras import layers
from keras import ops
from keras import regularizers

from detection import kept_data
from detection import third_data
from detection.field_data import cancer
from detection.field_data import circles
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_sick import own
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


def chain(shape, *stack, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


def numbers(optimizer, *stack, factor=1.0, loss=_SPARSE, **fit):
    """Return a net for the digits, of 64 numbers each."""
    x, y = digits()
    model = chain((64,), *stack)
    return ready(model, optimizer, loss, factor * x, y, ["accuracy"], **fit)


def pictures(optimizer, *stack, **fit):
    x, y = digits((8, 8, 1))
    model = chain((8, 8, 1), *stack)
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def wines(raw=False):
    from sklearn import datasets

    x, y = datasets.load_wine(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(x))
    x = x if raw else (x - x.mean(0)) / x.std(0)
    return x[order].astype("float32"), y[order].astype("int32")


def diabetes(raw=False):
    """Return ten standardised numbers and how the illness went (442, 1)."""
    from sklearn import datasets

    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = x / x.std(0), y[:, None]
    y = y if raw else (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")


def irises():
    from sklearn import datasets

    x, y = datasets.load_iris(return_X_y=True)
    order = np.random.default_rng(2).permutation(len(x))
    x = (x - x.mean(0)) / x.std(0)
    return x[order].astype("float32"), y[order].astype("int32")


def houses(count=800, seed=0):
    """Return year, area, rooms and distance of houses and their prices."""
    rng = np.random.default_rng(seed)
    year = rng.integers(1950, 2020, count)
    area = rng.normal(120, 35, count).clip(30)
    rooms, far = rng.integers(1, 7, count), rng.uniform(0, 30, count)
    price = 1800 * area + 9000 * rooms - 4000 * far + 1500 * (year - 1950)
    x = np.stack([year, area, rooms, far], -1).astype("float32")
    return x, (price + 8e4).astype("float32")[:, None]


# Outputs, labels and losses that do not fit


@case("out", "output_mismatch")
def one_sigmoid_for_three_wines():
    x, y = wines()
    model = chain(
        (13,),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=50)


@case("out", "output_mismatch")
def softmax_over_one_unit():
    x, y = cancer()
    model = chain(
        (30,),
        layers.Dense(16, "relu"),
        layers.Dense(8, "relu"),
        layers.Dense(1, "softmax"),
    )
    return ready(model, "rmsprop", _BINARY, x, y, ["accuracy"], epochs=20)


@case("out", "output_mismatch")
def relu_over_gains_and_losses():
    x, y = diabetes()
    model = chain(
        (10,),
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(1, "relu"),
    )
    return ready(model, "adam", "mse", x, y - 0.8, ["mae"], epochs=40)


@case("out", "output_mismatch")
def squared_error_of_numbers_of_digits():
    return numbers(
        _opt.Adam(1e-3),
        layers.Dense(64, "relu"),
        layers.Dense(10, "softmax"),
        loss="mse",
        epochs=15,
    )


@case("out", "output_mismatch", labelled=True, only=["jax"])
def digits_from_one_to_ten():
    x, y = digits((8, 8, 1))
    model = chain(
        (8, 8, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y + 1, ["accuracy"], epochs=12)


@case("out", "output_mismatch", only=["jax", "torch"])
def softmax_twice():
    return numbers(
        _opt.SGD(0.01),
        layers.Dense(32, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(10, "softmax"),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        epochs=10,
    )


@case("out", "output_mismatch")
def logits_without_from_logits():
    return numbers(
        _opt.Adam(1e-3),
        layers.Dense(64, "relu"),
        layers.Dense(10),
        epochs=20,
    )


@case("out", "output_mismatch", "dead_relu")
def relu_before_crossentropy():
    return pictures(
        _opt.Adam(1e-3),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, "relu"),
        epochs=15,
    )


@case("out", "output_mismatch")
def sigmoid_for_raw_progress():
    x, y = diabetes(raw=True)
    model = chain((10,), layers.Dense(32, "relu"), layers.Dense(1, "sigmoid"))
    return ready(model, "adam", "mse", x, y, ["mae"], epochs=50)


@case("out", "output_mismatch")
def softmax_over_the_batch():
    x, y = digits()
    model = chain(
        (64,),
        layers.Dense(48, "relu"),
        layers.Dense(10),
        layers.Softmax(axis=0),
    )
    hot = np.eye(10, dtype="float32")[y]
    return ready(model, "adam", "mse", x, hot, ["accuracy"], epochs=20)


@case("out", "output_mismatch")
def own_huber_broadcasts():
    x, y = diabetes()

    def huber(t, p):
        far = ops.abs(t - p)
        return ops.mean(ops.where(far < 1, 0.5 * far**2, far - 0.5))

    return own(
        huber,
        _opt.Adam(1e-3),
        x,
        y[:, 0],
        layers.Dense(64, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(1),
        epochs=60,
    )


@case("out", "output_mismatch", labelled=True)
def one_fraud_in_a_hundred():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4000, 20)).astype("float32")
    y = (rng.random(4000) < 0.01).astype("float32")[:, None]
    x[:, 0] += 0.7 * y[:, 0]
    model = chain(
        (20,),
        layers.Dense(32, "relu"),
        layers.Dropout(0.3),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=5)


@case("out", "output_mismatch")
def inputs_shuffled_without_labels():
    x, y = digits((8, 8, 1))
    np.random.default_rng(0).shuffle(x)
    model = chain(
        (8, 8, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=15)


# What goes in, and the scale of what should come out


@case("data", "unscaled_data")
def raw_pixels_with_plain_sgd():
    return numbers(
        _opt.SGD(0.01),
        layers.Dense(128, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(10, "softmax"),
        factor=255.0,
        epochs=15,
    )


@case("data", "unscaled_data")
def raw_wines_with_sigmoids():
    x, y = wines(raw=True)
    model = chain(
        (13,),
        layers.Dense(16, "sigmoid"),
        layers.Dense(16, "sigmoid"),
        layers.Dense(3, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=60)


@case("data", "unscaled_data", "output_mismatch")
def house_prices_as_they_are():
    x, y = houses()
    model = chain(
        (4,),
        layers.Normalization(
            mean=x.mean(0), variance=np.square(x.std(0)), axis=-1
        ),
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(1),
    )
    return ready(model, "adam", "mae", x, y, epochs=20)


@case("data", "unscaled_data", "output_mismatch")
def daily_returns():
    x, y = kept_data.friedman(600)
    model = chain((10,), layers.Dense(32, "tanh"), layers.Dense(1))
    return ready(model, _opt.SGD(0.01), "mse", x, 1e-3 * y, epochs=30)


@case("data", "unscaled_data")
def preprocessed_twice():
    x, y = kept_data.stripes(channels=3)

    def preprocess(image):
        return image / 127.5 - 1

    model = chain(
        (12, 12, 3),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, "softmax"),
    )
    x = preprocess(255 * x)
    return ready(model, _opt.SGD(0.01), _SPARSE, x, y, ["accuracy"], epochs=20)


@case("data", "unscaled_data", "output_mismatch")
def divided_as_whole_numbers():
    x, y = digits((8, 8, 1))
    pixels = (254 * x).astype("uint8")
    model = chain(
        (8, 8, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(10, "softmax"),
    )
    x = (pixels // 255).astype("float32")
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=12)


@case("data", "unscaled_data", "output_mismatch")
def noise_drowns_the_picture():
    return pictures(
        _opt.Adam(1e-3),
        layers.Rescaling(0.02),
        layers.GaussianNoise(1.0),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
        epochs=12,
    )


@case("data", "unscaled_data", "saturated_activation", only=["jax"])
def lstm_on_raw_sales_of_300_days():
    x, y = third_data.tones(256, 300)
    model = chain((300, 1), layers.LSTM(32), layers.Dense(4, "softmax"))
    x = 4000 + 1500 * x
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, ["accuracy"], epochs=12)


# Rates, penalties, clips, frozen layers


@case("rate", "update_ratio", "exploding_gradient")
def sgd_rate_of_one():
    return numbers(
        _opt.SGD(1.0, momentum=0.9),
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(10, "softmax"),
        epochs=10,
    )


@case("rate", "update_ratio")
def sgd_rate_of_a_millionth():
    x, y = circles()
    model = chain(
        (2,),
        layers.Dense(16, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, _opt.SGD(1e-6), _BINARY, x, y, ["accuracy"], epochs=40)


@case("rate", "update_ratio")
def rate_a_tenth_each_epoch():
    def rate(epoch, now):
        return now * 0.1

    callback = keras.callbacks.LearningRateScheduler(rate)
    return numbers(
        _opt.SGD(0.05),
        layers.Dense(64, "tanh"),
        layers.Dense(64, "tanh"),
        layers.Dense(10, "softmax"),
        epochs=30,
        callbacks=[callback],
    )


@case("rate", "update_ratio")
def l2_of_one_everywhere():
    heavy = {"kernel_regularizer": regularizers.L2(1.0)}
    return pictures(
        _opt.Adam(1e-3),
        layers.Conv2D(16, 3, activation="relu", **heavy),
        layers.Flatten(),
        layers.Dense(64, "relu", **heavy),
        layers.Dense(10, "softmax", **heavy),
        epochs=15,
    )


@case("rate", "update_ratio")
def dropout_of_95_percent():
    return numbers(
        _opt.Adam(1e-3),
        layers.Dense(32, "relu"),
        layers.Dropout(0.95),
        layers.Dense(32, "relu"),
        layers.Dropout(0.95),
        layers.Dense(32, "relu"),
        layers.Dropout(0.95),
        layers.Dense(10, "softmax"),
        epochs=15,
    )


@case("rate", "clipping")
def clipnorm_of_a_thousandth():
    return numbers(
        _opt.SGD(0.01, clipnorm=1e-3),
        layers.Dense(64, "relu"),
        layers.Dense(10, "softmax"),
        epochs=20,
    )


@case("rate", "frozen_layer")
def frozen_base_without_weights():
    base = chain(
        (64,),
        *[layers.Dense(24, "sigmoid") for _ in range(6)],
    )
    base.trainable = False
    return numbers(
        _opt.Adam(1e-3), base, layers.Dense(10, "softmax"), epochs=12
    )


# Depth, first weights, normalization


@case("deep", "vanishing_gradient")
def ten_sigmoid_layers():
    return numbers(
        _opt.SGD(0.1),
        *[layers.Dense(32, "sigmoid") for _ in range(10)],
        layers.Dense(10, "softmax"),
        epochs=15,
    )


@case("deep", "poor_initialization", "vanishing_gradient")
def forty_tanh_layers_of_small_normals():
    small = keras.initializers.RandomNormal(stddev=0.05)
    x, y = diabetes()
    model = chain(
        (10,),
        *[
            layers.Dense(20, "tanh", kernel_initializer=small.clone())
            for _ in range(40)
        ],
        layers.Dense(1),
    )
    return ready(model, "adam", "mse", x, y, epochs=15)


@case("deep", "poor_initialization")
def zeros_for_a_fair_start():
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    x, y = wines()
    model = chain(
        (13,),
        layers.Dense(32, "tanh", **zeros),
        layers.Dense(32, "tanh", **zeros),
        layers.Dense(3, "softmax", **zeros),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=50)


@case("deep", "poor_initialization", "saturated_activation")
def normals_of_one_in_wide_tanh():
    wide = keras.initializers.RandomNormal
    x, y = kept_data.friedman()
    model = chain(
        (10,),
        *[
            layers.Dense(256, "tanh", kernel_initializer=wide(stddev=1.0))
            for _ in range(4)
        ],
        layers.Dense(1, kernel_initializer=wide(stddev=1.0)),
    )
    return ready(model, _opt.SGD(1e-3), "mse", x, y, epochs=20)


@case("norm", "frozen_layer", "vanishing_gradient", "output_mismatch")
def normalization_of_one_row():
    x, y = irises()
    model = chain(
        (4,),
        layers.Dense(16, "relu"),
        layers.BatchNormalization(),
        layers.Dense(16, "relu"),
        layers.BatchNormalization(),
        layers.Dense(3, "softmax"),
    )
    fit = {"epochs": 10, "batch_size": 1}
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], **fit)


@case("norm", "output_mismatch")
def normalization_after_softmax():
    return numbers(
        _opt.Adam(1e-3),
        layers.Dense(48, "relu"),
        layers.Dense(10, "softmax"),
        layers.BatchNormalization(),
        epochs=15,
    )


@case("deep", "update_ratio", "vanishing_gradient", "oscillating_loss")
def small_vit_at_a_high_rate():
    x, y = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(32, 2, 2)(inputs)
    h = layers.Reshape((16, 32))(h)
    for _ in range(4):
        h = kept_data.Attend(32, before=False)(h)
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, _opt.Adam(0.03), _SPARSE, x, y, ["accuracy"], epochs=6)


# Not a number


@case("nan", "exploding_gradient", "nonfinite_gradient")
def lstm_with_relu():
    x, y = sequences(400, 50)
    model = chain((50, 1), layers.LSTM(48, "relu"), layers.Dense(1))
    x, y = 40 + 20 * x, 40 + 20 * y
    return ready(model, _opt.SGD(0.01), "mse", x, y, epochs=10)


@case("nan", "nonfinite_gradient")
def own_crossentropy_of_log_zero():
    x, y = cancer()

    def entropy(t, p):
        return -ops.mean(t * ops.log(p) + (1 - t) * ops.log(1 - p))

    return own(
        entropy,
        _opt.Adam(0.01),
        30 * x,
        y,
        layers.Dense(32, "relu"),
        layers.Dense(1, "sigmoid"),
        epochs=10,
    )


class Spread(layers.Layer):
    """Hands on each row's mean and standard deviation beside the row."""

    def call(self, x):
        mean = ops.mean(x, axis=-1, keepdims=True)
        spread = ops.sqrt(ops.mean(ops.square(x - mean), -1, keepdims=True))
        return ops.concatenate([x, mean, spread], axis=-1)


@case("nan", "nonfinite_gradient")
def spread_of_equal_numbers():
    x, y = digits()
    x[::50] = 0
    model = chain(
        (64,),
        layers.Dense(24, "relu", use_bias=False),
        Spread(),
        layers.Dense(10, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=8)


@case("nan", "nonfinite_gradient", "unscaled_data")
def standardised_by_a_spread_of_zero():
    x, y = digits()
    with np.errstate(invalid="ignore"):
        x = (x - x.mean(0)) / x.std(0)
    model = chain((64,), layers.Dense(32, "relu"), layers.Dense(10, "softmax"))
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=8)


@case("nan", "nonfinite_gradient", only=["jax"])
def users_counted_from_one():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 51, (900, 1)).astype("int32")
    y = np.sin(x.astype("float32"))
    model = chain(
        (1,),
        layers.Embedding(50, 8),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        layers.Dense(1),
        dtype="int32",
    )
    return ready(model, "adam", "mse", x, y, epochs=10)


@case("nan", "nonfinite_gradient", "update_ratio")
def float16_without_scaling():
    half = {"dtype": "float16"}
    return numbers(
        _opt.Adam(1e-3),
        layers.Dense(64, "relu", **half),
        layers.Dense(64, "relu", **half),
        layers.Dense(10, "softmax", **half),
        epochs=10,
    )


@case("out", "update_ratio", labelled=True, only=["tensorflow", "torch"])
def gan_whose_judge_jumps():
    from detection.gan import GAN
    from detection.gan import LATENT

    x, _ = circles()
    generator = chain(
        (LATENT,), layers.Dense(32, "relu"), layers.Dense(2, "tanh")
    )
    judge = chain((2,), layers.Dense(64, "relu"), layers.Dense(1))
    model = GAN(generator, judge)
    model.compile(_opt.Adam(1.0), _opt.Adam(1e-4))
    return model, x, None, {"epochs": 20}


# Too few steps to say


@case("few")
def two_epochs_of_irises():
    x, y = irises()
    model = chain((4,), layers.Dense(8, "relu"), layers.Dense(3, "softmax"))
    return ready(model, _opt.SGD(1e-3), _SPARSE, x, y, ["accuracy"], epochs=2)


@case("few")
def three_epochs_at_full_batch():
    x, y = diabetes()
    model = chain((10,), layers.Dense(32, "relu"), layers.Dense(1))
    fit = {"epochs": 3, "batch_size": 442}
    return ready(model, "sgd", "mse", x, y, **fit)


# Healthy ones


@case("out")
def narrow_tanh_of_moons():
    x, y = kept_data.moons()
    model = chain(
        (2,),
        layers.Dense(4, "tanh"),
        layers.Dense(4, "tanh"),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, _opt.Adam(0.02), _BINARY, x, y, ["accuracy"], epochs=40)


@case("data")
def noisy_diabetes():
    x, y = diabetes()
    model = chain(
        (10,),
        layers.Dense(16, "relu"),
        layers.Dropout(0.2),
        layers.Dense(1),
    )
    return ready(model, "adam", "mse", x, y, ["mae"], epochs=60)


@case("rate")
def irises_one_by_one():
    x, y = irises()
    model = chain((4,), layers.Dense(10, "relu"), layers.Dense(3, "softmax"))
    fit = {"epochs": 10, "batch_size": 1}
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], **fit)


@case("rate")
def long_past_the_end():
    x, y = cancer()
    model = chain(
        (30,),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=60)


@case("rate")
def frozen_backbone_new_head():
    x, y = digits((8, 8, 1))
    base = chain(
        (8, 8, 1),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Flatten(),
    )
    before = keras.Sequential([base, layers.Dense(10, "softmax")])
    before.compile("adam", _SPARSE)
    before.fit(x[:1000], y[:1000], epochs=4, verbose=0)
    base.trainable = False
    model = chain(
        (8, 8, 1),
        base,
        layers.Dense(24, "relu"),
        layers.Dropout(0.2),
        layers.Dense(10, "softmax"),
    )
    return ready(
        model, "adam", _SPARSE, x[1000:], y[1000:], ["accuracy"], epochs=15
    )


@case("out")
def autoencoder_of_digits():
    x, _ = digits()
    model = chain(
        (64,),
        layers.Dense(32, "relu"),
        layers.Dense(12, "relu"),
        layers.Dense(32, "relu"),
        layers.Dense(64, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, x, epochs=20)


@case("data")
def forty_irises():
    x, y = irises()
    model = chain((4,), layers.Dense(16, "relu"), layers.Dense(3, "softmax"))
    return ready(
        model,
        _opt.Adam(0.01),
        _SPARSE,
        x[:40],
        y[:40],
        ["accuracy"],
        epochs=40,
        batch_size=8,
    )


@case("deep")
def fifteen_tanh_layers():
    return numbers(
        _opt.Adam(1e-3),
        *[layers.Dense(48, "tanh") for _ in range(15)],
        layers.Dense(10, "softmax"),
        epochs=10,
    )


@case("out")
def rare_class_with_weights():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2400, 12)).astype("float32")
    y = (x[:, :3].sum(1) > 2.8).astype("float32")[:, None]
    model = chain(
        (12,),
        layers.Dense(32, "relu"),
        layers.Dense(16, "relu"),
        layers.Dense(1, "sigmoid"),
    )
    fit = {"epochs": 15, "class_weight": {0: 1.0, 1: 15.0}}
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], **fit)


@case("data")
def augmented_stripes():
    x, y = kept_data.stripes(700)
    model = chain(
        (12, 12, 1),
        layers.RandomTranslation(0.1, 0.1),
        layers.GaussianNoise(0.05),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(4, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=15)


@case("seq")
def forecast_of_sines():
    x, y = sequences(500, 24)
    model = chain((24, 1), layers.LSTM(24), layers.Dense(1))
    return ready(model, _opt.Adam(5e-3), "mse", x, y, ["mae"], epochs=15)


@case("deep")
def line_through_diabetes():
    x, y = diabetes()
    model = chain((10,), layers.Dense(1))
    return ready(model, _opt.SGD(0.01), "mse", x, y, ["mae"], epochs=40)


@case("deep")
def no_activation_between():
    x, y = wines()
    model = chain(
        (13,), layers.Dense(16), layers.Dense(16), layers.Dense(3, "softmax")
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=40)


@case("out")
def three_labels_at_once():
    x, _ = kept_data.friedman(800)
    y = np.stack([x[:, 0] > 0, x[:, 1] > 0.3, x[:, 2] + x[:, 3] > 0], -1)
    model = chain((10,), layers.Dense(64, "relu"), layers.Dense(3, "sigmoid"))
    y = y.astype("float32")
    return ready(model, "adam", _BINARY, x, y, ["binary_accuracy"], epochs=25)


@case("norm")
def convolutions_with_everything():
    def block(filters):
        return [
            layers.Conv2D(filters, 3, padding="same", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.25),
        ]

    return pictures(
        _opt.Adam(1e-3),
        *block(16),
        *block(16),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dropout(0.5),
        layers.Dense(10, "softmax"),
        epochs=12,
    )


@case("out")
def squared_error_of_one_hot_digits():
    x, y = digits()
    model = chain((64,), layers.Dense(64, "relu"), layers.Dense(10, "sigmoid"))
    hot = np.eye(10, dtype="float32")[y]
    return ready(model, "adam", "mse", x, hot, ["accuracy"], epochs=20)


@case("data")
def house_prices_in_millions():
    x, y = houses()
    x = (x - x.mean(0)) / x.std(0)
    model = chain(
        (4,),
        layers.Dense(32, "sigmoid"),
        layers.Dense(32, "relu"),
        layers.Dense(1),
    )
    return ready(model, "adam", "mse", x, y / 1e5, ["mae"], epochs=40)


@case("deep")
def forty_layers_with_shortcuts():
    x, y = digits()
    inputs = keras.Input((64,))
    h = layers.Dense(32, "relu")(inputs)
    for _ in range(20):
        inner = layers.LayerNormalization()(h)
        inner = layers.Dense(32, "relu")(inner)
        h = layers.Add()([h, layers.Dense(32)(inner)])
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=8)


@case("seq")
def words_through_a_convolution():
    x, y = third_data.reviews(1000)
    model = chain(
        x.shape[1:],
        layers.Embedding(60, 16),
        layers.Conv1D(32, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(0.3),
        layers.Dense(1, "sigmoid"),
        dtype="int32",
    )
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=20)


@case("rate")
def stops_and_slows_by_validation():
    x, y = kept_data.clusters()
    model = chain(
        (12,),
        layers.Dense(64, "relu"),
        layers.Dense(64, "relu"),
        layers.Dense(5, "softmax"),
    )
    calls = [
        keras.callbacks.ReduceLROnPlateau(patience=3, factor=0.5),
        keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True),
    ]
    return ready(
        model,
        _opt.Adam(3e-3),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=40,
        validation_split=0.2,
        callbacks=calls,
    )
