"""Programs as books, examples and model zoos have them, which learn.

Written from memory, on scikit-learn's data or made-up ones, before any rule
saw them. `HEALTHY` maps a name to (point, program); the point says the kind.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import kept_data as data
from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_data import waves
from detection.usual_layers import Block
from detection.usual_layers import ClassToken
from detection.usual_layers import Places
from detection.usual_layers import Sampling
from detection.usual_layers import Sine
from detection.usual_layers import conv_bn
from detection.usual_layers import inverted

HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def usual(point):
    def keep(function):
        HEALTHY[function.__name__] = (point, function)
        return function

    return keep


@usual("image")
def mnist_convnet():
    x, y = digits((8, 8, 1))
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, "softmax"),
        ]
    )
    y = keras.utils.to_categorical(y, 10)
    return ready(
        model,
        "adam",
        "categorical_crossentropy",
        x,
        y,
        ["accuracy"],
        batch_size=64,
        epochs=10,
        validation_split=0.1,
    )


@usual("image")
def resnet_with_batchnorm():
    x, y = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = conv_bn(inputs, 16)
    for width, stride in ((16, 1), (32, 2)):
        rest = h
        h = conv_bn(h, width, stride)
        h = layers.Conv2D(width, 3, padding="same", use_bias=False)(h)
        h = layers.BatchNormalization()(h)
        if stride > 1:
            rest = layers.Conv2D(width, 1, strides=stride)(rest)
        h = layers.ReLU()(layers.Add()([h, rest]))
    h = layers.GlobalAveragePooling2D()(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(
        model,
        _opt.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        batch_size=64,
        epochs=15,
        validation_split=0.15,
    )


@usual("image")
def mobile_blocks():
    x, y = data.stripes(600)
    inputs = keras.Input(x.shape[1:])
    h = conv_bn(inputs, 16, activation="silu")
    h = inverted(h, 16, 4)
    h = inverted(h, 24, 4, 2)
    h = inverted(h, 24, 4)
    h = conv_bn(h, 64, size=1, activation="silu")
    h = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    return ready(
        model,
        _opt.Adam(1e-3),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        batch_size=32,
        epochs=10,
    )


@usual("image")
def vision_transformer():
    x, y = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = layers.Rescaling(2, -1)(inputs)
    h = layers.Conv2D(32, 2, strides=2)(h)
    h = layers.Reshape((16, 32))(h)
    h = ClassToken()(h)
    for _ in range(3):
        h = Block(32, 4)(h)
    h = layers.LayerNormalization()(h)
    model = keras.Model(inputs, layers.Dense(10)(h[:, 0]))
    return ready(
        model,
        _opt.AdamW(1e-3, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        x,
        y,
        ["accuracy"],
        batch_size=64,
        epochs=12,
    )


@usual("image")
def mlp_mixer():
    x, y = digits((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    h = layers.Reshape((16, 32))(layers.Conv2D(32, 2, strides=2)(inputs))
    for _ in range(2):
        across = layers.Permute((2, 1))(layers.LayerNormalization()(h))
        across = layers.Dense(32, "gelu")(across)
        h = h + layers.Permute((2, 1))(layers.Dense(16)(across))
        inner = layers.Dense(64, "gelu")(layers.LayerNormalization()(h))
        h = h + layers.Dense(32)(inner)
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, epochs=7)


@usual("image")
def unet_with_rare_mask():
    x, y = blobs(300, blank=0.7)
    inputs = keras.Input((16, 16, 1))
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    b = layers.MaxPooling2D()(a)
    b = layers.Conv2D(16, 3, padding="same", activation="relu")(b)
    c = layers.MaxPooling2D()(b)
    c = layers.Conv2D(32, 3, padding="same", activation="relu")(c)
    up = layers.Conv2DTranspose(16, 2, 2)(c)
    up = layers.Concatenate()([up, b])
    up = layers.Conv2D(16, 3, padding="same", activation="relu")(up)
    up = layers.Concatenate()([layers.Conv2DTranspose(8, 2, 2)(up), a])
    up = layers.Conv2D(8, 3, padding="same", activation="relu")(up)
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(up))
    return ready(
        model, _opt.Adam(2e-3), _BINARY, x, y, batch_size=16, epochs=12
    )


@usual("autoencoder")
def dense_autoencoder():
    x, _ = digits()
    model = dense(
        (64,), (32, "relu"), (12, "relu"), (32, "relu"), (64, "sigmoid")
    )
    return ready(model, "adam", _BINARY, x, x, epochs=7)


@usual("autoencoder")
def sparse_autoencoder():
    x, _ = digits()
    l1 = keras.regularizers.L1(1e-5)
    model = dense(
        (64,),
        layers.Dense(48, "relu", activity_regularizer=l1),
        (64, "sigmoid"),
    )
    return ready(model, "adam", _BINARY, x, x, epochs=7)


@usual("autoencoder")
def denoising_convolutions():
    x, _ = digits((8, 8, 1))
    noisy = x + 0.3 * np.random.default_rng(0).normal(size=x.shape)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2DTranspose(
                32, 3, strides=2, padding="same", activation="relu"
            ),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    noisy = np.clip(noisy, 0, 1).astype("float32")
    return ready(model, "adam", _BINARY, noisy, x, batch_size=64, epochs=7)


@usual("autoencoder")
def vae_of_digits():
    x, _ = digits()
    inputs = keras.Input((64,))
    h = layers.Dense(64, "relu")(inputs)
    code = Sampling(1 / 64)([layers.Dense(4)(h), layers.Dense(4)(h)])
    h = layers.Dense(64, "relu")(code)
    model = keras.Model(inputs, layers.Dense(64, "sigmoid")(h))
    return ready(model, _opt.Adam(3e-3), _BINARY, x, x, epochs=7)


@usual("text")
def embedding_and_pooling():
    x, y = data.tokens(900, 16, 200)
    y = (np.isin(x, range(2, 40)).sum(1) > 3).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(200, 16),
            layers.GlobalAveragePooling1D(),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(
        model,
        _opt.Adam(5e-3),
        _BINARY,
        x,
        y,
        ["accuracy"],
        batch_size=32,
        epochs=14,
        validation_split=0.2,
    )


@usual("text")
def masked_bidirectional_lstm():
    x, _ = data.tokens(700, 16, 24)
    ends = np.random.default_rng(1).integers(6, 17, len(x))
    x = np.where(np.arange(16) < ends[:, None], x, 0)
    y = ((x > 1) & (x < 8)).sum(1) > 2
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(24, 16, mask_zero=True),
            layers.Bidirectional(layers.LSTM(16)),
            layers.Dense(1, "sigmoid"),
        ]
    )
    y = y.astype("float32")
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, ["accuracy"], epochs=10)


@usual("text")
def transformer_classifier():
    x, y = data.tokens(900, 16, 24)
    inputs = keras.Input((16,), dtype="int32")
    h = layers.Embedding(24, 32)(inputs)
    h = Block(32, 2, before=False)(Places()(h))
    h = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(h))
    h = layers.Dropout(0.1)(layers.Dense(20, "relu")(h))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(h))
    y = y.astype("int32")[:, 0]
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, ["accuracy"], epochs=10)


@usual("text")
def tiny_gpt():
    rng = np.random.default_rng(0)
    follows = rng.permutation(20)
    x = np.zeros((500, 17), "int32")
    x[:, 0] = rng.integers(0, 20, 500)
    for at in range(16):
        odd = rng.random(500) < 0.1
        x[:, at + 1] = np.where(
            odd, rng.integers(0, 20, 500), follows[x[:, at]]
        )
    inputs = keras.Input((16,), dtype="int32")
    h = Places()(layers.Embedding(20, 32)(inputs))
    for _ in range(2):
        h = Block(32, 2, causal=True)(h)
    model = keras.Model(inputs, layers.Dense(20)(h))
    return ready(
        model,
        _opt.AdamW(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        x[:, :-1],
        x[:, 1:],
        epochs=12,
    )


@usual("text")
def seq2seq_with_masking():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 8, (700, 6))
    x[rng.random(700) < 0.5, 4:] = 0
    turned = np.where(x > 0, 8 - x, 0)
    given = np.concatenate([np.full((700, 1), 8), turned[:, :-1]], axis=1)
    source = keras.Input((6,), dtype="int32", name="source")
    target = keras.Input((6,), dtype="int32", name="target")
    _, *state = layers.LSTM(48, return_state=True)(
        layers.Embedding(9, 24, mask_zero=True)(source)
    )
    h = layers.Embedding(9, 24, mask_zero=True)(target)
    h = layers.LSTM(48, return_sequences=True)(h, initial_state=state)
    model = keras.Model([source, target], layers.Dense(9, "softmax")(h))
    model.compile(_opt.Adam(1e-2), _SPARSE)
    inputs = {"source": x.astype("int32"), "target": given.astype("int32")}
    return model, inputs, turned.astype("int32"), {"epochs": 12}


@usual("series")
def lstm_forecast():
    x, y = sequences()
    model = keras.Sequential(
        [keras.Input((30, 1)), layers.LSTM(32), layers.Dense(1)]
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=8)


@usual("series")
def gru_stack_with_dropout():
    x, y = data.walks()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.GRU(16, return_sequences=True, dropout=0.2),
            layers.GRU(16),
            layers.Dropout(0.5),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, _opt.RMSprop(2e-3), _BINARY, x, y, epochs=8)


@usual("series")
def rnn_that_remembers():
    """The sign of the first of twelve numbers is asked at the end."""
    rng = np.random.default_rng(0)
    x = 0.1 * rng.normal(size=(600, 12, 1))
    first = rng.choice([-1, 1], 600)
    x[:, 0, 0] = first
    model = keras.Sequential(
        [
            keras.Input((12, 1)),
            layers.SimpleRNN(32, recurrent_initializer="orthogonal"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    y = (first > 0).astype("float32")[:, None]
    return ready(
        model, _opt.Adam(2e-3), _BINARY, x.astype("float32"), y, epochs=10
    )


@usual("series")
def gru_adds_two_marked():
    rng = np.random.default_rng(0)
    x = np.zeros((1200, 20, 2), "float32")
    x[..., 0] = rng.uniform(0, 1, (1200, 20))
    for row in x:
        row[rng.choice(20, 2, replace=False), 1] = 1
    y = (x[..., 0] * x[..., 1]).sum(1, keepdims=True)
    model = keras.Sequential(
        [keras.Input((20, 2)), layers.GRU(32), layers.Dense(1)]
    )
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=20)


@usual("series")
def dilated_convolutions():
    x, y = sequences(500, 32)
    inputs = keras.Input((32, 1))
    h = layers.Conv1D(16, 2, padding="causal")(inputs)
    for rate in (1, 2, 4, 8):
        gate = layers.Conv1D(
            16, 2, padding="causal", dilation_rate=rate, activation="tanh"
        )(h)
        gate = gate * layers.Conv1D(
            16, 2, padding="causal", dilation_rate=rate, activation="sigmoid"
        )(h)
        h = h + layers.Conv1D(16, 1)(gate)
    model = keras.Model(inputs, layers.Dense(1)(h[:, -1]))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=10)


@usual("table")
def linear_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 6)).astype("float32")
    y = x @ rng.normal(size=(6, 1)) + 0.1 * rng.normal(size=(800, 1))
    return ready(
        dense((6,), (1, None)),
        _opt.SGD(0.05),
        "mse",
        x,
        y.astype("float32"),
        epochs=5,
    )


@usual("table")
def logistic_regression():
    x, y = cancer()
    return ready(
        dense((30,), (1, "sigmoid")),
        _opt.SGD(0.1),
        _BINARY,
        x,
        y,
        ["accuracy"],
        epochs=10,
    )


@usual("table")
def diabetes_near_its_ceiling():
    from sklearn import datasets

    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    return ready(
        dense((10,), (32, "relu"), (1, None)),
        "adam",
        "mse",
        x.astype("float32"),
        y.astype("float32")[:, None],
        epochs=25,
        validation_split=0.2,
    )


@usual("table")
def three_quantiles():
    x, y = waves(800, noise=0.3)

    def pinball(t, p):
        at = ops.convert_to_tensor([0.1, 0.5, 0.9], "float32")
        gap = t - p
        return ops.mean(ops.maximum(at * gap, (at - 1) * gap))

    model = dense((4,), (64, "relu"), (64, "relu"), (3, None))
    return ready(model, _opt.Adam(2e-3), pinball, x, y, epochs=14)


@usual("table")
def poisson_counts():
    x, y = waves(800)
    y = np.random.default_rng(0).poisson(np.exp(y + 0.5)).astype("float32")
    model = dense((4,), (32, "relu"), (32, "relu"), (1, "exponential"))
    return ready(model, _opt.Adam(3e-3), "poisson", x, y, epochs=14)


@usual("table")
def survival_with_censoring():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 5)).astype("float32")
    risk = x[:, 0] - x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
    time = rng.exponential(np.exp(-risk))
    limit = rng.exponential(2, 800)
    seen = time < limit
    y = np.stack([np.minimum(time, limit), seen], axis=1).astype("float32")

    def likelihood(t, p):
        """Exponential hazard, censored rows count by survival only."""
        return ops.mean(ops.exp(p) * t[:, :1] - t[:, 1:] * p)

    model = dense((5,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), likelihood, x, y, epochs=10)


@usual("table")
def many_labels():
    x, y = waves(800)
    y = np.concatenate(
        [x[:, :1] > 0, x[:, 1:2] * x[:, 2:3] > 0, x[:, 3:] > 0.8, y > 0], axis=1
    )
    model = dense((4,), (64, "relu"), (64, "relu"), (4, "sigmoid"))
    return ready(
        model,
        _opt.Adam(3e-3),
        _BINARY,
        x,
        y.astype("float32"),
        ["binary_accuracy"],
        epochs=12,
    )


@usual("table")
def fraud_with_class_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 8)).astype("float32")
    y = (x[:, 0] + x[:, 1] ** 2 - x[:, 2] > 4.2).astype("float32")[:, None]
    few = float(y.mean())
    return ready(
        dense((8,), (32, "relu"), layers.Dropout(0.3), (1, "sigmoid")),
        _opt.Adam(3e-3),
        _BINARY,
        x,
        y,
        ["accuracy", keras.metrics.AUC(name="auc")],
        batch_size=128,
        epochs=8,
        class_weight={0: 0.5 / (1 - few), 1: 0.5 / few},
    )


@usual("table")
def wide_and_deep():
    rng = np.random.default_rng(0)
    items = rng.integers(0, 400, (3000, 1))
    worth, x = rng.normal(size=400), rng.normal(size=(3000, 4))
    y = worth[items[:, 0]] + x[:, 0] * x[:, 1] > 0
    item = keras.Input((1,), dtype="int32", name="item")
    numbers = keras.Input((4,), name="numbers")
    row = layers.Flatten()(layers.Embedding(400, 8)(item))
    deep = layers.Concatenate()([row, numbers])
    deep = layers.Dense(32, "relu")(layers.Dense(64, "relu")(deep))
    wide = layers.Flatten()(layers.Embedding(400, 1)(item))
    out = layers.Dense(1, "sigmoid")(layers.Concatenate()([deep, wide]))
    model = keras.Model([item, numbers], out)
    model.compile(_opt.Adam(3e-3), _BINARY, metrics=["accuracy"])
    inputs = {"item": items.astype("int32"), "numbers": x.astype("float32")}
    return model, inputs, y.astype("float32")[:, None], {"epochs": 4}


@usual("table")
def recommender():
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, 80, 4000), rng.integers(0, 60, 4000)], 1)
    a, b = rng.normal(size=(80, 3)), rng.normal(size=(60, 3))
    y = (a[pairs[:, 0]] * b[pairs[:, 1]]).sum(1)
    y = 1 / (1 + np.exp(-y)) + 0.02 * rng.normal(size=4000)
    inputs = keras.Input((2,), dtype="int32")
    user = layers.Embedding(80, 16)(inputs[:, 0])
    film = layers.Embedding(60, 16)(inputs[:, 1])
    bias = layers.Embedding(80, 1)(inputs[:, 0])
    match = layers.Dot(1)([user, film]) + bias
    model = keras.Model(inputs, layers.Activation("sigmoid")(match))
    return ready(
        model,
        _opt.Adam(1e-2),
        "mse",
        pairs.astype("int32"),
        y.astype("float32")[:, None],
        batch_size=64,
        epochs=6,
    )


@usual("schedule")
def plateau_and_early_stop():
    x, y = waves(600, noise=0.1)
    calls = [
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=3),
        keras.callbacks.EarlyStopping("val_loss", patience=6),
    ]
    return ready(
        dense((4,), (64, "relu"), (64, "relu"), (1, None)),
        _opt.Adam(3e-3),
        "mse",
        x,
        y,
        epochs=30,
        validation_split=0.2,
        callbacks=calls,
    )


@usual("schedule")
def warmup_cosine_smoothing():
    x, y = digits()
    rate = _rates.CosineDecay(
        0.0, 280, warmup_target=3e-3, warmup_steps=40, alpha=0.01
    )
    y = keras.utils.to_categorical(y, 10)
    return ready(
        dense((64,), (64, "relu"), layers.BatchNormalization(), (10, None)),
        _opt.AdamW(rate, weight_decay=1e-3),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=0.1
        ),
        x,
        y,
        ["accuracy"],
        batch_size=64,
        epochs=10,
    )


@usual("schedule")
def half_precision():
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x, y = digits()
        stack = [layers.Dense(64, "relu"), layers.Dense(64, "relu")]
        last = layers.Dense(10, "softmax", dtype="float32")
        model = keras.Sequential([keras.Input((64,)), *stack, last])
        return ready(model, "adam", _SPARSE, x, y, epochs=6)
    finally:
        keras.config.set_dtype_policy(kept)


@usual("schedule")
def strong_dropout_and_l2():
    x, y = digits()
    small = keras.regularizers.L2(1e-4)
    drop = layers.Dropout
    model = dense(
        (64,),
        layers.Dense(128, "relu", kernel_regularizer=small),
        drop(0.5),
        layers.Dense(128, "relu", kernel_regularizer=small),
        drop(0.5),
        (10, "softmax"),
    )
    return ready(
        model,
        _opt.SGD(0.1, momentum=0.9, nesterov=True),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=6,
    )


@usual("size")
def one_sample_a_batch():
    x, y = data.wine()
    model = dense((13,), (16, "relu"), (3, "softmax"))
    return ready(model, _opt.SGD(0.01), _SPARSE, x, y, batch_size=1, epochs=2)


@usual("size")
def twenty_rows():
    x, y = data.wine()
    model = dense((13,), (16, "relu"), (3, "softmax"))
    return ready(model, _opt.Adam(1e-2), _SPARSE, x[:20], y[:20], epochs=120)


@usual("size")
def one_big_batch():
    x, y = digits()
    model = dense((64,), (64, "relu"), (10, "softmax"))
    return ready(
        model, _opt.Adam(1e-2), _SPARSE, x, y, batch_size=2000, epochs=110
    )


@usual("size")
def xor_of_four_rows():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    model = dense((2,), (16, "tanh"), (1, "sigmoid"))
    return ready(model, _opt.Adam(0.05), _BINARY, x, y, epochs=300)


@usual("science")
def sine_network():
    """SIREN: a picture from coordinates."""
    at = np.linspace(-1, 1, 40, dtype="float32")
    x = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    y = np.sin(9 * x[:, :1]) * np.cos(7 * x[:, 1:]) * 0.8
    model = keras.Sequential(
        [keras.Input((2,)), Sine(64, first=True), Sine(64), layers.Dense(1)]
    )
    return ready(model, _opt.Adam(1e-3), "mse", x, y, batch_size=256, epochs=50)


@usual("science")
def tanh_curve():
    x = np.linspace(-1, 1, 256, dtype="float32")[:, None]
    y = (np.sin(3 * np.pi * x) * np.exp(-x)).astype("float32")
    stack = [(20, "tanh")] * 5
    return ready(
        dense((1,), *stack, (1, None)), _opt.Adam(5e-3), "mse", x, y, epochs=50
    )


@usual("science")
def residual_steps_of_an_ode():
    x, y = data.moons()
    step = layers.Dense(32, "tanh")
    back = layers.Dense(2)
    inputs = keras.Input((2,))
    h = inputs
    for _ in range(8):
        h = h + 0.25 * back(step(h))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, epochs=12)


@usual("science")
def graph_of_moons():
    """A graph network that takes the whole graph as one batch."""
    x, y = data.moons(400)
    near = np.square(x[:, None] - x[None]).sum(-1) < 0.05
    near = (near / near.sum(1, keepdims=True)).astype("float32")
    nodes = keras.Input((2,), name="nodes")
    edges = keras.Input((400,), name="edges")
    h = nodes
    for _ in range(2):
        h = ops.matmul(edges, layers.Dense(16)(h))
        h = layers.ReLU()(h)
    model = keras.Model([nodes, edges], layers.Dense(1, "sigmoid")(h))
    model.compile(_opt.Adam(1e-2), _BINARY)
    fit = {"batch_size": 400, "shuffle": False, "epochs": 150}
    return model, {"nodes": x, "edges": near}, y, fit


@usual("science")
def two_numbers_one_angle():
    """Targets on the unit circle, by cosine similarity."""
    x, _ = waves(800)
    angle = 2 * x[:, 0] + x[:, 1]
    y = np.stack([np.cos(angle), np.sin(angle)], 1)
    model = dense((4,), (32, "gelu"), (32, "gelu"), (2, None))
    return ready(model, _opt.Adam(3e-3), "cosine_similarity", x, y, epochs=10)
