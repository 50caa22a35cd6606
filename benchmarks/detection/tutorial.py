"""Programs as first tutorials, books and courses have them, which learn.

Written from memory, as people paste them: rates, widths, batches and targets
are theirs, the data are scikit-learn's or made up. `HEALTHY` maps a name to
(point, program). `tutorial_images` and `tutorial_own` put more into it.
"""

import keras
import numpy as np
from keras import layers
from keras import ops
from sklearn import datasets

from detection.field_data import cancer
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_data import waves
from detection.kept_data import clusters
from detection.kept_data import friedman
from detection.kept_data import moons
from detection.kept_data import walks
from detection.kept_sick import ONLY

HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def tutorial(point, only=None):
    def keep(function):
        HEALTHY[function.__name__] = (point, function)
        if only:
            ONLY[function.__name__] = only
        return function

    return keep


@tutorial("first")
def twice_minus_one():
    """The hello world of a well-known course: six numbers, one weight."""
    x = np.array([-1, 0, 1, 2, 3, 4], "float32")[:, None]
    model = dense((1,), (1, None))
    return ready(model, "sgd", "mean_squared_error", x, 2 * x - 1, epochs=500)


@tutorial("first")
def celsius_to_fahrenheit():
    x = np.array([-40, -10, 0, 8, 15, 22, 38], "float32")[:, None]
    y = np.array([-40, 14, 32, 46, 59, 72, 100], "float32")[:, None]
    model = dense((1,), (1, None))
    return ready(model, _opt.Adam(0.1), "mean_squared_error", x, y, epochs=500)


@tutorial("first")
def xor_by_sgd():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    model = dense((2,), (8, "tanh"), (1, "sigmoid"))
    return ready(model, _opt.SGD(0.1), _BINARY, x, y, batch_size=1, epochs=400)


@tutorial("first")
def sine_for_a_small_chip():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 2 * np.pi, (600, 1))
    y = np.sin(x) + 0.1 * rng.normal(size=x.shape)
    x, y = x.astype("float32"), y.astype("float32")
    model = dense((1,), (16, "relu"), (16, "relu"), (1, None))
    return ready(
        model,
        "rmsprop",
        "mse",
        x,
        y,
        ["mae"],
        batch_size=16,
        epochs=40,
        validation_split=0.2,
    )


@tutorial("first")
def iris_in_batches_of_five():
    x, y = datasets.load_iris(return_X_y=True)
    y = keras.utils.to_categorical(y)
    model = dense((4,), (8, "relu"), (3, "softmax"))
    return ready(
        model,
        "adam",
        "categorical_crossentropy",
        x.astype("float32"),
        y,
        ["accuracy"],
        batch_size=5,
        epochs=30,
    )


@tutorial("first")
def consumption_of_cars():
    """Fuel of cars: a normalization layer, targets in miles, MAE."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) * [1.7, 104, 38, 850, 2.8, 3.7]
    x = (np.array([5.4, 194, 104, 2977, 15.6, 76]) + x).astype("float32")
    y = 46 - 0.0075 * x[:, 3] + 0.7 * (x[:, 5] - 76) - 0.02 * x[:, 2]
    y = (y + rng.normal(size=400)).astype("float32")
    normalizer = layers.Normalization()
    normalizer.adapt(x)
    model = dense((6,), normalizer, (64, "relu"), (64, "relu"), (1, None))
    return ready(
        model,
        _opt.Adam(0.001),
        "mean_absolute_error",
        x,
        y,
        epochs=60,
        validation_split=0.2,
    )


@tutorial("first")
def horsepower_by_a_line():
    """The same tutorial's first model: one unit, Adam at 0.1, MAE."""
    rng = np.random.default_rng(0)
    x = rng.normal(104, 38, (320, 1)).astype("float32")
    y = 40 - 0.16 * x + 3 * rng.normal(size=x.shape)
    normalizer = layers.Normalization()
    normalizer.adapt(x)
    return ready(
        dense((1,), normalizer, (1, None)),
        _opt.Adam(0.1),
        "mean_absolute_error",
        x,
        y.astype("float32"),
        epochs=100,
        validation_split=0.2,
    )


