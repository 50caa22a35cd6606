"""Fourteen programs with dead units, each with its corrected twin.

Dead by their biases, by their draw or by steps too large; in dense layers,
convolutions, behind normalizations, as a layer of their own, in nested and
subclassed models, beside a leaky ReLU. `SICK` and `right` as in `kept_pasted`.
"""

import keras
from keras import layers

from detection import fourth_data
from detection import kept_data
from detection import third_data
from detection.field_data import cancer
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import waves
from detection.kept_third import chain

SICK: dict = {}
_opt = keras.optimizers
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
_DEAD = ("dead_relu", "poor_initialization", "vanishing_gradient")
_FAST = (*_DEAD, "update_ratio", "exploding_gradient")


def case(point, *rules):
    def keep(function):
        SICK[function.__name__] = (point, rules, function)
        return function

    return keep


def low(far, right):
    """Return where biases start: far below zero, or at it."""
    return keras.initializers.Constant(0.0 if right else -far)


@case("deep", *_DEAD)
def dense_biases_of_minus_eight(right=False):
    x, y = kept_data.clusters()
    how = {"bias_initializer": low(8.0, right)}
    model = chain(
        (12,),
        layers.Dense(48, "relu", **how),
        layers.Dense(32, "relu", **how),
        layers.Dense(5, "softmax"),
    )
    rate = _opt.Adam(2e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=15)


@case("deep", *_DEAD)
def filters_below_zero(right=False):
    x, y = third_data.shapes()
    model = chain(
        x.shape[1:],
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(
            24, 3, strides=2, activation="relu", bias_initializer=low(6, right)
        ),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, "softmax"),
    )
    rate = _opt.Adam(3e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=27)


@case("deep", *_DEAD)
def shifted_behind_a_normalization(right=False):
    x, y = digits()
    model = chain(
        (64,),
        layers.Dense(48, use_bias=False),
        layers.BatchNormalization(beta_initializer=low(7.0, right)),
        layers.ReLU(),
        layers.Dense(32, use_bias=False),
        layers.BatchNormalization(beta_initializer=low(7.0, right)),
        layers.Activation("relu"),
        layers.Dense(10, "softmax"),
    )
    rate = _opt.SGD(0.05, momentum=0.9)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=10)


@case("rate", *_FAST)
def branches_die_of_the_rate(right=False):
    x, y = third_data.flats()
    inputs = keras.Input((6,))
    left = layers.Dense(32, "relu", name="left")(inputs)
    other = layers.Dense(32, "relu", name="other")(inputs)
    h = layers.Concatenate()([left, other])
    h = layers.Dense(32, "relu", name="joined")(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    rate = _opt.SGD(0.02 if right else 3.0, clipnorm=1.0)
    return ready(model, rate, "mse", x, y, epochs=20)


class Tower(keras.Model):
    """Three layers with ReLU and an output."""

    def __init__(self, start, objects=False):
        super().__init__()
        kind = None if objects else "relu"
        self.body = [
            layers.Dense(40, kind, bias_initializer=start) for _ in range(3)
        ]
        self.bends = [layers.ReLU() if objects else None for _ in range(3)]
        self.head = layers.Dense(1)

    def call(self, x):
        for layer, bend in zip(self.body, self.bends, strict=True):
            x = layer(x)
            if bend is not None:
                x = bend(x)
        return self.head(x)


@case("deep", *_DEAD)
def subclassed_tower_starts_dead(right=False):
    x, y = waves()
    model = Tower(low(5.0, right))
    model(x[:1])
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=20)


@case("deep", *_DEAD)
def subclassed_tower_with_relu_layers(right=False):
    x, y = third_data.flats()
    model = Tower(low(9.0, right), objects=True)
    model(x[:1])
    return ready(model, _opt.RMSprop(1e-3), "mae", x, y, epochs=20)


@case("deep", *_DEAD)
def dead_before_a_leaky_one(right=False):
    x, y = fourth_data.shells()
    model = chain(
        (4,),
        layers.Dense(48, "relu", bias_initializer=low(10, right), name="dead"),
        layers.Dense(32, name="plain"),
        layers.LeakyReLU(negative_slope=0.1),
        layers.Dense(3, "softmax"),
    )
    rate = _opt.Adam(3e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("deep", *_DEAD)
def relu_layer_behind_low_biases(right=False):
    x, y = cancer()
    inputs = keras.Input((30,))
    h = layers.Dense(32, bias_initializer=low(20.0, right))(inputs)
    h = layers.ReLU(max_value=6.0)(h)
    h = layers.Dropout(0.2)(h)
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    rate = _opt.Adam(2e-3)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=28)


@case("rate", *_FAST)
def convolutions_die_of_adam(right=False):
    x, y = kept_data.stripes()
    model = chain(
        (12, 12, 1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dense(4, "softmax"),
    )
    rate = _opt.Adam(2e-3 if right else 1.0)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("deep", *_DEAD)
def weights_all_below_zero(right=False):
    x, y = digits()
    start = keras.initializers.RandomUniform(-0.3, 0.0)
    how = {} if right else {"kernel_initializer": start}
    model = chain(
        (64,),
        layers.Dense(48, "relu", **how),
        layers.Dense(24, "relu"),
        layers.Dense(10, "softmax"),
    )
    rate = _opt.Adam(2e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=10)


@case("deep", *_DEAD)
def nested_encoder_is_dead(right=False):
    x, y = third_data.machines()
    encoder = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.Conv1D(
                16, 5, activation="relu", bias_initializer=low(12.0, right)
            ),
            layers.GlobalAveragePooling1D(),
        ],
        name="encoder",
    )
    inputs = keras.Input(x.shape[1:])
    h = layers.Dense(16, "relu", name="behind")(encoder(inputs))
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=23)


@case("deep", *_DEAD)
def each_step_through_a_dead_layer(right=False):
    x, y = kept_data.walks()
    inner = layers.Dense(24, "relu", bias_initializer=low(15.0, right))
    model = chain(
        x.shape[1:],
        layers.TimeDistributed(inner),
        layers.GRU(12),
        layers.Dense(1, "sigmoid"),
    )
    rate = _opt.Adam(3e-3)
    return ready(model, rate, _BINARY, x, y, ["accuracy"], epochs=27)


@case("deep", *_DEAD)
def separable_ones_of_relu6(right=False):
    x, y = fourth_data.patches()
    how = {"activation": "relu6", "bias_initializer": low(30.0, right)}
    model = chain(
        x.shape[1:],
        layers.Rescaling(1 / 127.5, -1),
        layers.SeparableConv2D(24, 3, padding="same", **how),
        layers.SeparableConv2D(32, 3, strides=2, **how),
        layers.Flatten(),
        layers.Dense(6, "softmax"),
    )
    rate = _opt.Adam(3e-3)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=27)


@case("rate", *_FAST)
def momentum_of_a_deep_stack(right=False):
    x, y = digits()
    model = chain(
        (64,),
        *(layers.Dense(32, "relu") for _ in range(5)),
        layers.Dense(10, "softmax"),
    )
    rate = _opt.SGD(0.02 if right else 2.0, momentum=0.9)
    return ready(model, rate, _SPARSE, x, y, ["accuracy"], epochs=10)
