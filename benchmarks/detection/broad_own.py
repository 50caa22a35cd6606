"""Losses and train steps of one's own, in programs which learn, small.

They go into `broad.HEALTHY`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.broad import HEALTHY  # noqa: F401  filled here
from detection.broad import broad
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.kept_data import clusters
from detection.kept_data import moons
from detection.kept_data import stripes

_opt = keras.optimizers
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


class Spread(layers.Layer):
    """Draws a code and adds its divergence to the loss."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.seeds = weight, keras.random.SeedGenerator(1)

    def call(self, h):
        mean, log = ops.split(h, 2, axis=-1)
        far = ops.mean(ops.exp(log) + ops.square(mean) - 1 - log)
        self.add_loss(0.5 * self.weight * far)
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log) * noise

    def compute_output_shape(self, shape):
        return (*shape[:-1], shape[-1] // 2)


@broad("own")
def divergence_by_add_loss():
    x, _ = stripes(500)
    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(
        inputs
    )
    h = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(h)
    h = Spread(0.01)(layers.Dense(12)(layers.Flatten()(h)))
    h = layers.Reshape((3, 3, 16))(layers.Dense(144, "relu")(h))
    for width in (16, 8):
        h = layers.Conv2DTranspose(
            width, 3, strides=2, padding="same", activation="relu"
        )(h)
    out = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(h)
    return ready(
        keras.Model(inputs, out), _opt.Adam(2e-3), _BINARY, x, x, epochs=10
    )


class Taught(keras.Model):
    """Learns from a teacher's softened outputs as well as from labels."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        soft = ops.softmax(self.teacher(x, training=False) / 3.0)
        own = ops.log_softmax(y_pred / 3.0)
        near = -9.0 * ops.mean(ops.sum(soft * own, -1))
        hard = keras.losses.sparse_categorical_crossentropy(
            y, y_pred, from_logits=True
        )
        return 0.1 * ops.mean(hard) + 0.9 * near


@broad("own")
def student_of_a_teacher():
    x, y = digits()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher = dense((64,), (96, "relu"), (96, "relu"), (10, None))
    teacher.compile("adam", loss)
    teacher.fit(x, y, epochs=6, verbose=0)
    model = Taught(dense((64,), (16, "relu"), (10, None)), teacher)
    model.compile(_opt.Adam(3e-3), metrics=["sparse_categorical_accuracy"])
    return model, x, y, {"epochs": 8}


class TwoViews(keras.Model):
    """SimCLR: two noisy views of each row shall be each other's nearest."""

    def __init__(self):
        super().__init__()
        self.encoder = dense((64,), (64, "relu"), (32, None))
        self.projection = dense((32,), (32, "relu"), (16, None))
        self.noise = layers.GaussianNoise(0.15)

    def call(self, x, training=None):
        views = [self.noise(x, training=training) for _ in range(2)]
        h = [self.projection(self.encoder(view)) for view in views]
        return ops.stack([ops.normalize(part, axis=-1) for part in h], 1)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        near = ops.matmul(y_pred[:, 0], ops.transpose(y_pred[:, 1])) / 0.1
        right = ops.arange(ops.shape(near)[0])
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                right, near, from_logits=True
            )
        )


@broad("own")
def two_views_of_a_digit():
    x, _ = digits()
    model = TwoViews()
    model.compile(_opt.Adam(1e-3))
    return model, x, None, {"epochs": 6, "batch_size": 64}


class Flow(keras.Model):
    """RealNVP: affine couplings, the loss a log-likelihood."""

    def __init__(self):
        super().__init__()
        self.nets = [
            dense((1,), (24, "relu"), (24, "relu"), (2, None)) for _ in range(4)
        ]

    def call(self, x):
        total = 0.0
        for at, net in enumerate(self.nets):
            keep, change = x[:, at % 2, None], x[:, 1 - at % 2, None]
            scale, shift = ops.split(net(keep), 2, axis=-1)
            scale = ops.tanh(scale)
            change = (change - shift) * ops.exp(-scale)
            total = total - scale
            pair = [keep, change] if at % 2 == 0 else [change, keep]
            x = ops.concatenate(pair, -1)
        return ops.concatenate([x, total], -1)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        z, log = y_pred[:, :2], y_pred[:, 2]
        return ops.mean(0.5 * ops.sum(ops.square(z), -1) - log)


