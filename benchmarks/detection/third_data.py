"""Data sets of the third set of programs that no rule was made with."""

import keras
import numpy as np


def tones(count=640, length=48, seed=0):
    """Return noisy tones (count, length, 1) and which of four each is."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    pace = np.array([0.25, 0.5, 0.8, 1.2])[y][:, None]
    wave = np.sin(pace * np.arange(length) + rng.uniform(0, 6, (count, 1)))
    x = wave + 0.3 * rng.normal(size=wave.shape)
    return x.astype("float32")[..., None], y.astype("int32")


def reviews(count=800, length=20, rows=60, seed=0):
    """Return padded sequences of words and whether good ones prevail."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, rows, (count, length))
    x[np.arange(length) >= rng.integers(8, length + 1, (count, 1))] = 0
    value = np.where(x % 3 == 1, 1, np.where(x % 3 == 2, -1, 0)) * (x > 0)
    total = value.sum(1)
    keep = total != 0
    return x[keep].astype("int32"), (total[keep] > 0).astype("float32")[:, None]


def flats(count=900, seed=0):
    """Return area, rooms, age and place of flats, and what each costs.

    The inputs are standardised, the targets of unit scale, (count, 1).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    y = x[:, 0] + 0.5 * x[:, 0] * x[:, 1] - np.abs(x[:, 2]) + 0.4 * x[:, 3]
    y = (y - y.mean()) / y.std() + 0.05 * rng.normal(size=count)
    return x.astype("float32"), y.astype("float32")[:, None]


def shapes(count=600, size=14, seed=0):
    """Return images (size, size, 1) of a disc, box or cross, and which."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    rows, columns = np.mgrid[:size, :size]
    x = rng.uniform(0, 0.2, (count, size, size))
    for image, kind in zip(x, y, strict=True):
        a, b = rng.integers(4, size - 4, 2)
        down, right = np.abs(rows - a), np.abs(columns - b)
        form = [
            down**2 + right**2 <= 10,
            np.maximum(down, right) == 3,
            (down * right == 0) & (down + right <= 3),
        ][kind]
        image[form] += 0.7
    return x.astype("float32")[..., None], y.astype("int32")


def machines(count=700, length=40, seed=0):
    """Return two sensors (count, length, 2) and the load that they tell of."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(-1, 1, (count, 1))
    time = np.linspace(0, 6, length)[None]
    first = load * np.sin(2 * time) + 0.2 * rng.normal(size=(count, length))
    second = load**2 + 0.2 * rng.normal(size=(count, length))
    x = np.stack([first, second], -1)
    return x.astype("float32"), (1.7 * load).astype("float32")


class Batches(keras.utils.PyDataset):
    """Hands out an array's rows in an order that changes each epoch.

    Args:
        x: Array of inputs.
        y: Array of targets.
        size: Int. Rows of a batch.
        scale: Function of a batch of inputs, as of a reader. Defaults to none.
    """

    def __init__(self, x, y, size=32, scale=None):
        super().__init__()
        self.x, self.y, self.size, self.scale = x, y, size, scale
        self.rng = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.x))

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        at = self.order[index * self.size : (index + 1) * self.size]
        x = self.x[at]
        return (x if self.scale is None else self.scale(x)), self.y[at]