@tutorial("first")
def houses_whose_prices_stay():
    """Boston's example of a book: prices of 5 to 50, RMSprop, batch 16."""
    x, y = datasets.make_friedman1(404, noise=1.0, random_state=0)
    x = (x - x.mean(0)) / x.std(0)
    model = dense((10,), (64, "relu"), (64, "relu"), (1, None))
    x, y = x.astype("float32"), (y + 8).astype("float32")
    return ready(
        model, "rmsprop", "mse", x, y, ["mae"], batch_size=16, epochs=30
    )


@tutorial("first")
def newswires_of_many_topics():
    """Reuters of a book: bags of words, 46 classes, RMSprop, batch 512."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(300, 0.05), 46)
    often = rng.dirichlet(np.full(46, 0.5))
    y = rng.choice(46, 3000, p=often).astype("int32")
    x = np.stack([rng.multinomial(40, topics[c]) > 0 for c in y])
    model = dense((300,), (64, "relu"), (64, "relu"), (46, "softmax"))
    return ready(
        model,
        "rmsprop",
        _SPARSE,
        x.astype("float32"),
        y,
        ["accuracy"],
        batch_size=256,
        epochs=20,
        validation_split=0.3,
    )


@tutorial("first")
def reviews_as_words():
    """IMDB of a book: 16-16-1, RMSprop, a bag of words."""
    rng = np.random.default_rng(0)
    x = rng.random((1500, 400)) < 0.05
    tone = rng.normal(size=400)
    y = (x @ tone + 0.5 * rng.normal(size=1500) > 0).astype("float32")
    model = dense((400,), (16, "relu"), (16, "relu"), (1, "sigmoid"))
    return ready(
        model,
        "rmsprop",
        _BINARY,
        x.astype("float32"),
        y,
        ["accuracy"],
        batch_size=64,
        epochs=15,
        validation_split=0.2,
    )


@tutorial("first")
def fashion_by_plain_sgd():
    """A book's 300-100-10 with SGD at its default rate."""
    x, y = digits((8, 8))
    model = dense(
        (8, 8), layers.Flatten(), (300, "relu"), (100, "relu"), (10, "softmax")
    )
    return ready(
        model,
        "sgd",
        _SPARSE,
        x,
        y,
        ["accuracy"],
        epochs=15,
        validation_split=0.1,
    )


@tutorial("first")
def twenty_selu_layers():
    x, y = digits()
    stack = [
        layers.Dense(40, "selu", kernel_initializer="lecun_normal")
        for _ in range(20)
    ]
    model = dense((64,), *stack, (10, "softmax"))
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    return ready(model, _opt.SGD(1e-3, momentum=0.9), _SPARSE, x, y, epochs=10)


@tutorial("first")
def passengers_of_airlines():
    """LSTM of four units, one row a batch, numbers in 0 to 1."""
    time = np.arange(144)
    y = 100 + 2.6 * time + (20 + 0.3 * time) * np.sin(time / 12 * 2 * np.pi)
    y = ((y - y.min()) / (y.max() - y.min())).astype("float32")
    x, y = y[:-1, None, None], y[1:, None]
    model = keras.Sequential(
        [keras.Input((1, 1)), layers.LSTM(4), layers.Dense(1)]
    )
    return ready(
        model, "adam", "mean_squared_error", x, y, batch_size=1, epochs=5
    )


@tutorial("first")
def diabetes_of_pima():
    """12-8-1 on eight columns as they come: 0 to 846, batch 10."""
    rng = np.random.default_rng(0)
    scale = np.array([3.4, 32, 19, 16, 115, 7.9, 0.33, 11.8])
    mean = np.array([3.8, 121, 69, 20, 80, 32, 0.47, 33])
    z = rng.normal(size=(768, 8))
    x = np.maximum(mean + scale * z, 0).astype("float32")
    y = (1.5 * z[:, 1] + z[:, 5] + z[:, 7] + rng.normal(size=768) > 0.8) * 1.0
    model = dense((8,), (12, "relu"), (8, "relu"), (1, "sigmoid"))
    return ready(
        model,
        "adam",
        _BINARY,
        x,
        y.astype("float32"),
        ["accuracy"],
        batch_size=10,
        epochs=30,
    )


