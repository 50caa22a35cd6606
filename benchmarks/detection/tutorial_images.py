"""Image and text examples as Keras's own site has them, which learn, small.

They go into `tutorial.HEALTHY`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import blobs
from detection.field_data import digits
from detection.field_data import ready
from detection.kept_data import moons
from detection.kept_data import stripes
from detection.kept_data import tokens
from detection.tutorial import HEALTHY  # noqa: F401  filled here
from detection.tutorial import tutorial
from detection.usual_layers import Places

_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


@tutorial("image")
def images_from_scratch():
    """Separable convolutions with a way round, logits, Adam at 3e-4."""
    x, y = stripes(700)
    inputs = keras.Input((12, 12, 1))
    h = layers.Rescaling(1.0 / 255)(inputs)
    h = layers.Conv2D(16, 3, strides=2, padding="same")(h)
    h = layers.Activation("relu")(layers.BatchNormalization()(h))
    rest = h
    for width in (24, 32):
        for _ in range(2):
            h = layers.Activation("relu")(h)
            h = layers.SeparableConv2D(width, 3, padding="same")(h)
            h = layers.BatchNormalization()(h)
        h = layers.MaxPooling2D(3, strides=2, padding="same")(h)
        rest = layers.Conv2D(width, 1, strides=2, padding="same")(rest)
        h = layers.add([h, rest])
        rest = h
    h = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, layers.Dense(1, activation=None)(h))
    return ready(
        model,
        _opt.Adam(3e-4),
        keras.losses.BinaryCrossentropy(from_logits=True),
        255 * x,
        (y % 2).astype("float32"),
        [keras.metrics.BinaryAccuracy(name="acc")],
        batch_size=32,
        epochs=10,
    )


@tutorial("image")
def conv_mixer():
    x, y = stripes(600)
    inputs = keras.Input((12, 12, 1))

    def block(h):
        return layers.BatchNormalization()(layers.Activation("gelu")(h))

    h = block(layers.Conv2D(32, 2, strides=2)(inputs))
    for _ in range(3):
        rest = h
        h = layers.DepthwiseConv2D(5, padding="same")(h)
        h = layers.Add()([block(h), rest])
        h = block(layers.Conv2D(32, 1)(h))
    h = layers.GlobalAvgPool2D()(h)
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    return ready(
        model,
        _opt.AdamW(1e-3, weight_decay=1e-4),
        _SPARSE,
        x,
        y,
        ["accuracy"],
        batch_size=32,
        epochs=20,
    )


@tutorial("image")
def points_with_a_penalty():
    """PointNet: learned rotations, kept orthogonal, averages of momentum 0."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = rng.normal(size=(600, 32, 3))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    x[y == 1] = np.clip(1.6 * x[y == 1], -0.8, 0.8)
    x[y == 2, :, 2] *= 0.2

    class Orthogonal(keras.regularizers.Regularizer):
        def __init__(self, size):
            self.size, self.eye = size, ops.eye(size)

        def __call__(self, h):
            h = ops.reshape(h, (-1, self.size, self.size))
            both = ops.matmul(h, ops.transpose(h, (0, 2, 1)))
            return ops.sum(0.001 * ops.square(both - self.eye))

    def conv_bn(h, width):
        h = layers.Conv1D(width, 1, padding="valid")(h)
        h = layers.BatchNormalization(momentum=0.0)(h)
        return layers.Activation("relu")(h)

    def turned(inputs, size):
        h = conv_bn(conv_bn(inputs, 16), 32)
        h = layers.GlobalMaxPooling1D()(h)
        h = layers.BatchNormalization(momentum=0.0)(layers.Dense(16)(h))
        h = layers.Dense(
            size * size,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(np.eye(size).ravel()),
            activity_regularizer=Orthogonal(size),
        )(layers.Activation("relu")(h))
        return layers.Dot(axes=(2, 1))(
            [inputs, layers.Reshape((size, size))(h)]
        )

    inputs = keras.Input((32, 3))
    h = conv_bn(turned(inputs, 3), 16)
    h = conv_bn(turned(h, 16), 32)
    h = layers.Dropout(0.3)(layers.GlobalMaxPooling1D()(h))
    model = keras.Model(inputs, layers.Dense(3, "softmax")(h))
    return ready(
        model,
        _opt.Adam(1e-3),
        _SPARSE,
        x.astype("float32"),
        y.astype("int32"),
        ["sparse_categorical_accuracy"],
        epochs=10,
    )