@broad("own")
def density_of_two_moons():
    x, _ = moons(1000)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    model = Flow()
    model.compile(_opt.Adam(2e-3))
    return model, x, None, {"epochs": 12}


@broad("own")
def mixture_of_three_bells():
    """A mixture density net: y has two branches, the loss is likelihood."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, (1000, 1)).astype("float32")
    x = y + 0.3 * np.sin(5 * y) + 0.05 * rng.normal(size=y.shape)

    def likelihood(t, p):
        mix, mean, log = ops.split(p, 3, axis=-1)
        log = ops.clip(log, -4, 4)
        far = -0.5 * ops.square((t - mean) / ops.exp(log)) - log
        return -ops.logsumexp(ops.log_softmax(mix) + far, axis=-1)

    model = dense((1,), (24, "tanh"), (24, "tanh"), (9, None))
    return ready(
        model, _opt.Adam(3e-3), likelihood, x.astype("float32"), y, epochs=15
    )


@broad("own")
def policy_by_clipped_ratio():
    """PPO's loss on one batch of a bandit that knows its context."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4)).astype("float32")
    action = rng.integers(0, 3, 1000)
    best = np.argmax(x[:, :3], -1)
    reward = (action == best) + 0.1 * rng.normal(size=1000)
    gain = (reward - reward.mean()) / reward.std()
    y = np.stack([action, gain], -1).astype("float32")

    def clipped(t, p):
        taken = ops.one_hot(ops.cast(t[:, 0], "int32"), 3)
        now = ops.sum(taken * ops.softmax(p), -1)
        ratio, gain = now * 3.0, t[:, 1]
        bound = ops.clip(ratio, 0.5, 1.5)
        return -ops.minimum(ratio * gain, bound * gain)

    model = dense((4,), (32, "tanh"), (3, None))
    return ready(model, _opt.Adam(1e-3), clipped, x, y, epochs=8)


@broad("own")
def values_of_actions():
    """A deep Q-net on stored moves: only the taken action has a target."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1000, 4)).astype("float32")
    action = rng.integers(0, 2, 1000)
    value = 1 + x[:, 0] * (2 * action - 1) - np.abs(x[:, 1])
    y = np.stack([action, value], -1).astype("float32")

    def taken(t, p):
        mask = ops.one_hot(ops.cast(t[:, 0], "int32"), 2)
        return keras.losses.huber(
            t[:, 1:], ops.sum(mask * p, -1, keepdims=True)
        )

    model = dense((4,), (24, "relu"), (24, "relu"), (2, None))
    return ready(model, _opt.Adam(1e-3), taken, x, y, epochs=12)


class Spring(keras.Model):
    """Physics-informed: u'' + 4 u = 0, u(0) = 1, u'(0) = 0, by differences."""

    def __init__(self):
        super().__init__()
        self.net = dense((1,), (24, "tanh"), (24, "tanh"), (1, None))

    def call(self, t):
        return self.net(t)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        step, zero = 0.05, ops.zeros((1, 1))
        second = self.net(x + step) - 2 * y_pred + self.net(x - step)
        law = ops.mean(ops.square(second / step**2 + 4 * y_pred))
        start = ops.mean(ops.square(self.net(zero) - 1))
        slope = (self.net(zero + step) - self.net(zero - step)) / (2 * step)
        return law + 10 * start + 10 * ops.mean(ops.square(slope))


@broad("own")
def spring_by_its_law():
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 1.5, (640, 1)).astype("float32")
    model = Spring()
    model.compile(_opt.Adam(3e-3))
    return model, t, None, {"epochs": 30}