@tutorial("first")
def sonar_of_many_columns():
    x, y = clusters(208, 2)
    model = dense((12,), (60, "relu"), (1, "sigmoid"))
    return ready(
        model, "adam", _BINARY, x, y, ["accuracy"], batch_size=5, epochs=20
    )


@tutorial("first")
def lenet_of_tanh():
    x, y = digits((8, 8, 1))
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 3, activation="tanh"),
            layers.Flatten(),
            layers.Dense(84, "tanh"),
            layers.Dense(10, "softmax"),
        ]
    )
    return ready(model, _opt.SGD(0.1), _SPARSE, x, y, batch_size=32, epochs=10)


@tutorial("table")
def frauds_of_one_in_a_hundred():
    """keras.io's imbalanced classes: weights of one over the counts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 10))
    y = (x[:, 0] + x[:, 1] + 0.3 * rng.normal(size=6000) > 3.3) * 1
    counts = np.bincount(y)
    model = dense(
        (10,),
        (64, "relu"),
        (64, "relu"),
        layers.Dropout(0.3),
        (64, "relu"),
        layers.Dropout(0.3),
        (1, "sigmoid"),
    )
    return ready(
        model,
        _opt.Adam(1e-2),
        _BINARY,
        x.astype("float32"),
        y[:, None].astype("float32"),
        batch_size=256,
        epochs=8,
        class_weight={0: 1 / counts[0], 1: 1 / counts[1]},
    )


@tutorial("table")
def deep_and_cross():
    x, y = cancer()
    inputs = keras.Input((30,))
    cross = inputs
    for _ in range(2):
        cross = inputs * layers.Dense(30)(cross) + cross
    cross = layers.BatchNormalization()(cross)
    deep = inputs
    for _ in range(2):
        deep = layers.Dense(32)(deep)
        deep = layers.ReLU()(layers.BatchNormalization()(deep))
        deep = layers.Dropout(0.3)(deep)
    out = layers.Dense(1, "sigmoid")(layers.Concatenate()([cross, deep]))
    return ready(
        keras.Model(inputs, out), _opt.Adam(1e-3), _BINARY, x, y, epochs=15
    )


@tutorial("table")
def gated_residual_networks():
    """A gated residual network for each column, and one that weighs them."""
    x, y = friedman(800, noise=0.5)
    inputs = keras.Input((10,))

    def grn(h, units, rate=0.15):
        inner = layers.Dense(units, "elu")(h)
        inner = layers.Dropout(rate)(layers.Dense(units)(inner))
        inner = layers.Dense(units)(inner) * layers.Dense(units, "sigmoid")(
            inner
        )
        if h.shape[-1] != units:
            h = layers.Dense(units)(h)
        return layers.LayerNormalization()(h + inner)

    parts = [layers.Dense(16)(inputs[:, i : i + 1]) for i in range(10)]
    weights = layers.Dense(10, "softmax")(grn(layers.Concatenate()(parts), 16))
    whole = ops.stack([grn(part, 16) for part in parts], axis=1)
    h = ops.sum(whole * ops.expand_dims(weights, -1), axis=1)
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=16)


@tutorial("table")
def films_and_users():
    """keras.io's recommender: biases, L2 of 1e-6, ratings in 0 to 1."""
    rng = np.random.default_rng(0)
    taste, kind = rng.normal(size=(80, 3)), rng.normal(size=(60, 3))
    pairs = np.stack([rng.integers(0, 80, 4000), rng.integers(0, 60, 4000)], 1)
    y = (taste[pairs[:, 0]] * kind[pairs[:, 1]]).sum(1)
    y = np.clip(np.round(2.5 + y), 0.5, 5)
    y = ((y - 0.5) / 4.5).astype("float32")[:, None]

    def table(rows, width, column, inputs):
        how = {"embeddings_initializer": "he_normal"} if width > 1 else {}
        found = layers.Embedding(
            rows,
            width,
            embeddings_regularizer=keras.regularizers.l2(1e-6),
            **how,
        )
        return found(inputs[:, column])

    inputs = keras.Input((2,), dtype="int32")
    dot = ops.sum(
        table(80, 16, 0, inputs) * table(60, 16, 1, inputs), 1, keepdims=True
    )
    total = dot + table(80, 1, 0, inputs) + table(60, 1, 1, inputs)
    model = keras.Model(inputs, ops.sigmoid(total))
    return ready(
        model,
        _opt.Adam(1e-3),
        _BINARY,
        pairs.astype("int32"),
        y,
        batch_size=32,
        epochs=8,
    )


