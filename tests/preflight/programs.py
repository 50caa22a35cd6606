"""Healthy programs in the ways in which people publish them, small.

Each is a function that returns `(model, x, y)`, compiled; `y` is None where
`x` brings the targets. All train from where they start.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

L = layers


def _images(rows=48, size=16, channels=1, seed=0):
    random = np.random.default_rng(seed)
    x = random.uniform(size=(rows, size, size, channels)).astype("float32")
    # Dark for the most part, as drawings are.
    return x**3


def _rows(rows=64, features=8, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, features)).astype("float32")


def _steps(rows=48, steps=10, features=4, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, steps, features)).astype("float32")


def _classes(rows, count):
    return np.arange(rows) % count


def _compiled(model, loss, optimizer="adam", **more):
    model.compile(optimizer, loss, **more)
    return model


def dense_autoencoder():
    x = _images().reshape(48, -1)
    model = keras.Sequential(
        [keras.Input((256,))]
        + [L.Dense(n, "relu") for n in (64, 32, 16, 32, 64)]
        + [L.Dense(256, "sigmoid")]
    )
    return _compiled(model, "binary_crossentropy"), x, x


def conv_autoencoder():
    x = _images()
    how = {"padding": "same", "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            L.Conv2D(16, 3, **how),
            L.MaxPooling2D(2, padding="same"),
            L.Conv2D(16, 3, **how),
            L.MaxPooling2D(2, padding="same"),
            L.Conv2DTranspose(16, 3, strides=2, **how),
            L.Conv2DTranspose(16, 3, strides=2, **how),
            L.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    return _compiled(model, "binary_crossentropy"), x, x


def image_decoder():
    z = _rows(48, 32)
    model = keras.Sequential(
        [
            keras.Input((32,)),
            L.Dense(4 * 4 * 32, "relu"),
            L.Reshape((4, 4, 32)),
            L.Conv2DTranspose(32, 3, 2, padding="same", activation="relu"),
            L.Conv2DTranspose(16, 3, 2, padding="same", activation="relu"),
            L.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    return _compiled(model, "mse"), z, _images()


def unet():
    x = _images(24, 16, 3)
    mask = (x.mean(axis=-1, keepdims=True) > 0.25).astype("float32")
    inputs = keras.Input((16, 16, 3))
    h, kept = inputs, []
    for width in (8, 16):
        h = L.Conv2D(width, 3, padding="same", activation="relu")(h)
        h = L.Conv2D(width, 3, padding="same", activation="relu")(h)
        kept.append(h)
        h = L.MaxPooling2D(2, padding="same")(h)
    h = L.Conv2D(32, 3, padding="same", activation="relu")(h)
    for width, skip in zip((16, 8), reversed(kept), strict=True):
        h = L.Conv2DTranspose(width, 2, 2, padding="same")(h)
        h = L.Concatenate()([h, skip])
        h = L.Conv2D(width, 3, padding="same", activation="relu")(h)
    model = keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(h))
    return _compiled(model, "binary_crossentropy"), x, mask


def mbconv():
    """Blocks as in EfficientNet: expansion, depthwise, squeeze, projection."""
    conv = keras.initializers.VarianceScaling(2.0, "fan_out", seed=1)
    head = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform", 2)
    x = _images(32, 16, 3)
    inputs = keras.Input((16, 16, 3))

    def normed(h, act=True):
        h = L.BatchNormalization()(h)
        return L.Activation("swish")(h) if act else h

    def conv_of(width, size=1, **how):
        return L.Conv2D(
            width,
            size,
            padding="same",
            kernel_initializer=conv.clone(),
            **{"use_bias": False, **how},
        )

    h = normed(conv_of(8, 3)(L.Rescaling(2.0, -1.0)(inputs)))
    for width, stride in ((8, 1), (12, 2), (12, 1)):
        start, inner = h, 4 * h.shape[-1]
        h = normed(conv_of(inner)(h))
        h = normed(
            L.DepthwiseConv2D(
                3,
                stride,
                padding="same",
                use_bias=False,
                depthwise_initializer=conv.clone(),
            )(h)
        )
        s = L.Reshape((1, 1, inner))(L.GlobalAveragePooling2D()(h))
        s = conv_of(max(1, inner // 16), activation="swish", use_bias=True)(s)
        s = conv_of(inner, activation="sigmoid", use_bias=True)(s)
        h = normed(conv_of(width)(L.Multiply()([h, s])), act=False)
        if start.shape == h.shape:
            h = L.Add()([L.Dropout(0.1)(h), start])
    h = L.GlobalAveragePooling2D()(normed(conv_of(32)(h)))
    out = L.Dense(5, "softmax", kernel_initializer=head)(L.Dropout(0.2)(h))
    model = keras.Model(inputs, out)
    return (
        _compiled(model, "sparse_categorical_crossentropy"),
        x,
        _classes(32, 5),
    )


def _mixed(h, width):
    t = L.LayerNormalization()(h)
    t = L.Permute((2, 1))(t)
    t = L.Dense(2 * h.shape[1], "gelu")(t)
    t = L.Dense(h.shape[1])(t)
    h = L.Add()([h, L.Permute((2, 1))(t)])
    t = L.Dense(width, "gelu")(L.LayerNormalization()(h))
    return L.Add()([h, L.Dense(h.shape[-1])(t)])


def mixer(blocks=3):
    x = _images(32, 16, 3)
    inputs = keras.Input((16, 16, 3))
    h = L.Conv2D(16, 4, 4)(inputs)
    h = L.Reshape((16, 16))(h)
    for _ in range(blocks):
        h = _mixed(h, 32)
    h = L.GlobalAveragePooling1D()(L.LayerNormalization()(h))
    model = keras.Model(inputs, L.Dense(5)(L.Dropout(0.5)(h)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _compiled(model, loss, "adamw"), x, _classes(32, 5)


class Block(L.Layer):
    """A Transformer's block as in most tutorials: no `get_config`."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = L.MultiHeadAttention(heads, width // heads)
        self.feed = keras.Sequential([L.Dense(2 * width, "relu")])
        self.feed.add(L.Dense(width))
        self.first, self.second = L.LayerNormalization(), L.LayerNormalization()
        self.drop = L.Dropout(0.1)

    def call(self, x, training=None):
        x = self.first(x + self.drop(self.attention(x, x), training=training))
        return self.second(x + self.drop(self.feed(x), training=training))


