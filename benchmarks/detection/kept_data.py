"""Data sets of the programs that are kept apart from those of `field_*`."""

import keras
import numpy as np
from keras import layers


def friedman(count=700, noise=0.0, seed=0):
    """Return Friedman's first regression, standardised, targets (count, 1)."""
    from sklearn import datasets

    x, y = datasets.make_friedman1(count, noise=noise, random_state=seed)
    y = (y - y.mean()) / y.std()
    return (2 * x - 1).astype("float32"), y.astype("float32")[:, None]


def moons(count=900, seed=0):
    """Return two noisy moons and their classes (count, 1)."""
    from sklearn import datasets

    x, y = datasets.make_moons(count, noise=0.15, random_state=seed)
    return x.astype("float32"), y.astype("float32")[:, None]


def wine():
    """Return the standardised wines in a random order and their numbers."""
    from sklearn import datasets

    x, y = datasets.load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / x.std(0)
    return x[order].astype("float32"), y[order].astype("int32")


def clusters(count=900, classes=5, seed=0):
    """Return a classification in twelve numbers."""
    from sklearn import datasets

    x, y = datasets.make_classification(
        count,
        12,
        n_informative=8,
        n_classes=classes,
        n_clusters_per_class=1,
        class_sep=1.5,
        random_state=seed,
    )
    return (x / x.std(0)).astype("float32"), y.astype("int32")


def stripes(count=500, size=12, channels=1, seed=0):
    """Return images of stripes in [0, 1] and which of four ways they run."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count).astype("int32")
    rows, columns = np.mgrid[:size, :size]
    ways = np.stack([rows, columns, rows + columns, rows - columns])
    start = rng.uniform(0, 6, (count, 1, 1))
    wave = 0.5 + 0.35 * np.sin(1.6 * ways[y] + start)
    x = wave[..., None] + rng.normal(0, 0.1, (count, size, size, channels))
    return np.clip(x, 0, 1).astype("float32"), y


def tokens(count=700, length=16, rows=24, seed=0):
    """Return sequences of numbers, and whether the first comes again."""
    rng = np.random.default_rng(seed)
    x = rng.integers(2, rows, (count, length))
    y = (x[:, 1:] < 6).sum(1) > 2
    return x.astype("int32"), y.astype("float32")[:, None]


def walks(count=600, length=24, seed=0):
    """Return two noisy series (count, length, 2), and whether they rise."""
    rng = np.random.default_rng(seed)
    slope = rng.normal(0, 1, (count, 1, 1))
    time = np.linspace(-1, 1, length)[None, :, None]
    x = slope * time + 0.4 * rng.normal(size=(count, length, 2))
    return x.astype("float32"), (slope[:, 0] > 0).astype("float32")


class Attend(layers.Layer):
    """A block of a Transformer, its norms before or behind."""

    def __init__(self, width, heads=2, before=True):
        super().__init__()
        self.before = before
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.up = layers.Dense(2 * width, "relu")
        self.down = layers.Dense(width)

    def build(self, shape):
        self.attention.build(shape, shape)
        for norm in self.norms:
            norm.build(shape)
        self.up.build(shape)
        self.down.build((*shape[:-1], self.up.units))
        self.built = True

    def call(self, x):
        if self.before:
            h = self.norms[0](x)
            x = x + self.attention(h, h)
            return x + self.down(self.up(self.norms[1](x)))
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.down(self.up(x)))


def transformer(rows, length, width, depth, before=True):
    """Return a classifier of sequences of numbers."""
    inputs = keras.Input((length,), dtype="int32")
    h = layers.Embedding(rows, width)(inputs)
    for _ in range(depth):
        h = Attend(width, before=before)(h)
    h = layers.GlobalAveragePooling1D()(h)
    return keras.Model(inputs, layers.Dense(1, "sigmoid")(h))
