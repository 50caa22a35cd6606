"""Ways of training of one's own, as guides have them, which learn.

They go into `tutorial.HEALTHY`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection.field_data import blobs
from detection.field_data import cancer
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import waves
from detection.kept_data import clusters
from detection.kept_data import friedman
from detection.kept_data import moons
from detection.kept_data import stripes
from detection.tutorial import HEALTHY  # noqa: F401  filled here
from detection.tutorial import tutorial

_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


@tutorial("own")
def gradients_of_four_batches():
    x, y = digits()
    model = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    rule = _opt.Adam(2e-3, gradient_accumulation_steps=4)
    return ready(
        model, rule, _SPARSE, x, y, ["accuracy"], batch_size=16, epochs=8
    )


@tutorial("own")
def averaged_weights():
    x, y = clusters()
    model = dense((12,), (48, "relu"), (48, "relu"), (5, "softmax"))
    rule = _opt.SGD(
        0.05, momentum=0.9, use_ema=True, ema_overwrite_frequency=20
    )
    return ready(model, rule, _SPARSE, x, y, epochs=12)


@tutorial("own")
def warm_up_of_a_cosine():
    """Rates from 0 over a tenth of the run, labels smoothed, AdamW."""
    x, y = digits()
    steps = 12 * (len(x) // 32)
    rate = _rates.CosineDecay(
        0.0, steps - 60, warmup_target=3e-3, warmup_steps=60
    )
    model = dense(
        (64,),
        layers.Dense(64),
        layers.LayerNormalization(),
        layers.Activation("gelu"),
        layers.Dropout(0.1),
        (10, None),
    )
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )
    y = keras.utils.to_categorical(y)
    rule = _opt.AdamW(rate, weight_decay=0.05)
    return ready(model, rule, loss, x, y, ["accuracy"], epochs=12)


@tutorial("own")
def one_cycle_of_rates():
    """The rate climbs to 0.3 and falls to nothing, with momentum."""
    x, y = clusters()

    def rate(epoch, now):
        at = epoch / 20
        return 0.3 * (at / 0.3 if at < 0.3 else (1 - at) / 0.7) + 1e-4

    model = dense((12,), (64, "relu"), (64, "relu"), (5, "softmax"))
    call = keras.callbacks.LearningRateScheduler(rate)
    rule = _opt.SGD(1e-3, momentum=0.9, nesterov=True)
    return ready(model, rule, _SPARSE, x, y, epochs=20, callbacks=[call])


@tutorial("own")
def brain_floats():
    x, y = friedman(900)
    inputs = keras.Input((10,))
    policy = "mixed_bfloat16"
    h = layers.Dense(64, "relu", dtype=policy)(inputs)
    h = layers.Dense(64, "relu", dtype=policy)(h)
    out = layers.Dense(1, dtype="float32")(h)
    return ready(
        keras.Model(inputs, out), _opt.Adam(2e-3), "mse", x, y, epochs=10
    )


@tutorial("own")
def thirty_tanh_with_ways_round():
    x, y = digits()
    inputs = keras.Input((64,))
    h = layers.Dense(32)(inputs)
    for _ in range(30):
        h = h + 0.3 * layers.Dense(32, "tanh")(h)
    model = keras.Model(inputs, layers.Dense(10, "softmax")(h))
    return ready(model, _opt.Adam(1e-3), _SPARSE, x, y, epochs=6)


@tutorial("own")
def one_row_a_batch():
    x, y = cancer()
    model = dense((30,), (16, "relu"), (1, "sigmoid"))
    return ready(model, _opt.SGD(0.01), _BINARY, x, y, batch_size=1, epochs=2)


@tutorial("own")
def rare_masks_by_focal_loss():
    x, y = blobs(300, blank=0.5)
    stack = [
        layers.Conv2D(16, 3, padding="same", activation="relu")
        for _ in range(2)
    ]
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            *stack,
            layers.Conv2D(
                1,
                1,
                activation="sigmoid",
                bias_initializer=keras.initializers.Constant(-4.6),
            ),
        ]
    )
    loss = keras.losses.BinaryFocalCrossentropy(alpha=0.25, gamma=2)
    return ready(model, _opt.Adam(1e-3), loss, x, y, batch_size=16, epochs=12)


@tutorial("own")
def soft_choice_of_codes():
    """Codes drawn by Gumbel's noise at a temperature, and read back."""
    x, _ = digits()

    class Gumbel(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, h):
            u = keras.random.uniform(
                ops.shape(h), 1e-6, 1 - 1e-6, seed=self.seeds
            )
            return ops.softmax((h - ops.log(-ops.log(u))) / 0.7)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((64,))
    h = layers.Dense(64, "relu")(inputs)
    h = Gumbel()(layers.Reshape((12, 6))(layers.Dense(72)(h)))
    h = layers.Dense(64, "relu")(layers.Flatten()(h))
    model = keras.Model(inputs, layers.Dense(64, "sigmoid")(h))
    return ready(model, _opt.Adam(2e-3), _BINARY, x, x, epochs=8)


class Quantized(layers.Layer):
    """A dense layer whose kernel is rounded to 16 steps, straight through."""

    def __init__(self, units, activation=None):
        super().__init__()
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, shape):
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.units,), initializer="zeros", name="bias"
        )

    def call(self, x):
        scale = ops.max(ops.abs(self.kernel)) / 7
        near = ops.round(self.kernel / scale) * scale
        kernel = self.kernel + ops.stop_gradient(near - self.kernel)
        return self.activation(ops.matmul(x, kernel) + self.bias)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units)