class Positions(L.Layer):
    def __init__(self, count, rows, width, **kwargs):
        super().__init__(**kwargs)
        self.token = L.Embedding(rows, width)
        self.place = L.Embedding(count, width)

    def call(self, x):
        return self.token(x) + self.place(ops.arange(ops.shape(x)[-1]))


def text_transformer():
    x = np.random.default_rng(0).integers(0, 50, (48, 12))
    inputs = keras.Input((12,), dtype="int32")
    h = Block(16, 2)(Positions(12, 50, 16)(inputs))
    h = L.Dense(20, "relu")(L.GlobalAveragePooling1D()(h))
    model = keras.Model(inputs, L.Dense(2, "softmax")(L.Dropout(0.1)(h)))
    return (
        _compiled(model, "sparse_categorical_crossentropy"),
        x,
        _classes(48, 2),
    )


def language_model():
    x = np.random.default_rng(0).integers(0, 30, (48, 9))
    inputs = keras.Input((8,), dtype="int32")
    h = L.Embedding(30, 16)(inputs)
    for _ in range(2):
        t = L.LayerNormalization()(h)
        h = h + L.MultiHeadAttention(2, 8)(t, t, use_causal_mask=True)
        t = L.Dense(32, "gelu")(L.LayerNormalization()(h))
        h = h + L.Dense(16)(t)
    model = keras.Model(inputs, L.Dense(30)(L.LayerNormalization()(h)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _compiled(model, loss), x[:, :-1], x[:, 1:]


def patches_transformer():
    x = _images(24, 16, 3)
    inputs = keras.Input((16, 16, 3))
    h = L.Reshape((16, 24))(L.Conv2D(24, 4, 4)(inputs))
    for _ in range(2):
        t = L.LayerNormalization(epsilon=1e-6)(h)
        h = L.Add()([h, L.MultiHeadAttention(2, 12, dropout=0.1)(t, t)])
        t = L.Dense(48, keras.activations.gelu)(L.LayerNormalization()(h))
        h = L.Add()([h, L.Dense(24)(t)])
    h = L.Dropout(0.5)(L.Flatten()(L.LayerNormalization()(h)))
    model = keras.Model(inputs, L.Dense(5)(L.Dense(32, "gelu")(h)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _compiled(model, loss), x, _classes(24, 5)


def lstm_forecast():
    x = _steps()
    model = keras.Sequential(
        [
            keras.Input((10, 4)),
            L.LSTM(16, return_sequences=True),
            L.LSTM(16),
            L.Dense(8, "relu"),
            L.Dense(1),
        ]
    )
    return _compiled(model, "mse", "rmsprop"), x, x[:, -1, :1]


def gru_words():
    x = np.random.default_rng(0).integers(1, 40, (48, 12))
    x[:, 9:] = 0
    model = keras.Sequential(
        [
            keras.Input((12,)),
            L.Embedding(40, 8, mask_zero=True),
            L.Bidirectional(L.GRU(8)),
            L.Dense(1, "sigmoid"),
        ]
    )
    return _compiled(model, "binary_crossentropy"), x, _classes(48, 2)


def simple_rnn():
    x = _steps()
    model = keras.Sequential([keras.Input((10, 4)), L.SimpleRNN(16)])
    model.add(L.Dense(1))
    return _compiled(model, "mae"), x, x[:, :, 0].mean(axis=1)


def encoder_decoder():
    x = _steps(features=6)
    source, target = keras.Input((10, 6)), keras.Input((10, 6))
    _, *state = L.LSTM(16, return_state=True)(source)
    h, *_ = L.LSTM(16, return_sequences=True, return_state=True)(
        target, initial_state=state
    )
    model = keras.Model([source, target], L.Dense(6, "softmax")(h))
    one_hot = np.eye(6, dtype="float32")[x.argmax(axis=-1)]
    return _compiled(model, "categorical_crossentropy"), [x, x], one_hot


class GAN(keras.Model):
    """Keras's own example: a `train_step`, a `compile`, and no `call`."""

    def __init__(self, discriminator, generator, latent):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        self.latent = latent
        self.seed = keras.random.SeedGenerator(1337)

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real_images):
        raise NotImplementedError


def gan():
    conv = [L.Conv2D(8, 3, 2, padding="same"), L.LeakyReLU(0.2)]
    judge = keras.Sequential(
        [keras.Input((16, 16, 1)), *conv, L.GlobalMaxPooling2D(), L.Dense(1)]
    )
    draw = keras.Sequential(
        [
            keras.Input((8,)),
            L.Dense(8 * 8 * 8),
            L.LeakyReLU(0.2),
            L.Reshape((8, 8, 8)),
            L.Conv2DTranspose(8, 4, 2, padding="same"),
            L.LeakyReLU(0.2),
            L.Conv2D(1, 7, padding="same", activation="sigmoid"),
        ]
    )
    model = GAN(judge, draw, 8)
    model.compile(
        keras.optimizers.Adam(3e-4),
        keras.optimizers.Adam(3e-4),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return model, _images(), None


class VAE(keras.Model):
    """Losses are added in `call`; nothing is told of the targets."""

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.hidden = L.Dense(32, "relu")
        self.mean, self.log_var = L.Dense(width), L.Dense(width)
        self.back = keras.Sequential([L.Dense(32, "relu")])
        self.back.add(L.Dense(256, "sigmoid"))
        self.seed = keras.random.SeedGenerator(7)

    def call(self, x):
        h = self.hidden(x)
        mean, log_var = self.mean(h), self.log_var(h)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        kl = 1 + log_var - ops.square(mean) - ops.exp(log_var)
        self.add_loss(-0.5e-3 * ops.mean(ops.sum(kl, axis=-1)))
        return self.back(mean + ops.exp(0.5 * log_var) * noise)


def vae():
    x = _images().reshape(48, -1)
    return _compiled(VAE(), "binary_crossentropy"), x, x


class Classifier(keras.Model):
    """As the models of KerasHub: functional, with a config of its own."""

    def __init__(self, width, **kwargs):
        inputs = keras.Input((8,))
        h = L.Dense(width, "relu", name="hidden")(inputs)
        super().__init__(inputs, L.Dense(1, "sigmoid", name="out")(h), **kwargs)
        self.width = width

    def get_config(self):
        return {"width": self.width, "name": self.name}


def functional_subclass():
    x = _rows()
    return _compiled(Classifier(16), "binary_crossentropy"), x, x[:, 0] > 0


def nested_functional_subclass():
    inputs = keras.Input((8,))
    inner = Classifier(8, name="inner")
    h = L.Concatenate()([inner(inputs), L.Dense(4, "tanh")(inputs)])
    model = keras.Model(inputs, L.Dense(1)(h))
    x = _rows()
    return _compiled(model, "mse"), x, x[:, :1]


class Scale(L.Layer):
    """Takes a function, so it has no config."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return self.function(x) * self.scale


def layer_without_config():
    x = _rows()
    inputs = keras.Input((8,))
    h = Scale(lambda v: ops.tanh(v))(L.Dense(16, "relu")(inputs))
    h = L.Lambda(lambda v: v * 1.0)(h) + Scale(ops.sin)(h)
    model = keras.Model(inputs, L.Dense(1, "sigmoid")(L.Dense(16, "relu")(h)))
    return _compiled(model, "binary_crossentropy"), x, x[:, 0] > 0


class WithArguments(keras.Model):
    """Not built, with arguments, and no `get_config`."""

    def __init__(self, widths, function):
        super().__init__()
        self.function = function
        self.hidden = [L.Dense(width) for width in widths]
        self.norm, self.out = L.BatchNormalization(), L.Dense(1)

    def call(self, x, training=False):
        for layer in self.hidden:
            x = self.function(layer(x))
        return self.out(self.norm(x, training=training))


def unbuilt_with_arguments():
    def own_loss(y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    x = _rows()
    return _compiled(WithArguments((16, 8), ops.tanh), own_loss), x, x[:, :1]


class LateLayers(keras.Model):
    """Says that it is built while its layers are not."""

    def __init__(self):
        super().__init__()
        self.body = keras.Sequential([L.Dense(8, "relu"), L.Dense(8, "relu")])
        self.out = L.Dense(1)

    def build(self, shape):
        self.built = True

    def call(self, x, training=False):
        return self.out(self.body(x))


def late_layers():
    x = _rows()
    model = LateLayers()
    model.build((None, 8))
    return _compiled(model, "mse"), x, x[:, :1]


def several_inputs_and_outputs():
    x = _rows()
    words = np.random.default_rng(0).integers(0, 20, (64, 6))
    title = keras.Input((6,), name="title", dtype="int32")
    tags = keras.Input((8,), name="tags")
    h = L.LSTM(8)(L.Embedding(20, 8)(title))
    h = L.Concatenate()([h, L.Dense(8, "relu")(tags)])
    model = keras.Model(
        {"title": title, "tags": tags},
        {
            "priority": L.Dense(1, name="priority")(h),
            "department": L.Dense(4, name="department")(h),
        },
    )
    model.compile(
        "adam",
        {
            "priority": keras.losses.BinaryCrossentropy(from_logits=True),
            "department": keras.losses.SparseCategoricalCrossentropy(
                from_logits=True
            ),
        },
        loss_weights={"priority": 1.0, "department": 0.2},
    )
    given = {"title": words, "tags": x}
    told = {"priority": (x[:, :1] > 0) * 1.0, "department": _classes(64, 4)}
    return model, given, told


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, at):
        x = _rows(16, seed=at)
        return x, x[:, :1]


def _tabular():
    model = keras.Sequential([keras.Input((8,)), L.Dense(16, "relu")])
    model.add(L.Dense(1))
    return _compiled(model, "mse")


def py_dataset():
    return _tabular(), Batches(), None


def generator():
    def endless():
        while True:
            yield from (Batches()[at] for at in range(4))

    return _tabular(), endless(), None


def tf_data():
    import tensorflow as tf

    x = _rows()
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :1]))
    return _tabular(), data.shuffle(64).batch(16), None


def siamese():
    x = _rows()
    left, right = keras.Input((8,)), keras.Input((8,))
    tower = keras.Sequential([L.Dense(16, "relu"), L.Dense(8)])
    gap = L.Subtract()([tower(left), tower(right)])
    gap = L.Lambda(lambda d: ops.sum(ops.square(d), -1, keepdims=True))(gap)
    model = keras.Model([left, right], L.Dense(1, "sigmoid")(gap))
    same = (x[:, 0] * x[::-1, 0] > 0) * 1
    return _compiled(model, "binary_crossentropy"), [x, x[::-1]], same


def resnet():
    x = _images(24, 16, 3)
    inputs = keras.Input((16, 16, 3))
    h = L.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    h = L.ReLU()(L.BatchNormalization()(h))
    for width, stride in ((8, 1), (16, 2)):
        start = h
        h = L.Conv2D(width, 3, stride, padding="same", use_bias=False)(h)
        h = L.ReLU()(L.BatchNormalization()(h))
        h = L.Conv2D(width, 3, padding="same", use_bias=False)(h)
        h = L.BatchNormalization(gamma_initializer="zeros")(h)
        if stride > 1:
            start = L.Conv2D(width, 1, stride, use_bias=False)(start)
            start = L.BatchNormalization()(start)
        h = L.ReLU()(L.Add()([h, start]))
    h = L.Dense(5, "softmax")(L.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, h)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    return (
        _compiled(model, "sparse_categorical_crossentropy", sgd),
        x,
        _classes(24, 5),
    )


def selfnormalizing():
    x = _rows()
    how = {"activation": "selu", "kernel_initializer": "lecun_normal"}
    model = keras.Sequential(
        [keras.Input((8,))] + [L.Dense(16, **how) for _ in range(6)]
    )
    model.add(L.AlphaDropout(0.1))
    model.add(L.Dense(1))
    return _compiled(model, "huber"), x, x[:, :1]


def recommender():
    rows = np.random.default_rng(0).integers(0, 20, (64, 2))
    user, item = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
    first, second = L.Embedding(20, 8)(user), L.Embedding(20, 8)(item)
    h = L.Dot(axes=-1)([first, second]) + L.Embedding(20, 1)(item)
    model = keras.Model([user, item], L.Activation("sigmoid")(h))
    given = [rows[:, 0], rows[:, 1]]
    told = (rows.sum(axis=1, keepdims=True) % 5) / 4
    return _compiled(model, "binary_crossentropy"), given, told


def separable():
    x = _images(24, 16, 3)
    inputs = keras.Input((16, 16, 3))
    h = L.Conv2D(8, 3, 2, padding="same")(L.Rescaling(1.0)(inputs))
    for width in (16, 16):
        h = L.SeparableConv2D(width, 3, padding="same")(L.ReLU()(h))
        h = L.BatchNormalization()(h)
    h = L.Dropout(0.25)(L.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, L.Dense(1)(h))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return _compiled(model, loss), x, _classes(24, 2)


def pretrained_backbone():
    """A trained network and a new head, on inputs as the network wants them.

    Its first layers take pixels less their mean, as those of VGG do.
    """
    x = _images(24, 16, 3) * 255 - 110
    inputs = keras.Input((16, 16, 3))
    h = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    h = L.MaxPooling2D()(h)
    h = L.Conv2D(8, 3, padding="same", activation="relu")(h)
    base = keras.Model(inputs, L.GlobalAveragePooling2D()(h), name="base")
    random = np.random.default_rng(3)
    for layer in base.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            scale = 0.02 if layer is base.layers[1] else 1.0
            layer.set_weights(
                [kernel * scale, random.normal(0, 0.05, bias.shape)]
            )
    model = keras.Sequential([keras.Input((16, 16, 3)), base])
    model.add(L.Dense(5, "softmax"))
    return (
        _compiled(model, "sparse_categorical_crossentropy"),
        x,
        _classes(24, 5),
    )


PROGRAMS = (
    dense_autoencoder,
    conv_autoencoder,
    image_decoder,
    unet,
    mbconv,
    mixer,
    text_transformer,
    language_model,
    patches_transformer,
    lstm_forecast,
    gru_words,
    simple_rnn,
    encoder_decoder,
    gan,
    vae,
    functional_subclass,
    nested_functional_subclass,
    layer_without_config,
    unbuilt_with_arguments,
    late_layers,
    several_inputs_and_outputs,
    py_dataset,
    generator,
    tf_data,
    siamese,
    resnet,
    selfnormalizing,
    recommender,
    separable,
    pretrained_backbone,
)
