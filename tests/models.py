"""Small models of many makes, with data."""

import keras
import numpy as np
from keras import layers
from keras import ops


def dataset(rows=64, features=8, classes=3, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype("float32")
    return x, random.integers(0, classes, rows).astype("int32")


def mlp(width=16, depth=2, features=8, classes=3, activation="tanh"):
    model = keras.Sequential([keras.Input((features,))])
    for _ in range(depth):
        model.add(layers.Dense(width, activation=activation))
    model.add(layers.Dense(classes))
    return model


def images(rows=48, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 8, 8, 3)).astype("float32")
    return x, random.integers(0, 3, rows).astype("int32")


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def tokens(rows=48, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(0, 5, (rows, 6)).astype("int32")
    return x, random.integers(0, 3, rows).astype("int32")


def embedding():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )


def nested_and_shared():
    """A functional model with a nested model that is called twice."""
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(4)],
        name="inner",
    )
    inputs = keras.Input((8,))
    left = inner(layers.Dense(4, name="left")(inputs))
    right = inner(layers.Dense(4, name="right")(inputs))
    outputs = layers.Dense(3, name="head")(layers.Add()([left, right]))
    return keras.Model(inputs, outputs)


class Subclassed(keras.Model):
    """Layers made in another order than they are called in."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(3, name="head")
        self.body = layers.Dense(8, activation="relu", name="body")
        self.unused = layers.Dense(2, name="unused")
        self.unused.build((None, 8))

    def call(self, x):
        return self.head(self.body(x))


class CustomStep(keras.Model):
    """A functional model with a train step of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def to_numpy(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


class GAN(keras.Model):
    """Two networks, an optimizer each, and a train step that applies both.

    As in the guides of Keras: it is compiled with the two optimizers, and
    `model.optimizer` stays unused. Not for JAX, where Keras carries the state
    of that one only.
    """

    def __init__(self, generator, discriminator, critic_steps=1):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.critic_steps = critic_steps
        self.seeds = keras.random.SeedGenerator(0)
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def fake(self, rows):
        size = self.generator.input_shape[-1]
        return self.generator(
            keras.random.normal((rows, size), seed=self.seeds)
        )

    def train_step(self, data):
        real = data[0] if isinstance(data, tuple) else data
        rows = ops.shape(real)[0]
        ones, zeros = ops.ones((rows, 1)), ops.zeros((rows, 1))

        def d_loss():
            both = ops.concatenate([real, self.fake(rows)], axis=0)
            labels = ops.concatenate([ones, zeros], axis=0)
            return self.loss_fn(labels, self.discriminator(both))

        def g_loss():
            return self.loss_fn(ones, self.discriminator(self.fake(rows)))

        for _ in range(self.critic_steps):
            d = self.descend(d_loss, self.discriminator, self.d_optimizer)
        g = self.descend(g_loss, self.generator, self.g_optimizer)
        return {"d_loss": d, "g_loss": g}

    def descend(self, loss_of, network, optimizer):
        variables = network.trainable_weights
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = loss_of()
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss
        import torch

        self.zero_grad()
        loss = loss_of()
        loss.backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in variables], variables)
        return loss.detach()


def gan(activation="leaky_relu", **kwargs):
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(16, activation, name="g_hidden"),
            layers.Dense(8, name="g_out"),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation, name="d_hidden"),
            layers.Dense(1, name="d_out"),
        ],
        name="discriminator",
    )
    return GAN(generator, discriminator, **kwargs)
