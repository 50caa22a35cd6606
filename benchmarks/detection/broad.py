"""Architectures people take off a shelf or rebuild, which learn, small.

Written before any rule or `check` saw them. `HEALTHY` maps a name to (point,
program); `broad_own` and `broad_fed` put more into it.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import blobs
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.kept_data import friedman
from detection.kept_data import stripes
from detection.kept_data import tokens
from detection.kept_sick import ONLY

HEALTHY: dict = {}
_opt = keras.optimizers
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def broad(point, only=None):
    def keep(function):
        HEALTHY[function.__name__] = (point, function)
        if only:
            ONLY[function.__name__] = only
        return function

    return keep


@broad("shelf")
def autoencoder_by_upsampling():
    """The convolutional autoencoder of Keras's first blog, to a code of 4."""
    x, _ = stripes(500)
    conv = {"activation": "relu", "padding": "same"}
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(16, 3, **conv),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(8, 3, **conv),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(8, 3, **conv),
            layers.UpSampling2D(2),
            layers.Conv2D(16, 3, **conv),
            layers.UpSampling2D(2),
            layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
        ]
    )
    return ready(model, "adam", _BINARY, x, x, batch_size=32, epochs=12)


@broad("shelf")
def autoencoder_of_rows():
    """Dense, to a code of three, linear output, standardised columns."""
    rng = np.random.default_rng(0)
    x = np.tanh(rng.normal(size=(900, 3)) @ rng.normal(size=(3, 20)))
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    model = dense((20,), (16, "relu"), (3, None), (16, "relu"), (20, None))
    return ready(model, _opt.Adam(2e-3), "mse", x, x, epochs=20)


@broad("shelf")
def pictures_from_four_numbers():
    """A decoder: place, size and brightness to a picture."""
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (700, 4)).astype("float32")
    at = np.linspace(-1, 1, 12)
    far = (at[None, :, None] - z[:, 0, None, None]) ** 2
    far = far + (at[None, None] - z[:, 1, None, None]) ** 2
    wide = 0.15 + 0.1 * z[:, 2, None, None]
    y = (0.6 + 0.4 * z[:, 3, None, None]) * np.exp(-far / (2 * wide))
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3 * 3 * 16, "relu"),
            layers.Reshape((3, 3, 16)),
            layers.Conv2DTranspose(
                16, 4, strides=2, padding="same", activation="relu"
            ),
            layers.Conv2DTranspose(
                8, 4, strides=2, padding="same", activation="relu"
            ),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    y = y[..., None].astype("float32")
    return ready(model, _opt.Adam(1e-3), "mse", z, y, epochs=12)


# On torch Keras's crossentropy of a softmax cannot go back through the image.
@broad("shelf", ("jax", "tensorflow"))
def unet_of_three_classes():
    x, y = blobs(300)
    y = (y[..., 0] * (1 + (x.mean((1, 2, 3)) > 0.1)[:, None, None])).astype(int)

    def twice(h, width):
        for _ in range(2):
            h = layers.Conv2D(width, 3, padding="same", use_bias=False)(h)
            h = layers.ReLU()(layers.BatchNormalization()(h))
        return h

    inputs = keras.Input((16, 16, 1))
    a = twice(inputs, 8)
    b = twice(layers.MaxPooling2D()(a), 16)
    c = twice(layers.MaxPooling2D()(b), 32)
    h = layers.Conv2DTranspose(16, 2, strides=2)(c)
    h = twice(layers.concatenate([h, b]), 16)
    h = layers.Conv2DTranspose(8, 2, strides=2)(h)
    h = twice(layers.concatenate([h, a]), 8)
    model = keras.Model(inputs, layers.Conv2D(3, 1, activation="softmax")(h))
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, batch_size=16, epochs=8)


