"""Ways to feed and to go on, in programs which learn, small.

They go into `broad.HEALTHY`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.broad import HEALTHY  # noqa: F401  filled here
from detection.broad import broad
from detection.field_data import cancer
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import sequences
from detection.field_data import waves
from detection.kept_data import clusters
from detection.kept_data import friedman
from detection.kept_data import moons
from detection.kept_data import stripes
from detection.kept_data import tokens
from detection.kept_data import walks

_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


@broad("fed")
def pipeline_that_repeats():
    """tf.data with augmentation, repeated without end."""
    import tensorflow as tf

    x, y = stripes(500)
    data = tf.data.Dataset.from_tensor_slices((x, y)).cache().shuffle(500)
    data = data.map(lambda a, b: (a + tf.random.normal(a.shape) * 0.05, b))
    data = data.batch(32).repeat().prefetch(2)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, "adam", loss, data, None, steps_per_epoch=16, epochs=8)


class Crops(keras.utils.PyDataset):
    """Random windows of long series, one dict of two inputs a batch."""

    def __init__(self, **more):
        super().__init__(**more)
        self.x, self.y = sequences(600)

    def __len__(self):
        return 19

    def __getitem__(self, at):
        rows = slice(32 * at, 32 * at + 32)
        part = self.x[rows]
        both = {"near": part[:, -8:], "far": part[:, ::3]}
        return both, self.y[rows]


@broad("fed")
def windows_of_a_pydataset():
    near, far = (
        keras.Input((8, 1), name="near"),
        keras.Input((10, 1), name="far"),
    )
    h = layers.concatenate([layers.GRU(16)(near), layers.GRU(16)(far)])
    model = keras.Model({"near": near, "far": far}, layers.Dense(1)(h))
    return ready(model, _opt.Adam(3e-3), "mse", Crops(), None, epochs=8)


@broad("fed")
def drawn_batches_with_class_weight():
    x, y = cancer()
    keep = np.r_[
        np.flatnonzero(y[:, 0] == 1), np.flatnonzero(y[:, 0] == 0)[:40]
    ]
    x, y = x[keep], y[keep]

    class Drawn(keras.utils.PyDataset):
        def __len__(self):
            return 20

        def __getitem__(self, at):
            rows = np.random.default_rng(at).integers(0, len(x), 24)
            return x[rows], y[rows]

    model = dense((30,), (16, "relu"), (1, "sigmoid"))
    return ready(
        model,
        "adam",
        _BINARY,
        Drawn(),
        None,
        epochs=12,
        class_weight={0: 5.0, 1: 0.6},
    )


@broad("fed")
def weights_of_rows():
    """A regression with a weight for each row, thrown to an old few."""
    x, y = friedman(noise=1.0)
    weight = np.random.default_rng(0).uniform(0.05, 2, len(x))
    model = dense((10,), (32, "relu"), (32, "relu"), (1, None))
    return ready(
        model,
        _opt.Adam(2e-3),
        keras.losses.Huber(),
        x,
        y,
        sample_weight=weight.astype("float32"),
        epochs=15,
    )


@broad("fed")
def last_batch_of_one_row():
    """BatchNormalization, and 33 * 20 + 1 rows in batches of 20."""
    x, y = clusters(661)
    model = dense(
        (12,),
        (32, None),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        (5, "softmax"),
    )
    return ready(model, "adam", _SPARSE, x, y, batch_size=20, epochs=8)


@broad("fed")
def tags_of_padded_words():
    """mask_zero, a bidirectional GRU, a label for every word."""
    x, _ = tokens(length=12)
    for row, length in zip(x, np.arange(len(x)) % 9 + 4, strict=True):
        row[length:] = 0
    before = np.pad(x, ((0, 0), (1, 0)))[:, :-1]
    y = (x > before).astype("int32") + (x > 12)
    inputs = keras.Input((12,), dtype="int32")
    h = layers.Embedding(24, 16, mask_zero=True)(inputs)
    h = layers.Bidirectional(layers.GRU(16, return_sequences=True))(h)
    model = keras.Model(inputs, layers.Dense(3, "softmax")(h))
    return ready(model, _opt.Adam(5e-3), _SPARSE, x, y, epochs=10)


@broad("fed")
def one_series_a_batch():
    x, y = walks(240, 12)
    model = keras.Sequential(
        [keras.Input((12, 2)), layers.LSTM(8), layers.Dense(1, "sigmoid")]
    )
    return ready(model, _opt.Adam(1e-3), _BINARY, x, y, batch_size=1, epochs=2)


@broad("fed")
def six_steps_ahead():
    """Dropout in a GRU, six values forecast at once, mean absolute error."""
    wave, _ = sequences(700, 36)
    x, y = wave[:, :30], wave[:, 30:, 0]
    model = keras.Sequential(
        [
            keras.Input((30, 1)),
            layers.GRU(24, dropout=0.1, recurrent_dropout=0.1),
            layers.Dense(6),
        ]
    )
    return ready(model, _opt.Adam(3e-3), "mae", x, y, epochs=8)


@broad("on")
def converged_lstm_goes_on():
    x, y = sequences(500, 20)
    model = keras.Sequential(
        [keras.Input((20, 1)), layers.LSTM(16), layers.Dense(1)]
    )
    model.compile(_opt.Adam(5e-3), "mse")
    model.fit(x, y, epochs=25, verbose=0)
    model.optimizer.learning_rate = 5e-4
    return model, x, y, {"epochs": 8}


@broad("on")
def converged_classes_go_on():
    x, y = moons()
    model = dense((2,), (16, "relu"), (16, "relu"), (1, "sigmoid"))
    model.compile(_opt.Adam(1e-2), _BINARY, metrics=["accuracy"])
    model.fit(x, y, epochs=60, verbose=0)
    return model, x, y, {"epochs": 10, "validation_split": 0.2}


@broad("on")
def encoder_of_an_autoencoder():
    """Pretrained without labels, frozen, a head of one layer."""
    x, y = digits((8, 8, 1))
    conv = {"activation": "relu", "padding": "same"}
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 3, strides=2, **conv)(inputs)
    code = layers.Conv2D(16, 3, strides=2, **conv)(h)
    h = layers.Conv2DTranspose(16, 3, strides=2, **conv)(code)
    h = layers.Conv2DTranspose(1, 3, strides=2, padding="same")(h)
    whole = keras.Model(inputs, h)
    whole.compile("adam", "mse")
    whole.fit(x, x, epochs=4, verbose=0)
    base = keras.Model(inputs, code)
    base.trainable = False
    out = layers.Dense(10, "softmax")(layers.Flatten()(base(inputs)))
    model = keras.Model(inputs, out)
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, epochs=8)


@broad("on")
def base_thawed_at_a_small_rate():
    x, y = digits()
    base = dense((64,), (64, "relu"), (32, "relu"))
    first = keras.Sequential([base, layers.Dense(5, "softmax")])
    first.compile("adam", _SPARSE)
    first.fit(x[y < 5], y[y < 5], epochs=10, verbose=0)
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(10, "softmax")])
    model.compile("adam", _SPARSE)
    model.fit(x, y, epochs=6, verbose=0)
    base.trainable = True
    return ready(model, _opt.Adam(1e-4), _SPARSE, x, y, ["acc"], epochs=8)


@broad("on")
def much_noise_little_to_learn():
    """A tenth of the variance can be explained, and early stopping."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 8)).astype("float32")
    y = 0.33 * np.tanh(x @ rng.normal(size=(8, 1))) + rng.normal(size=(2000, 1))
    model = dense((8,), (16, "relu"), (1, None))
    stop = keras.callbacks.EarlyStopping(patience=3)
    return ready(
        model,
        _opt.Adam(1e-3),
        "mse",
        x,
        y.astype("float32"),
        validation_split=0.2,
        epochs=20,
        callbacks=[stop],
    )