@tutorial("own")
def rounded_kernels():
    x, y = digits()
    model = dense(
        (64,), Quantized(64, "relu"), Quantized(32, "relu"), (10, "softmax")
    )
    return ready(model, "adam", _SPARSE, x, y, ["accuracy"], epochs=8)


@tutorial("own")
def experts_by_their_gate():
    """Switch routing: each row goes to one expert; a loss balances them."""
    x, y = clusters(1200)

    class Experts(layers.Layer):
        def build(self, shape):
            self.gate = self.add_weight(shape=(shape[-1], 4), name="gate")
            self.kernels = self.add_weight(
                shape=(4, shape[-1], 24),
                initializer=keras.initializers.VarianceScaling(1 / 4),
                name="kernels",
            )

        def call(self, x):
            p = ops.softmax(ops.matmul(x, self.gate))
            first = ops.one_hot(ops.argmax(p, -1), 4)
            share = ops.mean(first, 0) * ops.mean(p, 0)
            self.add_loss(0.01 * 4 * ops.sum(share))
            each = ops.relu(ops.einsum("bi,eio->beo", x, self.kernels))
            weight = ops.expand_dims(first * p, -1)
            return ops.sum(each * weight, 1)

        def compute_output_shape(self, shape):
            return (shape[0], 24)

    inputs = keras.Input((12,))
    h = layers.Dense(32, "relu")(inputs)
    model = keras.Model(inputs, layers.Dense(5, "softmax")(Experts()(h)))
    return ready(model, _opt.Adam(3e-3), _SPARSE, x, y, epochs=10)


@tutorial("own")
def policy_of_a_bandit():
    """REINFORCE on logged choices, with a bonus for entropy."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4)).astype("float32")
    best = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    tried = rng.integers(0, 3, 2000)
    reward = (tried == best) * 1.0
    y = np.stack([tried, reward], 1).astype("float32")

    def policy(t, p):
        chosen = ops.one_hot(ops.cast(t[:, 0], "int32"), 3)
        log = ops.log_softmax(p)
        entropy = -ops.sum(ops.exp(log) * log, 1)
        gain = t[:, 1] * ops.sum(chosen * log, 1)
        return -ops.mean(gain + 0.05 * entropy)

    model = dense((4,), (32, "tanh"), (32, "tanh"), (3, None))
    return ready(model, _opt.Adam(3e-3), policy, x, y, epochs=6)


@tutorial("own")
def values_of_a_chain():
    """Fitted values of states, discounted, by Huber's loss (DQN's)."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1500, 4)).astype("float32")
    reward = 1.0 - np.abs(x[:, :1]) + 0.2 * x[:, 1:2]
    y = reward / (1 - 0.9 * 0.5) + 0.1 * rng.normal(size=reward.shape)
    model = dense((4,), (64, "relu"), (64, "relu"), (1, None))
    rule = _opt.Adam(2.5e-4, clipnorm=1.0)
    loss = keras.losses.Huber()
    return ready(model, rule, loss, x, y.astype("float32"), epochs=10)


@tutorial("own")
def image_found_by_its_pixels():
    """A free image is drawn towards given features, as style transfer does."""
    rng = np.random.default_rng(0)
    goal = rng.normal(size=(1, 24)).astype("float32")

    class Canvas(layers.Layer):
        def build(self, shape):
            self.pixels = self.add_weight(
                shape=(1, 48), initializer="zeros", name="pixels"
            )

        def call(self, x):
            return ops.repeat(self.pixels, ops.shape(x)[0], axis=0) + 0 * x

        def compute_output_shape(self, shape):
            return (shape[0], 48)

    features = layers.Dense(24, trainable=False)
    model = keras.Sequential([keras.Input((48,)), Canvas(), features])
    x = np.zeros((8, 48), "float32")
    y = np.repeat(goal, 8, 0)
    return ready(model, _opt.Adam(0.05), "mse", x, y, batch_size=8, epochs=200)


@tutorial("own")
def mixed_up_pictures():
    """Mixup: rows and their labels are blended in pairs."""
    x, y = stripes(600)
    y = keras.utils.to_categorical(y, 4)
    rng = np.random.default_rng(0)
    share = rng.beta(0.4, 0.4, (600, 1))
    other = rng.permutation(600)
    rows = share[..., None, None]
    x = rows * x + (1 - rows) * x[other]
    y = share * y + (1 - share) * y[other]
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    return ready(
        model,
        "adam",
        "categorical_crossentropy",
        x.astype("float32"),
        y.astype("float32"),
        ["accuracy"],
        epochs=12,
    )


@tutorial("own")
def spread_told_with_the_mean():
    """A probabilistic regression: mean and spread by their likelihood."""
    x, y = waves(900, noise=0.2)

    def likelihood(t, p):
        mean, log = p[:, :1], ops.clip(p[:, 1:], -4, 4)
        each = log + ops.square(t - mean) * ops.exp(-log)
        return 0.5 * ops.mean(each)

    model = dense((4,), (48, "relu"), (48, "relu"), (2, None))
    return ready(model, _opt.Adam(2e-3), likelihood, x, y, epochs=14)


@tutorial("own")
def student_of_half_the_labels():
    """Labels are right in two rows of three: the ceiling of accuracy is low."""
    x, y = moons(1500)
    wrong = np.random.default_rng(0).random(y.shape) < 0.35
    y = np.where(wrong, 1 - y, y).astype("float32")
    model = dense((2,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(3e-3), _BINARY, x, y, ["accuracy"], epochs=12)