@broad("shelf")
def inverted_bottlenecks():
    """EfficientNet's block: wide, depthwise, squeezed, narrow; swish."""
    x, y = stripes(500)
    draw = keras.initializers.VarianceScaling(
        2.0, "fan_out", "truncated_normal"
    )
    how = {"kernel_initializer": draw, "use_bias": False, "padding": "same"}

    def block(h, width, stride):
        rest, wide = h, 4 * h.shape[-1]
        h = layers.BatchNormalization()(layers.Conv2D(wide, 1, **how)(h))
        h = layers.Activation("swish")(h)
        h = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False
        )(h)
        h = layers.Activation("swish")(layers.BatchNormalization()(h))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(h)
        gate = layers.Conv2D(wide // 8, 1, activation="swish")(gate)
        gate = layers.Conv2D(wide, 1, activation="sigmoid")(gate)
        h = layers.multiply([h, gate])
        h = layers.BatchNormalization()(layers.Conv2D(width, 1, **how)(h))
        if stride == 1 and width == rest.shape[-1]:
            h = layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(h)
            h = layers.add([h, rest])
        return h

    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(8, 3, **how)(
        layers.Normalization(mean=0.5, variance=0.08)(inputs)
    )
    for width, stride in ((8, 1), (12, 2), (12, 1), (16, 2), (16, 1)):
        h = block(h, width, stride)
    h = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(h))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(h))
    return ready(
        model, _opt.RMSprop(1e-3, momentum=0.9), _SPARSE, x, y, epochs=8
    )


@broad("shelf")
def efficientnet_of_keras():
    """Keras's own, narrow, no weights: it rescales bytes itself."""
    x, y = stripes(320, size=32, channels=3)
    model = keras.applications.EfficientNetB0(
        weights=None, input_shape=(32, 32, 3), classes=4
    )
    return ready(
        model, _opt.Adam(2e-3), _SPARSE, 255 * x, y, batch_size=16, epochs=5
    )


@broad("shelf")
def mobilenet_of_keras():
    x, y = stripes(500, size=32, channels=3)
    base = keras.applications.MobileNetV2(
        weights=None,
        include_top=False,
        input_shape=(32, 32, 3),
        alpha=0.35,
        pooling="avg",
    )
    model = keras.Sequential(
        [base, layers.Dropout(0.2), layers.Dense(4, "softmax")]
    )
    return ready(
        model, _opt.Adam(1e-3), _SPARSE, 2 * x - 1, y, batch_size=16, epochs=4
    )


@broad("shelf")
def vgg_of_keras():
    """Sixteen layers without normalization, from He's draw it is not."""
    x, y = stripes(400, size=32, channels=3)
    base = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    cut = base.get_layer("block3_pool").output
    h = layers.Dense(64, "relu")(layers.GlobalAveragePooling2D()(cut))
    model = keras.Model(base.input, layers.Dense(4, "softmax")(h))
    return ready(model, _opt.Adam(5e-4), _SPARSE, x, y, batch_size=16, epochs=5)


def _hub(**more):
    return {
        "vocabulary_size": 24,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 32,
        "intermediate_dim": 64,
        "max_sequence_length": 16,
        **more,
    }