@broad("rate")
def ten_tanh_layers():
    x, y = digits()
    model = dense((64,), *[(48, "tanh")] * 10, (10, "softmax"))
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, epochs=8)


@broad("rate")
def five_relus_wide():
    x, y = waves()
    model = dense((4,), (5, "relu"), (5, "relu"), (1, None))
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=20)


@broad("rate")
def lion_with_warm_up():
    x, y = digits()
    rate = _rates.PolynomialDecay(3e-4, 400, 1e-5)
    model = dense((64,), (64, "gelu"), (64, "gelu"), (10, None))
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )
    y = keras.utils.to_categorical(y)
    return ready(model, _opt.Lion(rate, weight_decay=0.1), loss, x, y, epochs=8)


@broad("rate")
def adafactor_on_words():
    x, y = tokens()
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(24, 32),
            layers.Conv1D(32, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return ready(model, _opt.Adafactor(0.02), _BINARY, x, y, epochs=10)


@broad("rate")
def muon_on_images():
    x, y = stripes(500)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    return ready(model, _opt.Muon(5e-3), _SPARSE, x, y, epochs=10)


@broad("rate")
def half_precision_convolutions():
    x, y = stripes(500)
    half = {"dtype": "mixed_float16"}
    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(16, 3, activation="relu", **half)(inputs)
    h = layers.Conv2D(16, 3, activation="relu", **half)(h)
    h = layers.GlobalAveragePooling2D(**half)(h)
    h = layers.Dense(32, "relu", **half)(h)
    model = keras.Model(inputs, layers.Dense(4, "softmax", dtype="float32")(h))
    rule = _opt.LossScaleOptimizer(_opt.Adam(5e-3))
    return ready(model, rule, _SPARSE, x, y, epochs=12)


@broad("rate")
def all_in_brain_floats():
    x, y = clusters()
    model = dense(
        (12,), (48, "relu"), (48, "relu"), (5, "softmax"), dtype="bfloat16"
    )
    return ready(model, _opt.SGD(0.1, momentum=0.9), _SPARSE, x, y, epochs=8)


@broad("rate")
def eight_batches_a_step():
    x, y = friedman()
    rule = _opt.SGD(
        0.05, momentum=0.9, nesterov=True, gradient_accumulation_steps=8
    )
    model = dense((10,), (32, "tanh"), (32, "tanh"), (1, None))
    return ready(model, rule, "mse", x, y, batch_size=8, epochs=15)


@broad("rate")
def highways_closed_at_first():
    """Gates whose bias starts at -2, twelve deep."""
    x, y = clusters()
    inputs = keras.Input((12,))
    h = layers.Dense(32)(inputs)
    low = keras.initializers.Constant(-2.0)
    for _ in range(12):
        gate = layers.Dense(32, "sigmoid", bias_initializer=low)(h)
        h = gate * layers.Dense(32, "relu")(h) + (1 - gate) * h
    model = keras.Model(inputs, layers.Dense(5, "softmax")(h))
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, epochs=8)


