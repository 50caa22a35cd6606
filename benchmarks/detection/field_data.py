"""Small data sets and nets that the programs of `field_*` share."""

import keras
import numpy as np
from keras import layers


def digits(shape=(64,)):
    """Return scikit-learn's digits in [0, 1] and their numbers."""
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, *shape), y.astype("int32")


def waves(count=800, seed=0, noise=0.0):
    """Return a smooth regression in four numbers, targets (count, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 4)).astype("float32")
    y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    return x, (y + noise * rng.normal(size=y.shape)).astype("float32")


def circles(seed=1):
    """Return two noisy circles and their classes (1000, 1)."""
    from sklearn import datasets

    x, y = datasets.make_circles(1000, noise=0.1, random_state=seed, factor=0.4)
    return x.astype("float32"), y.astype("float32")[:, None]


def cancer():
    """Return the standardised breast cancer data and its classes."""
    from sklearn import datasets

    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return x.astype("float32"), y.astype("float32")[:, None]


def sequences(count=600, length=30, seed=0):
    """Return noisy sines (count, length, 1) and the next value of each."""
    rng = np.random.default_rng(seed)
    start, pace = (
        rng.uniform(0, 6, (count, 1)),
        rng.uniform(0.2, 0.5, (count, 1)),
    )
    wave = np.sin(start + pace * np.arange(length + 1))
    wave += 0.02 * rng.normal(size=wave.shape)
    wave = wave.astype("float32")
    return wave[:, :-1, None], wave[:, -1:]


def blobs(count=600, size=16, seed=0, blank=0.0):
    """Return images with a bright square each and the masks of the squares."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, (count, size, size, 1)).astype("float32")
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        if rng.random() >= blank:
            a, b = rng.integers(0, size - 5, 2)
            image[a : a + 5, b : b + 5] += 1
            mask[a : a + 5, b : b + 5] = 1
    return x, y


def dense(shape, *stack, **how):
    """Return a Sequential of Dense layers, each a pair (units, activation)."""
    inputs = keras.Input(shape)
    hidden = [
        part if isinstance(part, layers.Layer) else layers.Dense(*part, **how)
        for part in stack
    ]
    return keras.Sequential([inputs, *hidden])


def ready(model, optimizer, loss, x, y, metrics=(), **fit):
    """Compile a model and return the program."""
    model.compile(optimizer, loss, metrics=list(metrics))
    return model, x, y, fit
