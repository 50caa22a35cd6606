"""Data sets of the eighth set of programs that no rule was made with."""

import functools

import numpy as np


def spirals(count=900, arms=3, seed=0):
    """Return points (count, 2) on arms of a spiral, and which arm."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, arms, count)
    t = rng.uniform(0.2, 1, count)
    angle = 4 * t + 2 * np.pi * y / arms + 0.08 * rng.normal(size=count)
    x = 1.7 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return x.astype("float32"), y.astype("int32")


def circuit(count=700, seed=0, raw=False):
    """Return Friedman's second regression: parts of a circuit, impedance."""
    from sklearn import datasets

    x, y = datasets.make_friedman2(count, random_state=seed)
    if not raw:
        x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")[:, None]


def phase(count=700, seed=0):
    """Return Friedman's third regression, standardised."""
    from sklearn import datasets

    x, y = datasets.make_friedman3(count, random_state=seed)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")[:, None]


def letters_s(count=800, seed=0):
    """Return points of a bent sheet, and its place along the bend."""
    from sklearn import datasets

    x, t = datasets.make_s_curve(count, noise=0.05, random_state=seed)
    x, t = (x - x.mean(0)) / x.std(0), t / t.std()
    return x.astype("float32"), t.astype("float32")[:, None]


def hearts(count=640, length=64, silent=0.0, seed=0):
    """Return recordings (count, length, 2) of beats, and which of three."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    period, time = np.array([8, 12, 17])[y][:, None], np.arange(length)
    at = (time + rng.integers(0, 17, (count, 1))) % period
    wide = rng.uniform(0.8, 1.6, (count, 1))
    beat = np.exp(-np.square((at - 3) / wide))
    x = np.stack([beat, -0.5 * np.roll(beat, 2, 1)], -1)
    x += 0.15 * rng.normal(size=x.shape)
    x[rng.random(count) < silent] = 0
    return x.astype("float32"), y.astype("int32")


@functools.cache
def _picture(name):
    from sklearn import datasets

    return datasets.load_sample_image(name).mean(-1) / 255


def cuts(count=500, size=16, name="flower.jpg", seed=0):
    """Return pieces (size, size, 1) of a photograph in [0, 1]."""
    picture, rng = _picture(name), np.random.default_rng(seed)
    rows = rng.integers(0, picture.shape[0] - size, count)
    columns = rng.integers(0, picture.shape[1] - size, count)
    x = [
        picture[a : a + size, b : b + size]
        for a, b in zip(rows, columns, strict=True)
    ]
    return np.stack(x)[..., None].astype("float32")


def adding(count=700, length=40, seed=0):
    """Return numbers and two marks (count, length, 2), the marked sum."""
    rng = np.random.default_rng(seed)
    x = np.stack(
        [rng.uniform(-1, 1, (count, length)), np.zeros((count, length))], -1
    )
    half = length // 2
    rows = np.arange(count)
    first, second = (
        rng.integers(0, half, count),
        rng.integers(half, length, count),
    )
    x[rows, first, 1] = x[rows, second, 1] = 1
    y = x[rows, first, 0] + x[rows, second, 0]
    return x.astype("float32"), y.astype("float32")[:, None]


def orders(count=800, length=60, rows=30, seed=0):
    """Return ids, padded behind with 0, and which kind of order it is."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    of_kind = 1 + y[:, None] + 3 * rng.integers(0, 5, (count, length))
    x = np.where(
        rng.random((count, length)) < 0.6,
        of_kind,
        rng.integers(16, rows, (count, length)),
    )
    x[np.arange(length) >= rng.integers(4, 11, (count, 1))] = 0
    return x.astype("int32"), y.astype("int32")


def tickets(count=1500, share=0.97, seed=0):
    """Return twelve numbers of a ticket, and its kind, the most of 'other'."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(count) < share, 0, rng.integers(1, 4, count))
    centres = 1.2 * rng.normal(size=(4, 12))
    x = centres[y] + rng.normal(size=(count, 12))
    return x.astype("float32"), y.astype("int32")


def phrases(count=500, length=20, rows=25, seed=0):
    """Return sequences in which each number follows from two before it."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, rows, (rows, 3))
    text = rng.integers(0, rows, (count, length + 1))
    for at in range(2, length + 1):
        text[:, at] = table[text[:, at - 1], text[:, at - 2] % 3]
    return text[:, :-1].astype("int32"), text[:, 1:].astype("int32")


def houses(count=640, size=12, seed=0):
    """Return a picture, three numbers of a house, and its worth.

    The numbers are area in square centimetres, year, and rooms.
    """
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 3))
    light = rng.normal(size=(count, 1))
    image = 0.5 + 0.2 * light[:, :, None, None] * np.ones((1, size, size, 1))
    image[:, :4] += 0.1 * rng.normal(size=(count, 4, size, 1))
    table = np.array([9e5, 1975, 4]) + z * np.array([3e5, 25, 1.5])
    y = np.tanh(z[:, :1] + 0.5 * z[:, 1:2] * z[:, 2:]) + light
    y = (y - y.mean()) / y.std()
    return (*(part.astype("float32") for part in (image, table, y)),)
