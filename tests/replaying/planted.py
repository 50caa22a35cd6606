"""Small networks, each with one fault in one batch."""

import keras
import numpy as np
from keras import ops

BATCH, BATCHES, AT, WIDTH = 8, 12, 9, 4
ROWS = BATCH * BATCHES
ROW = AT * BATCH + 3
package = keras.saving.register_keras_serializable("tests.planted")


@package
class Logarithm(keras.layers.Layer):
    def call(self, x):
        return ops.log(ops.abs(x))


@package
class Root(keras.layers.Layer):
    def call(self, x):
        return ops.sqrt(ops.square(x))


@package
class Power(keras.layers.Layer):
    def call(self, x):
        return ops.exp(x)


@package
class Attention(keras.layers.Layer):
    """Looks where it may."""

    def call(self, x, seen):
        scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        # Infinity that the code wants is no fault.
        scores = ops.where(ops.expand_dims(seen, 1) > 0, scores, -np.inf)
        return ops.matmul(ops.softmax(scores), x)


def numbers(seed=0, shape=(ROWS, WIDTH)):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, size=shape).astype("float32")


def net(inputs, hidden, rule=None, **compiled):
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(hidden))
    rule = rule or keras.optimizers.SGD(0.001)
    model.compile(rule, "mse", **compiled)
    return model


def with_layer(*layers, rule=None):
    inputs = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(
        WIDTH, use_bias=False, name="before", kernel_initializer="identity"
    )(inputs)
    for layer in layers:
        hidden = layer(hidden)
    return net(inputs, hidden, rule)


def data(rule=None):
    x = numbers()
    x[ROW, 1] = np.nan
    # Draws, and averages, that a replay has to repeat.
    return with_layer(
        keras.layers.Dropout(0.2, seed=3),
        keras.layers.BatchNormalization(center=False, scale=False),
        rule=rule,
    ), x


def data_and_moments():
    """As `data`, with an optimizer whose own state has to be repeated."""
    return data(keras.optimizers.Adam(0.001))


def logarithm():
    x = numbers()
    x[ROW] = 0
    return with_layer(Logarithm(name="planted")), x


def root():
    x = numbers()
    x[ROW] = 0
    return with_layer(Root(name="planted")), x


def overflow():
    x = numbers()
    x[ROW] = 400
    return with_layer(Power(name="planted")), x


def index():
    x = np.random.default_rng(1).integers(0, 5, size=(ROWS, 3))
    x[ROW, 2] = 7
    inputs = keras.Input((3,), dtype="int32")
    hidden = keras.layers.Embedding(5, WIDTH, name="planted")(inputs)
    # XLA of TensorFlow takes the last row instead.
    jit = {} if keras.backend.backend() == "jax" else {"jit_compile": False}
    return net(inputs, keras.layers.Flatten()(hidden), **jit), x


def mask():
    x = numbers(2, (ROWS, 3, WIDTH))
    seen = np.ones((ROWS, 3), "float32")
    seen[ROW] = 0
    inputs = [keras.Input((3, WIDTH)), keras.Input((3,))]
    hidden = keras.layers.Dense(WIDTH, name="before")(inputs[0])
    hidden = Attention(name="planted")(hidden, inputs[1])
    return net(inputs, keras.layers.GlobalAveragePooling1D()(hidden)), [x, seen]


# Model and data, layer, operation, whether it is its slope.
PLANTED = {
    "data": (data_and_moments, "before", "matmul", False),
    "index": (index, "planted", "take", False),
    "logarithm": (logarithm, "planted", "log", False),
    "root": (root, "planted", "sqrt", True),
    "mask": (mask, "planted", "softmax", False),
    "overflow": (overflow, "planted", "exp", False),
}
Y = numbers(5, (ROWS, 1))


def plain():
    """Return a model without a fault."""
    keras.utils.set_random_seed(2)
    return with_layer()


def fit(model, x, y=Y, *callbacks, **arguments):
    arguments = {"batch_size": BATCH, "shuffle": False, **arguments}
    return model.fit(x, y, verbose=0, callbacks=list(callbacks), **arguments)
