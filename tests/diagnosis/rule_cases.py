"""Real sick and healthy networks, recorded with plain JAX.

A twin of the recorder: every step's gradients come straight from
`jax.value_and_grad`, so the rules are tested on real runs without it. Only
imported in a process whose backend is JAX.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import initializers
from keras import layers
from sklearn import datasets

from keras_gradguard import Trace


def leaves(model):
    """Layers that own trainable variables, in forward order."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += leaves(layer)
        elif layer.trainable_variables:
            found.append(layer)
    return found


def describe(layer):
    config = layer.get_config()
    kernels = [list(v.shape) for v in layer.trainable_variables]
    activation = config.get("activation")
    if not isinstance(activation, str):
        activation = None
    return {
        "class": type(layer).__name__,
        "activation": activation,
        "kernel_shapes": [shape for shape in kernels if len(shape) > 1],
    }


def record(model, x, y, optimizer, loss, batch=32, epochs=10, seed=0, **meta):
    """Train and return the trace; `loss` maps (y, prediction) to a scalar."""
    x, y = np.asarray(x, "float32"), np.asarray(y)
    own = leaves(model)
    variables = [v for layer in own for v in layer.trainable_variables]
    assert {id(v) for v in variables} == {
        id(v) for v in model.trainable_variables
    }
    optimizer.build(variables)
    at = {id(v): i for i, v in enumerate(model.trainable_variables)}
    order = [at[id(v)] for v in variables]
    owners = [i for i, a in enumerate(own) for _ in a.trainable_variables]
    steps = max(1, len(x) // batch)
    trace = Trace(
        [layer.path for layer in own],
        [v.path for v in variables],
        owners,
        capacity_bytes=16 * 2**20,
        has_gradient=np.ones(len(variables), bool),
        sizes=[int(np.prod(v.shape)) for v in variables],
        meta={
            "layer_info": {layer.path: describe(layer) for layer in own},
            "epochs_planned": epochs,
            "steps_per_epoch": steps,
            "optimizer": {
                "class": type(optimizer).__name__,
                "learning_rate": float(optimizer.learning_rate),
            },
            **meta,
        },
    )

    def norm(a):
        return jnp.sqrt(jnp.sum(jnp.square(a.astype("float32"))))

    def one(state, data):
        weights, rest, slots = state
        xb, yb = data

        def compute(weights):
            out, new = model.stateless_call(weights, rest, xb, training=True)
            return loss(yb, out), new

        (value, new), grads = jax.value_and_grad(compute, has_aux=True)(weights)
        old = [weights[i] for i in order]
        fresh, slots = optimizer.stateless_apply(
            slots, [grads[i] for i in order], old
        )
        row = (
            jnp.stack([norm(grads[i]) for i in order]),
            jnp.stack([norm(w) for w in old]),
            jnp.stack([norm(a - b) for a, b in zip(fresh, old, strict=True)]),
            value,
        )
        back = dict(zip(order, fresh, strict=True))
        return ([back[i] for i in range(len(order))], new, slots), row

    run = jax.jit(lambda state, data: jax.lax.scan(one, state, data))
    state = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in optimizer.variables],
    )
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        pick = rng.permutation(len(x))[: steps * batch].reshape(steps, -1)
        state, rows = run(state, (x[pick], y[pick]))
        grads, weights, updates, values = (np.asarray(r) for r in rows)
        index = np.arange(epoch * steps, (epoch + 1) * steps)
        trace.append(index, grads, extra={"loss": values})
        take = slice(None, None, max(1, steps // 8))
        trace.append_updates(index[take], weights[take], updates[take])
        trace.append_epoch(epoch, index[-1], {"loss": values.mean()})
    return trace


def binary(y, out):
    out = jnp.clip(jnp.reshape(out, (-1,)), 1e-7, 1 - 1e-7)
    y = jnp.reshape(y, (-1,))
    return -jnp.mean(y * jnp.log(out) + (1 - y) * jnp.log(1 - out))


def squared(y, out):
    return jnp.mean((jnp.reshape(y, out.shape) - out) ** 2)


def categorical(y, out):
    picked = jnp.take_along_axis(out, y[:, None].astype(int), axis=1)
    return -jnp.mean(jnp.log(jnp.clip(picked, 1e-7, 1)))


def circles():
    x, y = datasets.make_circles(n_samples=1000, noise=0.1, random_state=1)
    low, high = x.min(0), x.max(0)
    return (2 * (x - low) / (high - low) - 1)[:500], y[:500].astype("float32")


def moons():
    x, y = datasets.make_moons(n_samples=250, noise=0.05, random_state=42)
    return x, y.astype("float32")


def dense_net(size, hidden, outputs=1, last="sigmoid"):
    """`hidden` is a list of (units, activation, initializer)."""
    stack = [keras.Input((size,))]
    stack += [
        layers.Dense(u, activation=a, kernel_initializer=k or "glorot_uniform")
        for u, a, k in hidden
    ]
    return keras.Sequential([*stack, layers.Dense(outputs, activation=last)])


def circles_sick(seed, epochs=40):
    stack = [keras.Input((2,))]
    stack += [
        layers.Dense(
            5,
            activation="tanh",
            kernel_initializer=initializers.RandomUniform(0, 1),
        )
        for _ in range(5)
    ]
    stack += [
        layers.Dense(
            1,
            activation="sigmoid",
            kernel_initializer=initializers.RandomUniform(0, 1),
        )
        for _ in range(2)
    ]
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    return record(
        keras.Sequential(stack), *circles(), sgd, binary, 32, epochs, seed
    )


def circles_healed(seed, epochs=60):
    model = dense_net(2, [(5, "relu", "he_uniform")] * 5)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    return record(model, *circles(), sgd, binary, 32, epochs, seed)


def moons_sick(seed, epochs=40):
    model = dense_net(2, [(10, "sigmoid", None)] * 9)
    return record(
        model, *moons(), keras.optimizers.Adam(), binary, 32, epochs, seed
    )


def moons_relu(seed, epochs=60):
    model = dense_net(2, [(10, "relu", None)] * 9)
    return record(
        model, *moons(), keras.optimizers.Adam(), binary, 32, epochs, seed
    )


def moons_two_sigmoid(seed, epochs=100):
    model = dense_net(2, [(10, "sigmoid", None)] * 2)
    return record(
        model, *moons(), keras.optimizers.Adam(), binary, 32, epochs, seed
    )


def regression(seed, scaled, epochs=20):
    x, y = datasets.make_regression(
        400, 20, noise=0.1, random_state=seed, effective_rank=None
    )
    y = (y - y.mean()) / y.std() if scaled else y * 50 + 2000
    model = dense_net(20, [(25, "relu", "he_uniform")] * 2, last=None)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    return record(model, x, y.astype("float32"), sgd, squared, 32, epochs, seed)


def regression_sick(seed):
    return regression(seed, scaled=False)


def regression_healed(seed):
    return regression(seed, scaled=True)


def plain50(seed, activation="sigmoid", epochs=30):
    model = dense_net(2, [(10, activation, None)] * 50)
    return record(
        model, *moons(), keras.optimizers.SGD(0.1), binary, 32, epochs, seed
    )


def plain50_tanh(seed):
    small = initializers.RandomNormal(stddev=0.15)
    model = dense_net(2, [(10, "tanh", small.clone()) for _ in range(50)])
    return record(
        model, *moons(), keras.optimizers.Adam(), binary, 32, 30, seed
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
    return record(model, x, y, adam, categorical, 32, epochs, seed)


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
    return record(
        model,
        *sequences(seed),
        keras.optimizers.Adam(),
        binary,
        32,
        epochs,
        seed,
    )


def rnn_sick(seed):
    return recurrent(
        seed, layers.SimpleRNN, recurrent_initializer="glorot_uniform"
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
    return record(
        model,
        *sequences(seed),
        keras.optimizers.Adam(),
        binary,
        32,
        epochs,
        seed,
    )


def lstm(seed):
    return recurrent(seed, layers.LSTM)


def gru(seed):
    return recurrent(seed, layers.GRU)


def deep_tanh(seed, epochs=100):
    model = dense_net(2, [(10, "tanh", None)] * 10)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    return record(model, *moons(), sgd, binary, 32, epochs, seed)


def batch_one(seed, epochs=10):
    model = dense_net(2, [(8, "relu", "he_normal")] * 3)
    return record(
        model, *moons(), keras.optimizers.Adam(), binary, 1, epochs, seed
    )


def narrow_relu(seed, epochs=60):
    model = dense_net(2, [(5, "relu", "he_uniform")] * 6)
    adam = keras.optimizers.Adam(0.005)
    return record(model, *moons(), adam, binary, 32, epochs, seed)


def converged(seed, epochs=400):
    model = dense_net(2, [(32, "relu", "he_normal")] * 3)
    adam = keras.optimizers.Adam(0.005)
    return record(model, *moons(), adam, binary, 32, epochs, seed)


def random_labels(seed, epochs=60):
    x, y = moons()
    y = np.random.default_rng(seed).permutation(y)
    model = dense_net(2, [(8, "relu", "he_normal")] * 3)
    return record(
        model, x, y, keras.optimizers.Adam(), binary, 32, epochs, seed
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
    return record(
        keras.Model(inputs, outputs),
        x / 16,
        y,
        adam,
        categorical,
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
    return record(
        keras.Model(inputs, outputs), x, y, adam, categorical, 32, epochs, seed
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
    return record(new, x / 16, y, adam, categorical, 32, epochs, seed)


def autoencoder(seed, epochs=10):
    x, _ = datasets.load_digits(return_X_y=True)
    model = dense_net(
        64, [(32, "relu", None), (8, None, None), (32, "relu", None)], 64
    )
    adam = keras.optimizers.Adam()
    return record(model, x / 16, x / 16, adam, squared, 32, epochs, seed)


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


def make(name, seed):
    keras.utils.set_random_seed(seed)
    keras.backend.clear_session()
    if name in SICK:
        return SICK[name][0](seed)
    return {**OPEN, **HEALTHY}[name](seed)
