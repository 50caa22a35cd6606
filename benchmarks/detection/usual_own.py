"""Programs with losses, models and trainings of their own, which learn.

They go into `usual.HEALTHY`.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import kept_data as data
from detection.field_data import dense
from detection.field_data import digits
from detection.field_data import ready
from detection.field_data import waves
from detection.usual import HEALTHY  # noqa: F401  filled here
from detection.usual import usual

_opt = keras.optimizers
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def _tower():
    return dense((64,), (64, "relu"), (16, None))


@usual("pairs")
def siamese_contrastive():
    x, y = digits()
    rng = np.random.default_rng(0)
    other = rng.permutation(len(x))
    half = rng.random(len(x)) < 0.4
    for at in np.flatnonzero(half):
        other[at] = rng.choice(np.flatnonzero(y == y[at]))
    same = (y == y[other]).astype("float32")[:, None]
    tower = _tower()
    left, right = keras.Input((64,), name="a"), keras.Input((64,), name="b")
    gap = tower(left) - tower(right)
    away = ops.sqrt(ops.sum(ops.square(gap), 1, keepdims=True) + 1e-7)

    def contrastive(t, p):
        far = ops.square(ops.maximum(1 - p, 0))
        return ops.mean(t * ops.square(p) + (1 - t) * far)

    model = keras.Model([left, right], away)
    model.compile(_opt.Adam(1e-3), contrastive)
    return model, {"a": x, "b": x[other]}, same, {"epochs": 6}


class Triplets(keras.Model):
    """Learns distances by triples of rows."""

    def __init__(self):
        super().__init__()
        self.tower = _tower()

    def call(self, inputs):
        found = [self.tower(inputs[:, at]) for at in range(3)]
        return ops.stack(
            [ops.sum(ops.square(found[0] - f), -1) for f in found[1:]], 1
        )

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        return ops.mean(ops.maximum(y_pred[:, 0] - y_pred[:, 1] + 0.5, 0))


@usual("pairs")
def triplets():
    x, y = digits()
    rng = np.random.default_rng(0)
    like = [rng.choice(np.flatnonzero(y == c)) for c in y]
    unlike = [rng.choice(np.flatnonzero(y != c)) for c in y]
    x = np.stack([x, x[like], x[unlike]], 1)
    model = Triplets()
    model.compile(_opt.Adam(1e-3))
    return model, x, None, {"epochs": 6}


@usual("pairs")
def infonce():
    """SimCLR: two noisy views of a row find each other in the batch."""
    x, _ = digits()
    rng = np.random.default_rng(0)
    views = x[:1792, None] + 0.15 * rng.normal(size=(1792, 2, 64))
    tower = _tower()
    inputs = keras.Input((2, 64))
    codes = [layers.UnitNormalization()(tower(inputs[:, i])) for i in (0, 1)]
    logits = ops.matmul(codes[0], ops.transpose(codes[1])) / 0.2

    def find(t, p):
        place = ops.arange(ops.shape(p)[0])
        each = ops.sparse_categorical_crossentropy(place, p, from_logits=True)
        return ops.mean(each)

    model = keras.Model(inputs, logits)
    y = np.zeros((1792, 1), "float32")
    return ready(model, _opt.Adam(1e-3), find, views, y, epochs=6)


class Distiller(keras.Model):
    """A student that learns from labels and from a trained teacher."""

    def __init__(self, teacher, student):
        super().__init__()
        self.teacher, self.student = teacher, student
        teacher.trainable = False

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        soft = ops.softmax(self.teacher(x, training=False) / 3)
        hard = ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                y, y_pred, from_logits=True
            )
        )
        given = keras.losses.kl_divergence(soft, ops.softmax(y_pred / 3))
        return 0.1 * hard + 0.9 * 9 * ops.mean(given)


@usual("own")
def distillation():
    x, y = digits()
    teacher = dense((64,), (128, "relu"), (10, None))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile("adam", loss)
    teacher.fit(x, y, epochs=5, verbose=0)
    model = Distiller(teacher, dense((64,), (16, "relu"), (10, None)))
    model.build((None, 64))
    model.compile(_opt.Adam(3e-3), metrics=["accuracy"])
    return model, x, y, {"epochs": 6}


class Flow(keras.Model):
    """RealNVP on two numbers; the loss is the negative log likelihood."""

    def __init__(self, depth=6):
        super().__init__()
        self.nets = [
            dense((2,), (32, "relu"), (32, "relu"), (4, None))
            for _ in range(depth)
        ]

    def call(self, x):
        total = 0.0
        for at, net in enumerate(self.nets):
            mask = ops.convert_to_tensor([[at % 2, 1 - at % 2]], "float32")
            scale, shift = ops.split(net(x * mask), 2, axis=1)
            scale = ops.tanh(scale) * (1 - mask)
            x = x * ops.exp(scale) + shift * (1 - mask)
            total = total + ops.sum(scale, 1, keepdims=True)
        return ops.concatenate([x, total], 1)

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        here = -0.5 * ops.sum(ops.square(y_pred[:, :2]), 1) - 1.837877
        return -ops.mean(here + y_pred[:, 2])


@usual("own")
def normalizing_flow():
    x, _ = data.moons(1500)
    x = (x - x.mean(0)) / x.std(0)
    model = Flow()
    model.compile(_opt.Adam(2e-3))
    return model, x, None, {"epochs": 6}


@usual("own")
def diffusion_of_moons():
    rng = np.random.default_rng(0)
    x, _ = data.moons(900)
    x = (np.repeat(x, 4, 0) - x.mean(0)) / x.std(0)
    time = rng.uniform(0.02, 1, (len(x), 1))
    noise = rng.normal(size=x.shape)
    mixed = np.cos(time * 1.55) * x + np.sin(time * 1.55) * noise
    inputs = np.concatenate([mixed, time], 1).astype("float32")
    model = dense((3,), (64, "silu"), (64, "silu"), (2, None))
    noise = noise.astype("float32")
    return ready(model, _opt.Adam(2e-3), "mse", inputs, noise, epochs=3)


@usual("tuning")
def frozen_backbone_first():
    x, y = digits((8, 8, 1))
    base = _backbone(x, y)
    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    h = layers.Dropout(0.2)(base(inputs, training=False))
    model = keras.Model(inputs, layers.Dense(10)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, _opt.Adam(3e-3), loss, x, y, ["accuracy"], epochs=6)


@usual("tuning")
def unfrozen_backbone():
    model, x, y, fit = frozen_backbone_first()
    model.fit(x, y, verbose=0, **fit)
    model.layers[1].trainable = True
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ready(model, _opt.Adam(1e-4), loss, x, y, ["accuracy"], epochs=5)


def _backbone(x, y):
    base = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    whole = keras.Sequential([base, layers.Dense(2, "softmax")])
    whole.compile("adam", _SPARSE)
    whole.fit(x, y % 2, epochs=6, verbose=0)
    return base


@usual("tuning")
def low_rank_adapters():
    x, y = digits()
    first = dense((64,), (64, "relu"), (64, "relu"), (10, "softmax"))
    first.compile("adam", _SPARSE)
    first.fit(x[y < 5], y[y < 5], epochs=6, verbose=0)
    for layer in first.layers[:2]:
        layer.enable_lora(4)
    return ready(first, _opt.Adam(3e-3), _SPARSE, x, y, epochs=8)


@usual("own")
def two_heads():
    x, y = digits()
    inputs = keras.Input((64,))
    h = layers.Dense(64, "relu")(inputs)
    number = layers.Dense(10, "softmax", name="number")(h)
    ink = layers.Dense(1, name="ink")(h)
    model = keras.Model(inputs, {"number": number, "ink": ink})
    model.compile(
        _opt.Adam(2e-3),
        {"number": _SPARSE, "ink": "mse"},
        loss_weights={"number": 1.0, "ink": 0.3},
        metrics={"number": "accuracy"},
    )
    given = {"number": y, "ink": x.sum(1, keepdims=True) / 10 - 1.9}
    return model, x, given, {"epochs": 7}


@usual("own")
def mixture_of_densities():
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, (900, 1))
    x = y + 0.3 * np.sin(6 * y) + 0.05 * rng.normal(size=y.shape)

    def likelihood(t, p):
        weights, mean, log = ops.split(p, 3, axis=1)
        log = ops.clip(log, -5, 3)
        each = -0.5 * ops.square((t - mean) * ops.exp(-log)) - log - 0.919
        return -ops.mean(ops.logsumexp(ops.log_softmax(weights) + each, axis=1))

    model = dense((1,), (32, "tanh"), (15, None))
    x, y = x.astype("float32"), y.astype("float32")
    return ready(model, _opt.Adam(1e-2), likelihood, x, y, epochs=12)


@usual("own")
def mixture_of_experts():
    x, y = waves(900)
    inputs = keras.Input((4,))
    gate = layers.Dense(4, "softmax")(inputs)
    parts = [
        layers.Dense(1)(layers.Dense(16, "relu")(inputs)) for _ in range(4)
    ]
    out = ops.sum(layers.Concatenate()(parts) * gate, axis=1, keepdims=True)
    model = keras.Model(inputs, out)
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=8)


@usual("own")
def ctc_of_strokes():
    rng = np.random.default_rng(0)
    y = rng.integers(1, 5, (500, 3))
    x = 0.1 * rng.normal(size=(500, 12, 5))
    for row, labels in zip(x, y, strict=True):
        for at, label in enumerate(labels):
            row[4 * at + rng.integers(0, 3), label] += 1
    model = keras.Sequential(
        [
            keras.Input((12, 5)),
            layers.Conv1D(32, 3, padding="same", activation="relu"),
            layers.Bidirectional(layers.GRU(24, return_sequences=True)),
            layers.Dense(5),
        ]
    )
    x, y = x.astype("float32"), y.astype("int32")
    return ready(model, _opt.Adam(5e-3), keras.losses.CTC(), x, y, epochs=12)


@usual("own")
def focal_loss_of_rare_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 6)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 2.4).astype("float32")[:, None]
    loss = keras.losses.BinaryFocalCrossentropy(apply_class_balancing=True)
    model = dense((6,), (32, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(5e-3), loss, x, y, batch_size=64, epochs=5)


@usual("own")
def dice_of_masks():
    from detection.field_data import blobs

    x, y = blobs(300)

    def dice(t, p):
        both = ops.sum(t * p, axis=(1, 2, 3))
        all_ = ops.sum(t + p, axis=(1, 2, 3))
        return 1 - ops.mean((2 * both + 1) / (all_ + 1))

    stack = [
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 1)), *stack])
    return ready(model, _opt.Adam(3e-3), dice, x, y, batch_size=16, epochs=10)


@usual("own")
def vector_quantized():
    from detection.usual_layers import Quantizer

    x, _ = digits()
    inputs = keras.Input((64,))
    h = layers.Dense(64, "relu")(inputs)
    h = layers.Reshape((8, 4))(layers.Dense(32)(h))
    h = layers.Flatten()(Quantizer(16, 4)(h))
    h = layers.Dense(64, "relu")(h)
    model = keras.Model(inputs, layers.Dense(64, "sigmoid")(h))
    return ready(model, _opt.Adam(2e-3), "mse", x, x, epochs=8)


@usual("own")
def one_class_svm():
    x, y = data.moons()
    model = dense((2,), (32, "relu"), (1, None))
    return ready(
        model, _opt.Adam(1e-2), "hinge", x, 2 * y - 1, ["accuracy"], epochs=10
    )
