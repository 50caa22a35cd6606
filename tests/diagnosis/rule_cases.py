"""Real sick and healthy networks: models and data, not yet trained.

`tape.record` trains one with a plain JAX loop, `fit` with `model.fit` under a
`GradientMonitor`, on the backend of the process.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import initializers
from keras import layers
from sklearn import datasets

from keras_gradguard import GradientMonitor
from keras_gradguard.demo import cases

LOSSES = {
    "binary": "binary_crossentropy",
    "categorical": "sparse_categorical_crossentropy",
    "squared": "mean_squared_error",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What `fit` and the tape need to train a network.

    `loss` is a key of `LOSSES`.
    """

    model: Any
    x: Any
    y: Any
    optimizer: Any
    loss: str
    batch: int = 32
    epochs: int = 10
    seed: int = 0


def fit(case, **arguments):
    """Train as users do; return the monitor and the history."""
    case.model.compile(case.optimizer, LOSSES[case.loss])
    monitor = GradientMonitor(**{"verbose": 0, **arguments})
    history = case.model.fit(
        np.asarray(case.x, "float32"),
        case.y,
        batch_size=case.batch,
        epochs=case.epochs,
        verbose=0,
        callbacks=[monitor],
    )
    return monitor, history.history


def dense_net(size, hidden, outputs=1, last="sigmoid"):
    """`hidden` is a list of (units, activation, initializer)."""
    stack = [keras.Input((size,))]
    stack += [
        layers.Dense(u, activation=a, kernel_initializer=k or "glorot_uniform")
        for u, a, k in hidden
    ]
    return keras.Sequential([*stack, layers.Dense(outputs, activation=last)])


def demo_case(name, epochs, seed):
    """Return a case of `python -m keras_gradguard demo`."""
    (case,) = [
        c for both in cases.CASES.values() for c in both if c.name == name
    ]
    model = case.build()
    x, y = case.data()
    return Case(model, x, y, model.optimizer, "binary", 32, epochs, seed)


def circles_sick(seed, epochs=40):
    return demo_case("circles_sick", epochs, seed)


def circles_healed(seed, epochs=60):
    return demo_case("circles_healed", epochs, seed)


def moons_sick(seed, epochs=40):
    return demo_case("moons_sick", epochs, seed)


def moons_relu(seed, epochs=60):
    return demo_case("moons_relu", epochs, seed)


def moons_two_sigmoid(seed, epochs=100):
    return demo_case("moons_two_sigmoid", epochs, seed)


def regression(seed, scaled, epochs=20):
    x, y = datasets.make_regression(
        400, 20, noise=0.1, random_state=seed, effective_rank=None
    )
    y = (y - y.mean()) / y.std() if scaled else y * 50 + 2000
    model = dense_net(20, [(25, "relu", "he_uniform")] * 2, last=None)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    return Case(model, x, y.astype("float32"), sgd, "squared", 32, epochs, seed)


def regression_sick(seed, epochs=20):
    return regression(seed, scaled=False, epochs=epochs)


def regression_healed(seed, epochs=20):
    return regression(seed, scaled=True, epochs=epochs)


def plain50(seed, activation="sigmoid", epochs=30):
    model = dense_net(2, [(10, activation, None)] * 50)
    return Case(
        model,
        *cases.moons(),
        keras.optimizers.SGD(0.1),
        "binary",
        32,
        epochs,
        seed,
    )


def plain50_tanh(seed, epochs=30):
    small = initializers.RandomNormal(stddev=0.15)
    model = dense_net(2, [(10, "tanh", small.clone()) for _ in range(50)])
    return Case(
        model,
        *cases.moons(),
        keras.optimizers.Adam(),
        "binary",
        32,
        epochs,
        seed,
    )