@tutorial("image")
def larger_images_by_subpixels():
    """Super-resolution by sub-pixels: orthogonal kernels, squared error."""
    x, _ = blobs(400)
    x = x - x.min()
    x = (x / x.max()).astype("float32")
    small = x.reshape(-1, 8, 2, 8, 2, 1).mean((2, 4)).astype("float32")
    conv = {
        "activation": "relu",
        "kernel_initializer": "orthogonal",
        "padding": "same",
    }
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 5, **conv)(inputs)
    h = layers.Conv2D(16, 3, **conv)(h)
    h = layers.Conv2D(8, 3, **conv)(h)
    h = layers.Conv2D(4, 3, **conv)(h)
    h = layers.Reshape((8, 8, 2, 2))(h)
    h = layers.Reshape((16, 16, 1))(layers.Permute((1, 3, 2, 4))(h))
    return ready(
        keras.Model(inputs, h),
        _opt.Adam(1e-3),
        "mse",
        small,
        x,
        batch_size=8,
        epochs=8,
    )


class Curves(keras.Model):
    """Brightens dark images by learned curves, without targets (Zero-DCE)."""

    def __init__(self):
        super().__init__()
        conv = {"padding": "same", "activation": "relu"}
        self.stack = [layers.Conv2D(12, 3, **conv) for _ in range(3)]
        self.last = layers.Conv2D(4, 3, padding="same", activation="tanh")

    def call(self, x):
        h = x
        for layer in self.stack:
            h = layer(h)
        curves = self.last(h)
        for at in range(4):
            a = curves[..., at : at + 1]
            x = x + a * (ops.square(x) - x)
        return ops.concatenate([x, curves], -1)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        bright, curves = y_pred[..., :1], y_pred[..., 1:]
        mean = layers.AveragePooling2D(4)(bright)
        exposure = 10 * ops.mean(ops.square(mean - 0.6))
        across = ops.mean(ops.square(curves[:, 1:] - curves[:, :-1]))
        along = ops.mean(ops.square(curves[:, :, 1:] - curves[:, :, :-1]))
        edges = bright[:, 1:] - bright[:, :-1] - 2 * (x[:, 1:] - x[:, :-1])
        return exposure + 200 * (across + along) + ops.mean(ops.square(edges))


@tutorial("image")
def dark_images_made_bright():
    x, _ = blobs(300)
    x = (0.2 * (x - x.min()) / np.ptp(x)).astype("float32")
    model = Curves()
    model.build((None, 16, 16, 1))
    model.compile(_opt.Adam(1e-4))
    return model, x, None, {"batch_size": 16, "epochs": 10}


@tutorial("image")
def masked_convolutions():
    """PixelCNN: kernels whose later half is masked; Adam at 5e-4."""
    x, _ = digits((8, 8, 1))
    x = (x > 0.33).astype("float32")

    class Masked(layers.Layer):
        def __init__(self, kind, filters, size):
            super().__init__()
            self.conv = layers.Conv2D(filters, size, padding="same")
            self.kind = kind

        def build(self, shape):
            self.conv.build(shape)
            mask = np.zeros(self.conv.kernel.shape, "float32")
            middle = mask.shape[0] // 2
            mask[:middle] = 1
            mask[middle, :middle] = 1
            if self.kind == "B":
                mask[middle, middle] = 1
            self.mask = mask

        def call(self, h):
            kernel = ops.multiply(self.conv.kernel, self.mask)
            return ops.conv(h, kernel, padding="same") + self.conv.bias

    inputs = keras.Input((8, 8, 1))
    h = layers.Activation("relu")(Masked("A", 24, 5)(inputs))
    for _ in range(2):
        inner = layers.Conv2D(12, 1, activation="relu")(h)
        inner = layers.ReLU()(Masked("B", 12, 3)(inner))
        h = layers.add([h, layers.Conv2D(24, 1, activation="relu")(inner)])
    out = layers.Conv2D(1, 1, activation="sigmoid")(h)
    return ready(
        keras.Model(inputs, out),
        _opt.Adam(5e-4),
        _BINARY,
        x,
        x,
        batch_size=32,
        epochs=5,
    )