@broad("hub")
def bert_of_kerashub():
    import keras_hub

    x, y = tokens()
    ids = {
        "token_ids": x,
        "padding_mask": np.ones_like(x),
        "segment_ids": np.zeros_like(x),
    }
    model = keras_hub.models.BertTextClassifier(
        keras_hub.models.BertBackbone(dropout=0.1, **_hub()),
        num_classes=2,
        preprocessor=None,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(
        model,
        _opt.AdamW(1e-3),
        loss,
        ids,
        y[:, 0].astype("int32"),
        ["accuracy"],
        epochs=8,
    )


@broad("hub")
def gpt2_of_kerashub():
    """Next tokens of sequences that count upwards by one or two."""
    import keras_hub

    rng = np.random.default_rng(0)
    start, pace = rng.integers(0, 24, (600, 1)), rng.integers(1, 3, (600, 1))
    ids = (start + pace * np.arange(17)) % 24
    x = {
        "token_ids": ids[:, :-1].astype("int32"),
        "padding_mask": np.ones((600, 16), "bool"),
    }
    model = keras_hub.models.GPT2CausalLM(
        keras_hub.models.GPT2Backbone(dropout=0.0, **_hub()), preprocessor=None
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    y = ids[:, 1:].astype("int32")
    return ready(model, _opt.Adam(2e-3), loss, x, y, epochs=6)


@broad("hub")
def resnet_of_kerashub():
    import keras_hub

    x, y = stripes(400, size=16, channels=3)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    model = keras_hub.models.ImageClassifier(
        backbone, num_classes=4, preprocessor=None, activation="softmax"
    )
    return ready(
        model,
        _opt.SGD(0.02, momentum=0.9),
        _SPARSE,
        x,
        y,
        batch_size=16,
        epochs=5,
    )


@broad("hub")
def adapters_in_kerashub():
    """A trained backbone, then LoRA alone on another question."""
    import keras_hub

    x, y = tokens()
    ids = {"token_ids": x, "padding_mask": np.ones_like(x)}
    backbone = keras_hub.models.GPT2Backbone(dropout=0.0, **_hub())
    h = layers.GlobalAveragePooling1D()(backbone.output)
    first = keras.Model(backbone.input, layers.Dense(1, "sigmoid")(h))
    first.compile(_opt.Adam(2e-3), _BINARY)
    first.fit(ids, y, epochs=4, verbose=0)
    backbone.enable_lora(4)
    other = (x.mean(1) > 13).astype("float32")[:, None]
    model = keras.Model(backbone.input, layers.Dense(1, "sigmoid")(h))
    return ready(model, _opt.Adam(2e-3), _BINARY, ids, other, epochs=8)


class Scored(keras.Model):
    """A functional model whose class takes other arguments than Keras's."""

    def __init__(self, width, classes, **more):
        inputs = keras.Input((64,), name="pixels")
        h = layers.Dense(width, "relu")(inputs)
        h = layers.Dropout(0.2)(layers.Dense(width, "relu")(h))
        outputs = layers.Dense(classes, "softmax")(h)
        super().__init__(inputs=inputs, outputs=outputs, **more)
        self.width, self.classes = width, classes

    def get_config(self):
        return {"width": self.width, "classes": self.classes, "name": self.name}


@broad("shelf")
def functional_class_of_its_own():
    x, y = digits()
    return ready(Scored(48, 10), "adam", _SPARSE, x, y, ["accuracy"], epochs=6)


class Fourier(layers.Layer):
    """Random frequencies, and no `get_config`."""

    def __init__(self, count, scale):
        super().__init__()
        draw = np.random.default_rng(0).normal(0, scale, (10, count))
        self.draw = draw.astype("float32")

    def call(self, x):
        h = ops.matmul(x, self.draw)
        return ops.concatenate([ops.sin(h), ops.cos(h), x], -1)


@broad("shelf")
def frequencies_without_a_config():
    x, y = friedman()
    inputs = keras.Input((10,))
    h = layers.Dense(64, "relu")(Fourier(24, 0.5)(inputs))
    h = layers.Dense(32, "relu")(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(1e-3), "mse", x, y, epochs=12)


class Blocks(keras.Model):
    """Unbuilt, with arguments, its layers in lists, a dict of inputs."""

    def __init__(self, units, depth, rate=0.1):
        super().__init__()
        self.table = layers.Embedding(24, units)
        self.stack = [layers.Dense(units, "gelu") for _ in range(depth)]
        self.norms = [layers.LayerNormalization() for _ in range(depth)]
        self.drop = layers.Dropout(rate)
        self.head = layers.Dense(1, "sigmoid")

    def call(self, inputs, training=None):
        h = ops.mean(self.table(inputs["words"]), 1)
        h = ops.concatenate([h, inputs["numbers"]], -1)
        for layer, norm in zip(self.stack, self.norms, strict=True):
            h = self.drop(layer(norm(h)), training=training)
        return self.head(h)


@broad("shelf")
def unbuilt_with_arguments():
    x, y = tokens()
    more = np.random.default_rng(0).normal(size=(len(x), 3)).astype("float32")
    data = {"words": x, "numbers": more}
    return ready(Blocks(24, 3), _opt.Adam(2e-3), _BINARY, data, y, epochs=10)