def digits_cnn(seed, epochs=6):
    x, y = datasets.load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1) / 16.0
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(16, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    adam = keras.optimizers.Adam()
    return Case(model, x, y, adam, "categorical", 32, epochs, seed)


def sequences(seed, count=256, length=200):
    """The class is the sign of the first value: 200 steps to remember."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, length, 1)).astype("float32")
    return x, (x[:, 0, 0] > 0).astype("float32")


def recurrent(seed, cell, epochs=15, **kwargs):
    model = keras.Sequential(
        [
            keras.Input((200, 1)),
            cell(16, **kwargs),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    return Case(
        model,
        *sequences(seed),
        keras.optimizers.Adam(),
        "binary",
        32,
        epochs,
        seed,
    )


def rnn_sick(seed, epochs=15):
    return recurrent(
        seed, layers.SimpleRNN, epochs, recurrent_initializer="glorot_uniform"
    )


def rnn_sick_deep(seed, epochs=15):
    model = keras.Sequential(
        [
            keras.Input((200, 1)),
            layers.SimpleRNN(16, return_sequences=True),
            layers.SimpleRNN(16),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    return Case(
        model,
        *sequences(seed),
        keras.optimizers.Adam(),
        "binary",
        32,
        epochs,
        seed,
    )


def lstm(seed, epochs=15):
    return recurrent(seed, layers.LSTM, epochs)


def gru(seed, epochs=15):
    return recurrent(seed, layers.GRU, epochs)


def deep_tanh(seed, epochs=100):
    model = dense_net(2, [(10, "tanh", None)] * 10)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    return Case(model, *cases.moons(), sgd, "binary", 32, epochs, seed)


def batch_one(seed, epochs=10):
    model = dense_net(2, [(8, "relu", "he_normal")] * 3)
    return Case(
        model,
        *cases.moons(),
        keras.optimizers.Adam(),
        "binary",
        1,
        epochs,
        seed,
    )


def narrow_relu(seed, epochs=60):
    model = dense_net(2, [(5, "relu", "he_uniform")] * 6)
    adam = keras.optimizers.Adam(0.005)
    return Case(model, *cases.moons(), adam, "binary", 32, epochs, seed)


def converged(seed, epochs=400):
    model = dense_net(2, [(32, "relu", "he_normal")] * 3)
    adam = keras.optimizers.Adam(0.005)
    return Case(model, *cases.moons(), adam, "binary", 32, epochs, seed)


def random_labels(seed, epochs=60):
    x, y = cases.moons()
    y = np.random.default_rng(seed).permutation(y)
    model = dense_net(2, [(8, "relu", "he_normal")] * 3)
    return Case(
        model, x, y, keras.optimizers.Adam(), "binary", 32, epochs, seed
    )


def residual(seed, epochs=6):
    x, y = datasets.load_digits(return_X_y=True)
    inputs = keras.Input((64,))
    h = layers.Dense(32)(inputs)
    for _ in range(12):
        r = layers.BatchNormalization()(h)
        r = layers.Dense(32, activation="relu")(r)
        r = layers.Dense(32, kernel_initializer="zeros")(r)
        h = layers.Add()([h, r])
    h = layers.LayerNormalization()(h)
    outputs = layers.Dense(10, activation="softmax")(h)
    adam = keras.optimizers.Adam()
    return Case(
        keras.Model(inputs, outputs),
        x / 16,
        y,
        adam,
        "categorical",
        32,
        epochs,
        seed,
    )


def transformer(seed, epochs=6):
    x, y = datasets.load_digits(return_X_y=True)
    inputs = keras.Input((64,))
    h = layers.Embedding(17, 16)(inputs)
    h = layers.Reshape((8, 128))(h)
    h = layers.Dense(32)(h)
    for _ in range(2):
        r = layers.LayerNormalization()(h)
        h = layers.Add()([h, layers.MultiHeadAttention(4, 8)(r, r)])
        r = layers.LayerNormalization()(h)
        r = layers.Dense(64, activation="gelu")(r)
        h = layers.Add()([h, layers.Dense(32)(r)])
    h = layers.GlobalAveragePooling1D()(h)
    outputs = layers.Dense(10, activation="softmax")(h)
    adam = keras.optimizers.Adam()
    return Case(
        keras.Model(inputs, outputs),
        x,
        y,
        adam,
        "categorical",
        32,
        epochs,
        seed,
    )


def finetune(seed, frozen, epochs=20):
    x, y = datasets.load_digits(return_X_y=True)
    body = keras.Sequential(
        [keras.Input((64,))]
        + [layers.Dense(32, activation="relu") for _ in range(4)]
    )
    head = layers.Dense(10, activation="softmax")
    whole = keras.Sequential([keras.Input((64,)), body, head])
    whole.compile("adam", "sparse_categorical_crossentropy")
    whole.fit(x / 16, y % 5, epochs=5, verbose=0)
    body.trainable = not frozen
    new = keras.Sequential(
        [keras.Input((64,)), body, layers.Dense(10, activation="softmax")]
    )
    adam = keras.optimizers.Adam(1e-3 if frozen else 1e-4)
    return Case(new, x / 16, y, adam, "categorical", 32, epochs, seed)


def autoencoder(seed, epochs=10):
    x, _ = datasets.load_digits(return_X_y=True)
    model = dense_net(
        64, [(32, "relu", None), (8, None, None), (32, "relu", None)], 64
    )
    adam = keras.optimizers.Adam()
    return Case(model, x / 16, x / 16, adam, "squared", 32, epochs, seed)


SICK = {
    "circles_sick": (circles_sick, "vanishing_gradient"),
    "moons_sick": (moons_sick, "vanishing_gradient"),
    "regression_sick": (regression_sick, "exploding_gradient"),
    "plain50": (plain50, "vanishing_gradient"),
    "plain50_tanh": (plain50_tanh, "vanishing_gradient"),
}
OPEN = {"rnn_sick": rnn_sick, "rnn_sick_deep": rnn_sick_deep}
HEALTHY = {
    "circles_healed": circles_healed,
    "moons_relu": moons_relu,
    "moons_two_sigmoid": moons_two_sigmoid,
    "regression_healed": regression_healed,
    "digits_cnn": digits_cnn,
    "lstm": lstm,
    "gru": gru,
    "deep_tanh": deep_tanh,
    "batch_one": batch_one,
    "narrow_relu": narrow_relu,
    "converged": converged,
    "random_labels": random_labels,
    "residual": residual,
    "transformer": transformer,
    "frozen_backbone": lambda seed: finetune(seed, True),
    "finetuned": lambda seed: finetune(seed, False),
    "autoencoder": autoencoder,
}


def make(name, seed, **arguments):
    """Build a case from its seed, `epochs=` may be passed on."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    if name in SICK:
        return SICK[name][0](seed, **arguments)
    return {**OPEN, **HEALTHY}[name](seed, **arguments)