@tutorial("table")
def noise_over_most():
    """Three quarters of the targets' variance is noise."""
    x, y = waves(3000, noise=0.0)
    y = y / y.std()
    noise = np.random.default_rng(1).normal(size=y.shape)
    y = (0.5 * y + 0.87 * noise).astype("float32")
    model = dense((4,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, "adam", "mse", x, y, epochs=8, validation_split=0.2)


@tutorial("table")
def linear_of_much_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 5)).astype("float32")
    y = 0.5 * x[:, :1] + rng.normal(size=(2000, 1))
    return ready(
        dense((5,), (1, None)),
        _opt.SGD(0.01),
        "mse",
        x,
        y.astype("float32"),
        epochs=6,
    )


@tutorial("table")
def narrow_relus():
    x, y = moons()
    model = dense((2,), (6, "relu"), (6, "relu"), (6, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, epochs=20)


@tutorial("again")
def sixteen_rows_by_heart():
    x, y = digits()
    model = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    return ready(model, "adam", _SPARSE, x[:16], y[:16], epochs=300)


@tutorial("again")
def second_fit_of_a_trained_net():
    """A notebook's cell that is run twice: the net has learnt before."""
    x, y = digits()
    model = dense((64,), (64, "relu"), (10, "softmax"))
    program = ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=6)
    model.fit(x, y, verbose=0, epochs=20)
    return program


@tutorial("again")
def second_fit_of_a_regression():
    x, y = waves(800, noise=0.3)
    model = dense((4,), (64, "relu"), (64, "relu"), (1, None))
    program = ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=10)
    model.fit(x, y, verbose=0, epochs=30)
    return program


@tutorial("again")
def third_fit_of_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 3)).astype("float32")
    y = x.sum(1, keepdims=True) + 0.2 * rng.normal(size=(640, 1))
    model = dense((3,), (1, None))
    program = ready(
        model, _opt.SGD(0.05), "mse", x, y.astype("float32"), epochs=8
    )
    model.fit(x, y, verbose=0, epochs=10)
    return program


@tutorial("again")
def fine_tuning_at_a_hundred_thousandth():
    """A trained base is thawed; BatchNormalization infers; Adam at 1e-5."""
    x, y = digits((8, 8, 1))
    base = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    inputs = keras.Input((8, 8, 1))
    out = layers.Dense(10)(layers.Dropout(0.2)(base(inputs, training=False)))
    model = keras.Model(inputs, out)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = keras.Sequential([base, layers.Dense(10)])
    before.compile(_opt.Adam(5e-3), loss)
    before.fit(x[y < 8], y[y < 8], verbose=0, epochs=5)
    base.trainable = False
    model.compile(_opt.Adam(5e-3), loss, metrics=["accuracy"])
    model.fit(x, y, verbose=0, epochs=5)
    base.trainable = True
    return ready(model, _opt.Adam(1e-5), loss, x, y, ["accuracy"], epochs=4)


@tutorial("again")
def resumed_with_its_schedule():
    """Training goes on where the rate of a decay stood."""
    x, y = clusters()
    rate = _rates.CosineDecay(3e-3, 600)
    model = dense((12,), (48, "relu"), (48, "relu"), (5, "softmax"))
    program = ready(model, _opt.Adam(rate), _SPARSE, x, y, epochs=8)
    model.fit(x, y, verbose=0, epochs=12)
    return program


