"""Blocks that the programs of `usual` and `usual_own` are made of."""

import keras
import numpy as np
from keras import layers
from keras import ops


def conv_bn(h, width, stride=1, size=3, activation="relu"):
    """Return convolution, batch normalization and activation of a tensor."""
    h = layers.Conv2D(
        width, size, strides=stride, padding="same", use_bias=False
    )(h)
    return layers.Activation(activation)(layers.BatchNormalization()(h))


def inverted(h, width, factor, stride=1):
    """Return an inverted bottleneck with squeeze and excitation."""
    rest, wide = h, factor * h.shape[-1]
    h = conv_bn(h, wide, size=1, activation="silu")
    h = layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False
    )(h)
    h = layers.Activation("silu")(layers.BatchNormalization()(h))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(h)
    gate = layers.Conv2D(max(1, wide // 16), 1, activation="silu")(gate)
    h = h * layers.Conv2D(wide, 1, activation="sigmoid")(gate)
    h = layers.Conv2D(width, 1, use_bias=False)(h)
    h = layers.BatchNormalization()(h)
    if stride == 1 and rest.shape[-1] == width:
        h = layers.Add()([rest, layers.Dropout(0.1)(h)])
    return h


class Block(layers.Layer):
    """Attention and two dense layers, each with a way round."""

    def __init__(self, width, heads, causal=False, before=True):
        super().__init__()
        self.causal, self.before = causal, before
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.first = layers.LayerNormalization(epsilon=1e-6)
        self.second = layers.LayerNormalization(epsilon=1e-6)
        self.inner = keras.Sequential(
            [layers.Dense(4 * width, "gelu"), layers.Dense(width)]
        )

    def build(self, shape):
        self.attention.build(shape, shape)
        for layer in (self.first, self.second, self.inner):
            layer.build(shape)
        self.built = True

    def call(self, x):
        if self.before:
            h = self.first(x)
            x = x + self.attention(h, h, use_causal_mask=self.causal)
            return x + self.inner(self.second(x))
        h = self.attention(x, x, use_causal_mask=self.causal)
        x = self.first(x + h)
        return self.second(x + self.inner(x))

    def compute_output_shape(self, shape):
        return shape


class ClassToken(layers.Layer):
    """Puts a learned token in front, and adds learned places."""

    def build(self, shape):
        self.token = self.add_weight(
            shape=(1, 1, shape[-1]), initializer="zeros", name="token"
        )
        self.places = self.add_weight(
            shape=(1, shape[1] + 1, shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="places",
        )

    def call(self, x):
        token = ops.repeat(self.token, ops.shape(x)[0], axis=0)
        return ops.concatenate([token, x], axis=1) + self.places

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + 1, shape[2])


class Sampling(layers.Layer):
    """Draws a code from means and log variances, and adds its divergence."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, inputs):
        mean, log = inputs
        kl = -0.5 * (1 + log - ops.square(mean) - ops.exp(log))
        self.add_loss(self.weight * ops.mean(ops.sum(kl, axis=1)))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log) * noise

    def compute_output_shape(self, shape):
        return shape[0]


class Sine(layers.Layer):
    """A layer of a SIREN."""

    def __init__(self, units, first=False, pace=15.0):
        super().__init__()
        self.units, self.first, self.pace = units, first, pace

    def build(self, shape):
        width = shape[-1]
        limit = 1 / width if self.first else np.sqrt(6 / width) / self.pace
        draw = keras.initializers.RandomUniform(-limit, limit)
        self.kernel = self.add_weight(
            shape=(width, self.units), initializer=draw, name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.units,), initializer="zeros", name="bias"
        )

    def call(self, x):
        return ops.sin(self.pace * (ops.matmul(x, self.kernel) + self.bias))

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units)


class Quantizer(layers.Layer):
    """Takes the nearest row of a codebook, straight through."""

    def __init__(self, count, width):
        super().__init__()
        self.count, self.width = count, width

    def build(self, shape):
        self.rows = self.add_weight(
            shape=(self.count, self.width),
            initializer=keras.initializers.RandomUniform(-0.3, 0.3),
            name="rows",
        )

    def call(self, x):
        away = ops.sum(ops.square(x[..., None, :] - self.rows), -1)
        near = ops.take(self.rows, ops.argmin(away, axis=-1), axis=0)
        self.add_loss(0.25 * ops.mean(ops.square(x - ops.stop_gradient(near))))
        self.add_loss(ops.mean(ops.square(near - ops.stop_gradient(x))))
        return x + ops.stop_gradient(near - x)

    def compute_output_shape(self, shape):
        return shape


class Places(layers.Layer):
    """Adds a learned row to each place of a sequence."""

    def build(self, shape):
        self.rows = self.add_weight(
            shape=shape[1:], initializer="uniform", name="rows"
        )

    def call(self, x):
        return x + self.rows