class Denoiser(keras.Model):
    """DDIM's training: noise of a cosine schedule is found, by its MAE."""

    def __init__(self):
        super().__init__()
        conv = {"padding": "same", "activation": "swish"}
        self.first = layers.Conv2D(16, 3, **conv)
        self.down = layers.Conv2D(24, 3, strides=2, **conv)
        self.inner = layers.Conv2D(24, 3, **conv)
        self.up = layers.Conv2DTranspose(16, 3, strides=2, **conv)
        self.last = layers.Conv2D(1, 1, kernel_initializer="zeros")
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x):
        rows = ops.shape(x)[0]
        time = keras.random.uniform((rows, 1, 1, 1), seed=self.seeds)
        noise = keras.random.normal((rows, 8, 8, 1), seed=self.seeds)
        angle = 0.32 + time * (1.55 - 0.32)
        mixed = ops.cos(angle) * x + ops.sin(angle) * noise
        level = ops.sin(angle) * ops.ones_like(x)
        a = self.first(ops.concatenate([mixed, level], -1))
        b = self.inner(self.down(a))
        h = ops.concatenate([self.up(b), a], -1)
        return ops.concatenate([self.last(h), noise], -1)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        return ops.mean(ops.abs(y_pred[..., :1] - y_pred[..., 1:]))


@tutorial("image")
def noise_found_in_digits():
    x, _ = digits((8, 8, 1))
    x = (x - x.mean()) / x.std()
    model = Denoiser()
    model.build((None, 8, 8, 1))
    model.compile(_opt.AdamW(1e-3, weight_decay=1e-4))
    return model, x.astype("float32"), None, {"batch_size": 64, "epochs": 10}


@tutorial("image")
def supervised_contrast():
    """Codes of one class attract each other in the batch; Adam at 1e-3."""
    x, y = digits()

    def contrast(t, p):
        p = p / ops.maximum(ops.norm(p, axis=1, keepdims=True), 1e-6)
        t = ops.reshape(t, (-1, 1))
        logits = ops.matmul(p, ops.transpose(p)) / 0.05
        same = ops.cast(ops.equal(t, ops.transpose(t)), "float32")
        same = same / ops.sum(same, 1, keepdims=True)
        return -ops.mean(ops.sum(same * ops.log_softmax(logits), 1))

    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, "relu"),
            layers.Dropout(0.2),
            layers.Dense(32, "relu"),
        ]
    )
    return ready(
        model,
        _opt.Adam(1e-3),
        contrast,
        x,
        y.astype("float32"),
        batch_size=128,
        epochs=12,
    )


@tutorial("text")
def words_by_convolutions():
    """Text from scratch: strided convolutions, maxima, dropout of a half."""
    x, y = tokens(1200, 40, 60)
    y = (np.isin(x, [3, 5, 7]).sum(1) > 1).astype("float32")
    inputs = keras.Input((None,), dtype="int64")
    h = layers.Dropout(0.5)(layers.Embedding(60, 32)(inputs))
    conv = {"padding": "valid", "activation": "relu", "strides": 3}
    h = layers.Conv1D(32, 5, **conv)(h)
    h = layers.Conv1D(32, 5, **conv)(h)
    h = layers.GlobalMaxPooling1D()(h)
    h = layers.Dropout(0.5)(layers.Dense(32, "relu")(h))
    out = layers.Dense(1, "sigmoid", name="predictions")(h)
    return ready(
        keras.Model(inputs, out),
        "adam",
        _BINARY,
        x.astype("int64"),
        y,
        ["accuracy"],
        epochs=20,
    )


@tutorial("text")
def two_ways_through_words():
    x, y = tokens(900, 16, 30)
    inputs = keras.Input((None,), dtype="int32")
    h = layers.Embedding(30, 32)(inputs)
    h = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(h)
    h = layers.Bidirectional(layers.LSTM(16))(h)
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
    return ready(model, "adam", _BINARY, x, y, ["accuracy"], epochs=7)


def _one_hot(x, rows):
    return np.eye(rows, dtype="float32")[x]


@tutorial("text")
def sums_as_letters():
    """An RNN that adds: encoder, repeated code, decoder, a softmax a place."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 3000))
    x = np.stack([a, np.full(3000, 10), b], 1)
    y = np.stack([(a + b) // 5, (a + b) % 5], 1)
    model = keras.Sequential(
        [
            keras.Input((3, 11)),
            layers.LSTM(32),
            layers.RepeatVector(2),
            layers.LSTM(32, return_sequences=True),
            layers.Dense(11, "softmax"),
        ]
    )
    return ready(
        model,
        "adam",
        "categorical_crossentropy",
        _one_hot(x, 11),
        _one_hot(y, 11),
        ["accuracy"],
        batch_size=32,
        epochs=6,
    )


def _text():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(12)]
    text = " ".join(rng.choice(words, 500))
    letters = sorted(set(text))
    return np.array([letters.index(c) for c in text]), len(letters)


@tutorial("text")
def letters_by_an_lstm():
    """keras.io's text generation: RMSprop at 0.01, one letter ahead."""
    text, rows = _text()
    windows = np.stack([text[i : i + 13] for i in range(0, 2400, 2)])
    model = keras.Sequential(
        [
            keras.Input((12, rows)),
            layers.LSTM(48),
            layers.Dense(rows, "softmax"),
        ]
    )
    return ready(
        model,
        _opt.RMSprop(0.01),
        "categorical_crossentropy",
        _one_hot(windows[:, :-1], rows),
        _one_hot(windows[:, -1], rows),
        batch_size=64,
        epochs=10,
    )


