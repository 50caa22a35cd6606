"""Small networks, each with one fault in one batch."""

import keras
import numpy as np
from keras import ops

BATCH, BATCHES, AT = 8, 12, 9
WIDTH = 4
ROWS = BATCH * BATCHES
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
    """Looks where the input is not zero."""

    def call(self, x, seen):
        scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        scores = ops.where(ops.expand_dims(seen, 1) > 0, scores, -np.inf)
        return ops.matmul(ops.softmax(scores), x)


def _numbers(seed=0, shape=(ROWS, WIDTH)):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, size=shape).astype("float32")


def _row():
    return AT * BATCH + 3


def _net(inputs, outputs, optimizer=None, **compiled):
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(outputs))
    optimizer = optimizer or keras.optimizers.Adam(0.001)
    model.compile(optimizer, "mse", **compiled)
    return model


def _one(layer):
    inputs = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(
        WIDTH, use_bias=False, name="before", kernel_initializer="identity"
    )(inputs)
    hidden = keras.layers.Dropout(0.2, seed=3)(hidden)
    hidden = (
        keras.layers.BatchNormalization(center=False, scale=False, name="norm")(
            hidden
        )
        if layer is None
        else layer(hidden)
    )
    return _net(inputs, hidden)


def data():
    x = _numbers()
    x[_row(), 1] = np.nan
    return _one(None), x


def logarithm():
    x = _numbers()
    x[_row()] = 0
    return _one_without_dropout(Logarithm(name="planted")), x


def root():
    x = _numbers()
    x[_row()] = 0
    return _one_without_dropout(Root(name="planted")), x


def overflow():
    x = _numbers()
    x[_row()] = 400
    return _one(Power(name="planted")), x


def _one_without_dropout(layer):
    inputs = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(
        WIDTH, use_bias=False, name="before", kernel_initializer="identity"
    )(inputs)
    return _net(inputs, layer(hidden))


def index():
    x = np.random.default_rng(1).integers(0, 5, size=(ROWS, 3))
    x[_row(), 2] = 7
    inputs = keras.Input((3,), dtype="int32")
    hidden = keras.layers.Embedding(5, WIDTH, name="planted")(inputs)
    # XLA of TensorFlow takes the last row instead.
    jit = {} if keras.backend.backend() == "jax" else {"jit_compile": False}
    return _net(inputs, keras.layers.Flatten()(hidden), **jit), x


def mask():
    x = _numbers(2, (ROWS, 3, WIDTH))
    seen = np.ones((ROWS, 3), "float32")
    seen[_row()] = 0
    inputs = keras.Input((3, WIDTH)), keras.Input((3,))
    hidden = keras.layers.Dense(WIDTH, name="before")(inputs[0])
    hidden = Attention(name="planted")(hidden, inputs[1])
    hidden = keras.layers.GlobalAveragePooling1D()(hidden)
    return _net(list(inputs), hidden), [x, seen]


# Where it is, what layer and what operation, whether on the way back.
PLANTED = {
    "data": (data, "before", {"matmul"}, False),
    "index": (index, "planted", {"take"}, False),
    "logarithm": (logarithm, "planted", {"log"}, False),
    "root": (root, "planted", {"sqrt"}, True),
    "mask": (mask, "planted", {"softmax"}, False),
    "overflow": (overflow, "planted", {"exp"}, False),
}
Y = _numbers(5, (ROWS, 1))