@tutorial("series", only=("jax", "tensorflow"))
def state_from_batch_to_batch():
    """A stateful LSTM reads one long series, in order."""
    time = np.arange(1601) / 6
    wave = np.sin(time) + 0.05 * np.random.default_rng(0).normal(size=1601)
    lanes = np.stack([wave[i * 200 : i * 200 + 201] for i in range(8)])
    x = lanes[:, :-1].reshape(8, 20, 10).transpose(1, 0, 2).reshape(160, 10, 1)
    y = lanes[:, 10::10].T.reshape(160, 1)
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(8, 10, 1)),
            layers.LSTM(16, stateful=True),
            layers.Dense(1),
        ]
    )
    model.compile(_opt.Adam(5e-3), "mse")
    fit = {"batch_size": 8, "shuffle": False, "epochs": 12}
    return model, [x.astype("float32")], y.astype("float32"), fit


@tutorial("series")
def anomalies_by_an_autoencoder():
    x, _ = sequences(800, 32)
    conv = {"padding": "same", "strides": 2, "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((32, 1)),
            layers.Conv1D(32, 7, **conv),
            layers.Dropout(0.2),
            layers.Conv1D(16, 7, **conv),
            layers.Conv1DTranspose(16, 7, **conv),
            layers.Dropout(0.2),
            layers.Conv1DTranspose(32, 7, **conv),
            layers.Conv1DTranspose(1, 7, padding="same"),
        ]
    )
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5, mode="min")
    return ready(
        model,
        _opt.Adam(1e-3),
        "mse",
        x,
        x,
        epochs=12,
        validation_split=0.1,
        callbacks=[stop],
    )


@tutorial("series")
def weather_by_an_lstm():
    rng = np.random.default_rng(0)
    time = np.arange(2000)
    year = np.sin(time / 120)[:, None] * rng.normal(size=(1, 5))
    series = year + 0.3 * np.cumsum(rng.normal(size=(2000, 5)), 0) / 10
    series = (series - series.mean(0)) / series.std(0)
    x = np.stack([series[i : i + 24 : 2] for i in range(1900)])
    y = series[36:1936, :1]
    model = keras.Sequential(
        [keras.Input((12, 5)), layers.LSTM(32), layers.Dense(1)]
    )
    return ready(
        model,
        _opt.Adam(1e-3),
        "mse",
        x.astype("float32"),
        y.astype("float32"),
        batch_size=64,
        epochs=8,
    )


@tutorial("series")
def series_by_convolutions():
    """keras.io's series from scratch: three blocks, averages, plateaus."""
    x, y = walks(700, 32)
    inputs = keras.Input((32, 2))
    h = inputs
    for _ in range(3):
        h = layers.Conv1D(32, 3, padding="same")(h)
        h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(inputs, layers.Dense(2, "softmax")(h))
    calls = [
        keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, 5, min_lr=1e-4),
        keras.callbacks.EarlyStopping("val_loss", patience=20),
    ]
    return ready(
        model,
        "adam",
        _SPARSE,
        x,
        y.astype("int32")[:, 0],
        ["sparse_categorical_accuracy"],
        epochs=10,
        validation_split=0.2,
        callbacks=calls,
    )


@tutorial("series")
def series_by_attention():
    """keras.io's Transformer for series: Adam at 1e-4, dropout of 0.25."""
    x, y = walks(900, 24)
    inputs = keras.Input((24, 2))
    h = inputs
    for _ in range(2):
        a = layers.MultiHeadAttention(4, 16, dropout=0.25)(h, h)
        h = layers.LayerNormalization(epsilon=1e-6)(layers.Dropout(0.25)(a)) + h
        f = layers.Conv1D(4, 1, activation="relu")(h)
        f = layers.Conv1D(2, 1)(layers.Dropout(0.25)(f))
        h = layers.LayerNormalization(epsilon=1e-6)(f) + h
    h = layers.GlobalAveragePooling1D(data_format="channels_first")(h)
    h = layers.Dropout(0.4)(layers.Dense(64, "relu")(h))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(h))
    return ready(
        model,
        _opt.Adam(1e-3),
        _SPARSE,
        x,
        y.astype("int32")[:, 0],
        epochs=12,
    )