class Physics(keras.Model):
    """The same by the tape of TensorFlow in a train step of its own."""

    def __init__(self):
        super().__init__()
        self.net = dense((1,), (24, "tanh"), (1, None))

    def call(self, t):
        return self.net(t)

    def train_step(self, data):
        import tensorflow as tf

        t = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(t)
                u = self.net(t)
            slope = inner.gradient(u, t)
            law = tf.reduce_mean(tf.square(slope + u))
            start = self.net(tf.zeros((1, 1))) - 1.0
            loss = law + tf.reduce_mean(tf.square(start))
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(grads, self.trainable_variables)
        return {"loss": loss}


@broad("own", ("tensorflow",))
def decay_by_its_law():
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 2, (640, 1)).astype("float32")
    model = Physics()
    model.compile(_opt.Adam(3e-3))
    return model, t, None, {"epochs": 12}


class Pair(keras.Model):
    """A GAN with a train step of its own, on torch."""

    def __init__(self):
        super().__init__()
        leak = {"negative_slope": 0.2}
        self.judge = dense(
            (64,), (64, None), layers.LeakyReLU(**leak), (1, None)
        )
        self.maker = dense(
            (8,), (64, None), layers.LeakyReLU(**leak), (64, "sigmoid")
        )
        self.seeds = keras.random.SeedGenerator(1)
        self.built = True

    def compile(self, judge, maker, loss):
        super().compile()
        self.judge_rule, self.maker_rule, self.own_loss = judge, maker, loss

    def train_step(self, real):
        real = real[0] if isinstance(real, tuple) else real
        count = real.shape[0]
        z = keras.random.normal((count, 8), seed=self.seeds)
        self.zero_grad()
        told = self.judge(ops.concatenate([real, self.maker(z).detach()]))
        right = ops.concatenate(
            [0.9 * ops.ones((count, 1)), ops.zeros((count, 1))]
        )
        first = self.own_loss(right, told)
        first.backward()
        own = self.judge.trainable_weights
        self.judge_rule.apply([v.value.grad for v in own], own)
        self.zero_grad()
        second = self.own_loss(ops.ones((count, 1)), self.judge(self.maker(z)))
        second.backward()
        own = self.maker.trainable_weights
        self.maker_rule.apply([v.value.grad for v in own], own)
        return {"judge": first, "maker": second}


@broad("own", ("torch",))
def digits_by_a_pair():
    x, _ = digits()
    model = Pair()
    rules = [_opt.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    model.compile(*rules, keras.losses.BinaryCrossentropy(from_logits=True))
    return model, x, None, {"epochs": 4}


@broad("own")
def adapters_on_dense_layers():
    """A trained net, LoRA of rank 4 in its layers, half of the classes."""
    x, y = digits()
    model = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    model.compile("adam", _SPARSE)
    model.fit(x[y < 6], y[y < 6], epochs=6, verbose=0)
    for layer in model.layers:
        layer.enable_lora(4)
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, epochs=8)


class Rounded(layers.Layer):
    """Rounds activations to 4 bits, the gradient straight through."""

    def call(self, h):
        near = ops.round(ops.clip(h, 0, 4) * 3.75) / 3.75
        return h + ops.stop_gradient(near - h)


@broad("own")
def activations_of_four_bits():
    x, y = clusters()
    model = dense(
        (12,), (48, "relu"), Rounded(), (48, "relu"), Rounded(), (5, "softmax")
    )
    return ready(model, _opt.Adam(2e-3), _SPARSE, x, y, epochs=10)


class Ending(layers.Layer):
    """Keras's endpoint: the targets are an input, the loss is added."""

    def call(self, logits, targets):
        loss = keras.losses.sparse_categorical_crossentropy(
            targets, logits, from_logits=True
        )
        self.add_loss(ops.mean(loss))
        return ops.softmax(logits)


@broad("own")
def targets_are_an_input():
    x, y = digits()
    inputs = keras.Input((64,), name="pixels")
    targets = keras.Input((), dtype="int32", name="targets")
    h = layers.Dense(48, "relu")(inputs)
    out = Ending()(layers.Dense(10)(h), targets)
    model = keras.Model({"pixels": inputs, "targets": targets}, out)
    model.compile("adam")
    return model, {"pixels": x, "targets": y}, None, {"epochs": 8}