@tutorial("text")
def words_that_are_masked():
    """BERT's task: a fifth is masked, and only these places have weight."""
    text, rows = _text()
    x = np.stack([text[i : i + 12] for i in range(0, 2400, 2)])
    rng = np.random.default_rng(0)
    hidden = rng.random(x.shape) < 0.2
    given = np.where(hidden, rows, x).astype("int32")
    inputs = keras.Input((12,), dtype="int32")
    h = Places()(layers.Embedding(rows + 1, 32)(inputs))
    for _ in range(2):
        a = layers.Dropout(0.1)(layers.MultiHeadAttention(4, 8)(h, h, h))
        h = layers.LayerNormalization(epsilon=1e-6)(h + a)
        f = layers.Dense(32)(layers.Dense(64, "relu")(h))
        h = layers.LayerNormalization(epsilon=1e-6)(h + layers.Dropout(0.1)(f))
    model = keras.Model(inputs, layers.Dense(rows, "softmax")(h))
    model.compile(_opt.Adam(1e-3), _SPARSE)
    fit = {"sample_weight": hidden.astype("float32"), "epochs": 12}
    return model, given, x.astype("int32"), fit


@tutorial("text")
def translation_by_attention():
    """Encoder and decoder of attention, RMSprop, a shifted target."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, (900, 6))
    y = (x[:, ::-1] * 3) % 10
    given = np.concatenate([np.full((900, 1), 10), y[:, :-1]], 1)

    def norm(h):
        return layers.LayerNormalization()(h)

    source = keras.Input((6,), dtype="int32", name="source")
    target = keras.Input((6,), dtype="int32", name="target")
    e = Places()(layers.Embedding(11, 32)(source))
    e = norm(e + layers.MultiHeadAttention(4, 8)(e, e))
    e = norm(e + layers.Dense(32)(layers.Dense(64, "relu")(e)))
    d = Places()(layers.Embedding(11, 32)(target))
    attend = layers.MultiHeadAttention(4, 8)
    d = norm(d + attend(d, d, use_causal_mask=True))
    d = norm(d + layers.MultiHeadAttention(4, 8)(d, e))
    d = norm(d + layers.Dense(32)(layers.Dense(64, "relu")(d)))
    out = layers.Dense(11, "softmax")(layers.Dropout(0.5)(d))
    model = keras.Model([source, target], out)
    model.compile("rmsprop", _SPARSE, metrics=["accuracy"])
    inputs = {"source": x.astype("int32"), "target": given.astype("int32")}
    return model, inputs, y.astype("int32"), {"epochs": 18}


@tutorial("image")
def voices_by_residual_convolutions():
    """Speakers by the moduli of a Fourier transform, five residual blocks."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 600)
    time = np.arange(64) / 64
    pitch = np.array([5, 8, 11, 14])[y][:, None] + rng.normal(0, 0.5, (600, 1))
    sound = np.sin(2 * np.pi * pitch * time) + 0.5 * rng.normal(size=(600, 64))
    x = np.abs(np.fft.rfft(sound))[:, :32, None].astype("float32")
    inputs = keras.Input((32, 1))
    h = inputs
    for width, depth in ((8, 2), (16, 2), (16, 3)):
        rest = layers.Conv1D(width, 1, padding="same")(h)
        for _ in range(depth - 1):
            h = layers.Conv1D(width, 3, padding="same", activation="relu")(h)
        h = layers.Conv1D(width, 3, padding="same")(h)
        h = layers.Activation("relu")(layers.Add()([h, rest]))
        h = layers.MaxPool1D(2, 2)(h)
    h = layers.Flatten()(layers.AveragePooling1D(3, 3)(h))
    h = layers.Dense(32, "relu")(layers.Dense(64, "relu")(h))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    return ready(
        model,
        "adam",
        _SPARSE,
        x,
        y.astype("int32"),
        ["accuracy"],
        batch_size=32,
        epochs=10,
    )