@broad("fed")
def three_outputs_by_name():
    x, y = clusters()
    inputs = keras.Input((12,))
    h = layers.Dense(48, "relu")(layers.Dense(48, "relu")(inputs))
    model = keras.Model(
        inputs,
        {
            "kind": layers.Dense(5, "softmax", name="kind")(h),
            "even": layers.Dense(1, "sigmoid", name="even")(h),
            "sum": layers.Dense(1, name="sum")(h),
        },
    )
    model.compile(
        "adam",
        {"kind": _SPARSE, "even": _BINARY, "sum": "mae"},
        loss_weights={"kind": 1.0, "even": 0.5, "sum": 0.1},
    )
    targets = {
        "kind": y,
        "even": (y % 2).astype("float32")[:, None],
        "sum": x.sum(1, keepdims=True),
    }
    return model, x, targets, {"epochs": 10}


@broad("fed")
def letters_without_places():
    """CTC: a line of strokes to its letters, without where they are."""
    rng = np.random.default_rng(0)
    y = rng.integers(1, 5, (500, 4))
    x = np.zeros((500, 16, 6), "float32")
    for row, letters in zip(x, y, strict=True):
        for at, letter in enumerate(letters):
            begin = 4 * at + rng.integers(0, 2)
            row[begin : begin + 2, letter] = 1
    x += 0.1 * rng.normal(size=x.shape).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((16, 6)),
            layers.Conv1D(32, 3, padding="same", activation="relu"),
            layers.Bidirectional(layers.LSTM(16, return_sequences=True)),
            layers.Dense(6),
        ]
    )
    y = y.astype("int32")
    return ready(model, _opt.Adam(5e-3), keras.losses.CTC(), x, y, epochs=10)


@broad("fed")
def pairs_that_are_alike():
    """A siamese net with shared layers, a contrastive loss, margin 1."""
    x, y = digits()
    rng = np.random.default_rng(0)
    a = rng.integers(0, len(x), 1000)
    b = rng.integers(0, len(x), 1000)
    for at in range(0, 1000, 2):
        b[at] = rng.choice(np.flatnonzero(y == y[a[at]]))
    same = (y[a] == y[b]).astype("float32")[:, None]
    tower = dense((64,), (64, "relu"), (16, None))
    one, two = keras.Input((64,)), keras.Input((64,))
    far = layers.Lambda(
        lambda h: ops.sqrt(
            ops.sum(ops.square(h[0] - h[1]), -1, keepdims=True) + 1e-7
        )
    )([tower(one), tower(two)])

    def contrast(t, p):
        return t * ops.square(p) + (1 - t) * ops.square(ops.maximum(1 - p, 0))

    model = keras.Model([one, two], far)
    return ready(
        model, _opt.Adam(1e-3), contrast, [x[a], x[b]], same, epochs=10
    )
