"""Data sets of the ninth set of programs that no rule was made with."""

import numpy as np

_GLYPHS = [
    "0110 1001 1001 1001 0110",
    "0010 0110 0010 0010 0111",
    "1110 0001 0110 1000 1111",
    "1001 1001 0111 0001 0001",
    "1111 1000 1110 0001 1110",
    "1000 1000 1110 1001 1110",
]


def glyphs(count=600, noise=0.25, seed=0):
    """Return images (count, 12, 12, 1) of six signs, and which sign."""
    rng = np.random.default_rng(seed)
    shapes = [
        np.array([[int(c) for c in row] for row in text.split()])
        for text in _GLYPHS
    ]
    y = rng.integers(0, 6, count)
    x = noise * rng.normal(size=(count, 12, 12, 1))
    for image, kind in zip(x, y, strict=True):
        a, b = rng.integers(0, 7), rng.integers(0, 8)
        image[a : a + 5, b : b + 4, 0] += shapes[kind]
    return x.astype("float32"), y.astype("int32")


def rings(count=900, seed=0):
    """Return points (count, 2) and which of three rings they lie in."""
    from sklearn import datasets

    x, y = datasets.make_gaussian_quantiles(
        n_samples=count, n_features=2, n_classes=3, random_state=seed
    )
    return x.astype("float32"), y.astype("int32")


def roll(count=700, seed=0):
    """Return points of a rolled sheet, standardised, and the place on it."""
    from sklearn import datasets

    x, t = datasets.make_swiss_roll(count, noise=0.1, random_state=seed)
    x, t = (x - x.mean(0)) / x.std(0), (t - t.mean()) / t.std()
    return x.astype("float32"), t.astype("float32")[:, None]


def machines(count=800, seed=0, noise=0.0):
    """Return six readings of a machine, and its load, about 0 and 1 wide."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    y = np.tanh(x[:, :1] - x[:, 1:2]) + 0.6 * x[:, 2:3] * np.sin(x[:, 3:4])
    y = (y - y.mean()) / y.std() + noise * rng.normal(size=(count, 1))
    return x.astype("float32"), y.astype("float32")


def steps(count=600, length=48, seed=0):
    """Return accelerations (count, length, 3), and which of four gaits."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    pace = np.array([0.25, 0.5, 0.8, 1.2])[y][:, None]
    time = np.arange(length) + rng.uniform(0, 20, (count, 1))
    wave = np.sin(pace * time), np.cos(2 * pace * time), np.ones_like(time)
    x = np.stack(wave, -1) * rng.uniform(0.6, 1.4, (count, 1, 3))
    x += 0.25 * rng.normal(size=x.shape)
    return x.astype("float32"), y.astype("int32")


def reviews(count=700, length=24, rows=60, seed=0):
    """Return ids of words, 0 behind the end, and which of four subjects."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    own = 4 + 14 * y[:, None] + rng.integers(0, 14, (count, length))
    x = np.where(
        rng.random((count, length)) < 0.35,
        own,
        rng.integers(1, rows, (count, length)),
    )
    x[np.arange(length) >= rng.integers(8, length + 1, (count, 1))] = 0
    return x.astype("int32"), y.astype("int32")


def signals(count=600, length=120, seed=0):
    """Return sequences (count, length, 3): the first step tells the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = 0.3 * rng.normal(size=(count, length, 3))
    x[np.arange(count), 0, y] += 2
    return x.astype("float32"), y.astype("int32")


def ratings(count=2000, users=40, items=30, seed=0):
    """Return pairs of numbers of a user and an item, and the rating."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(users, 3)), rng.normal(size=(items, 3))
    x = np.stack(
        [rng.integers(0, users, count), rng.integers(0, items, count)], -1
    )
    y = (u[x[:, 0]] * v[x[:, 1]]).sum(-1, keepdims=True)
    y = y / y.std() + 0.2 * rng.normal(size=y.shape)
    return x.astype("int32"), y.astype("float32")


def spectra(count=600, bands=40, seed=0):
    """Return spectra (count, bands) in [0, 1], and how much of three parts.

    The three shares of a row add up to 1.
    """
    rng = np.random.default_rng(seed)
    y = rng.dirichlet([0.5, 0.5, 0.5], count)
    at = np.linspace(0, 1, bands)
    lines = np.stack(
        [
            np.exp(-np.square((at - a) / 0.1)) + 0.3 * (at > b)
            for a, b in ((0.2, 0.7), (0.5, 0.1), (0.75, 0.5))
        ]
    )
    x = y @ lines + 0.03 * rng.normal(size=(count, bands))
    return np.clip(x, 0, 2).astype("float32") / 2, y.astype("float32")


def iris():
    """Return the 150 irises in their order, and their kinds."""
    from sklearn import datasets

    x, y = datasets.load_iris(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return x.astype("float32"), y.astype("int32")


def wines():
    """Return the wines as measured, in a random order, and their numbers."""
    from sklearn import datasets

    x, y = datasets.load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype("float32"), y[order].astype("int32")


def rides(count=1200, seed=0):
    """Return the day of the week from 1 to 7, and how many rode."""
    rng = np.random.default_rng(seed)
    day = rng.integers(1, 8, (count, 1))
    level = np.array([0, 1.2, 0.4, 0.9, -0.3, 0.8, -1.1, -1.6])
    y = level[day] + 0.2 * rng.normal(size=(count, 1))
    return day.astype("int32"), y.astype("float32")


def faults(count=1500, share=0.01, apart=3.0, seed=0):
    """Return ten readings, and whether something is at fault: rarely."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < share).astype("int32")
    x = rng.normal(size=(count, 10))
    x[:, :4] += apart * y[:, None] * np.array([1, -1, 1, -1])
    return x.astype("float32"), y


def stains(count=400, size=16, seed=0):
    """Return images with a disc each, and the mask of the disc."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(4, size - 4, (count, 2, 1, 1))
    wide = rng.uniform(2, 4, (count, 1, 1))
    rows, columns = np.mgrid[:size, :size]
    far = np.hypot(rows - at[:, 0], columns - at[:, 1])
    y = (far < wide).astype("float32")[..., None]
    x = 0.8 * y + 0.3 * rng.normal(size=y.shape)
    return x.astype("float32"), y