@tutorial("image")
def codes_of_a_conv_vae():
    """The VAE of keras.io: crossentropy summed over pixels, and divergence."""
    x, _ = digits((8, 8, 1))

    class VAE(keras.Model):
        def __init__(self):
            super().__init__()
            conv = {"activation": "relu", "strides": 2, "padding": "same"}
            self.a = layers.Conv2D(16, 3, **conv)
            self.b = layers.Conv2D(32, 3, **conv)
            self.flat, self.h = layers.Flatten(), layers.Dense(16, "relu")
            self.mean, self.log = layers.Dense(2), layers.Dense(2)
            self.up = layers.Dense(128, "relu")
            self.c = layers.Conv2DTranspose(32, 3, **conv)
            self.d = layers.Conv2DTranspose(16, 3, **conv)
            self.out = layers.Conv2DTranspose(
                1, 3, activation="sigmoid", padding="same"
            )
            self.seeds = keras.random.SeedGenerator(5)

        def call(self, x):
            h = self.h(self.flat(self.b(self.a(x))))
            mean, log = self.mean(h), self.log(h)
            noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
            code = mean + ops.exp(0.5 * log) * noise
            h = ops.reshape(self.up(code), (-1, 2, 2, 32))
            kl = -0.5 * (1 + log - ops.square(mean) - ops.exp(log))
            self.add_loss(ops.mean(ops.sum(kl, axis=1)))
            return self.out(self.d(self.c(h)))

        def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
            each = keras.losses.binary_crossentropy(x, y_pred)
            return ops.mean(ops.sum(each, axis=(1, 2))) + sum(self.losses)

    model = VAE()
    model.build((None, 8, 8, 1))
    model.compile(_opt.Adam())
    return model, x, None, {"batch_size": 64, "epochs": 15}


@tutorial("image")
def latent_array_of_a_perceiver():
    x, y = stripes(700)
    patches = x.reshape(-1, 4, 3, 4, 3, 1).transpose(0, 1, 3, 2, 4, 5)
    patches = patches.reshape(-1, 16, 9)

    class Latent(layers.Layer):
        def build(self, shape):
            self.rows = self.add_weight(
                shape=(8, 32), initializer="random_normal", name="rows"
            )

        def call(self, h):
            return ops.repeat(self.rows[None], ops.shape(h)[0], axis=0)

        def compute_output_shape(self, shape):
            return (shape[0], 8, 32)

    inputs = keras.Input((16, 9))
    data = Places()(layers.Dense(32)(inputs))
    latent = Latent()(data)
    for _ in range(2):
        a, d = (
            layers.LayerNormalization()(latent),
            layers.LayerNormalization()(data),
        )
        latent = latent + layers.MultiHeadAttention(1, 32, dropout=0.2)(a, d)
        f = layers.LayerNormalization()(latent)
        f = layers.Dense(32)(layers.Dense(32, "gelu")(f))
        latent = latent + layers.Dropout(0.2)(f)
        b = layers.LayerNormalization()(latent)
        latent = latent + layers.MultiHeadAttention(4, 8)(b, b)
    h = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(latent))
    model = keras.Model(inputs, layers.Dense(4)(layers.Dropout(0.2)(h)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(
        model,
        _opt.Lamb(1e-2, weight_decay=1e-4),
        loss,
        patches,
        y,
        ["accuracy"],
        epochs=12,
    )


@tutorial("own")
def papers_that_cite_each_other():
    """Messages along edges, gathered by number and summed by segment."""
    x, y = moons(300)
    y = y.astype("int32")[:, 0]
    far = ((x[:, None] - x[None]) ** 2).sum(-1)
    near = np.argsort(far, 1)[:, 1:6]
    noisy = (x + 0.3 * np.random.default_rng(0).normal(size=x.shape)).astype(
        "float32"
    )

    class Messages(layers.Layer):
        def __init__(self, width):
            super().__init__()
            self.prepare = layers.Dense(width, "gelu")
            self.update = layers.Dense(width, "gelu")

        def build(self, shape):
            self.prepare.build(shape)
            self.update.build((None, shape[-1] + self.prepare.units))

        def call(self, h):
            sent = ops.take(self.prepare(h), near, axis=0)
            both = ops.concatenate([h, ops.mean(sent, axis=1)], 1)
            return self.update(both)

        def compute_output_shape(self, shape):
            return (shape[0], self.update.units)

    inputs = keras.Input(batch_shape=(300, 2), name="nodes")
    h = layers.Dense(16, "gelu")(layers.BatchNormalization()(inputs))
    h = Messages(16)(h)
    h = h + Messages(16)(h)
    model = keras.Model(inputs, layers.Dense(2)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(_opt.Adam(0.01), loss, metrics=["acc"])
    fit = {"batch_size": 300, "shuffle": False, "epochs": 150}
    return model, [noisy], y, fit
