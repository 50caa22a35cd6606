"""Data sets of the twelfth set of programs that no rule was made with."""

import numpy as np


def flags(count=600, size=12, noise=0.15, seed=0):
    """Return coloured flags in [0, 1], which of five, and a share of red.

    They are bands from left to right, bands from top to bottom, a cross, a
    disc, and quarters.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, count)
    rows, columns = np.mgrid[:size, :size]
    half = (size - 1) / 2
    forms = [
        columns // (size // 3) % 2 == 0,
        rows // (size // 3) % 2 == 0,
        (abs(rows - half) < 2) | (abs(columns - half) < 2),
        np.hypot(rows - half, columns - half) < size / 3,
        (rows < half) == (columns < half),
    ]
    first, second = rng.uniform(0, 1, (2, count, 3))
    second = np.where(
        abs(first - second).sum(-1, keepdims=True) < 0.7, 1 - first, second
    )
    x = np.empty((count, size, size, 3))
    for at, kind in enumerate(y):
        x[at] = np.where(forms[kind][..., None], first[at], second[at])
    red = x[..., 0].mean((1, 2))
    x = np.clip(x + noise * rng.normal(size=x.shape), 0, 1)
    return x.astype("float32"), y.astype("int32"), red.astype("float32")


def moves(count=600, length=40, seed=0):
    """Return three axes of a phone over time, and what its owner does."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    pace = np.array([0.0, 0.5, 1.1, 1.8])[y][:, None]
    strong = np.array([0.1, 0.6, 1.0, 1.5])[y][:, None]
    at = rng.uniform(0, 6, (count, 1)) + pace * np.arange(length)
    turn = rng.uniform(-1, 1, (count, 1, 3))
    x = strong[..., None] * np.sin(at[..., None] + np.arange(3)) * (1 + turn)
    x += 0.3 * rng.normal(size=x.shape)
    return x.astype("float32"), y.astype("int32")


def reviews(count=700, length=18, rows=80, seed=0):
    """Return ids of words, 0 behind the end, and whether one is content."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    good = rng.integers(1, 21, (count, length))
    bad = rng.integers(21, 41, (count, length))
    other = rng.integers(41, rows, (count, length))
    own = np.where(y[:, None] == 1, good, bad)
    x = np.where(rng.random((count, length)) < 0.3, own, other)
    ends = rng.integers(length // 2, length + 1, (count, 1))
    x[np.arange(length) >= ends] = 0
    return x.astype("int32"), y.astype("float32")[:, None]


def bikes(count=800, noise=0.15, seed=0):
    """Return hour, warmth, damp, wind, work and year, and bikes lent.

    The first are as a table has them. Bikes are in hundreds: 0 to 8 of them.
    """
    rng = np.random.default_rng(seed)
    hour = rng.integers(0, 24, count)
    warm = rng.normal(14, 9, count)
    damp = rng.uniform(20, 100, count)
    wind = rng.gamma(2.0, 6.0, count)
    work = rng.integers(0, 2, count)
    year = rng.integers(2011, 2015, count)
    peak = np.exp(-np.square((hour - 8) / 2)) + np.exp(
        -np.square((hour - 17) / 3)
    )
    much = np.where(
        work == 1, 3 * peak, 2 * np.exp(-np.square((hour - 14) / 5))
    )
    much = (0.2 + much) * (1 + 0.04 * (warm - 14)) * (1.4 - damp / 130)
    much *= 1 + 0.1 * (year - 2011) - 0.01 * wind
    much = np.clip(much * np.exp(noise * rng.normal(size=count)), 0, 8)
    x = np.stack([hour, warm, damp, wind, work, year], -1)
    return x.astype("float32"), much[:, None].astype("float32")


def told(x):
    """Return bikes' columns about 0 and 1 wide, the hour as an angle, too."""
    angle = x[:, :1] * np.pi / 12
    wide = (x - x.mean(0)) / x.std(0)
    return np.concatenate([wide, np.sin(angle), np.cos(angle)], -1).astype(
        "float32"
    )


def peaks(count=600, width=48, seed=0):
    """Return curves of two peaks each, in [0, 1], and the first one's place."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(4, width - 4, (count, 2)), -1)
    high = rng.uniform(0.3, 1.0, (count, 2))
    wide = rng.uniform(2.0, 4.0, (count, 2))
    steps = np.arange(width)
    x = high[..., None] * np.exp(
        -np.square((steps - at[..., None]) / wide[..., None])
    )
    return x.max(1).astype("float32"), at[:, :1].astype("float32")


def cells(count=400, size=16, radius=3.0, blank=0.0, seed=0):
    """Return pictures, and for each pixel: nothing, a bright or a dark cell."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    x = 0.3 * rng.normal(size=(count, size, size, 1))
    y = np.zeros((count, size, size), "int32")
    for image, kinds in zip(x, y, strict=True):
        for kind in (1, 2):
            if rng.random() >= blank:
                a, b = rng.uniform(2, size - 2, 2)
                kinds[np.hypot(rows - a, columns - b) < radius] = kind
        image[..., 0] += (kinds == 1) - 1.0 * (kinds == 2)
    return x.astype("float32"), y.reshape(count, -1)


def warmth(count=600, length=30, seed=0):
    """Return degrees of some days (count, length, 1), and of the next one."""
    rng = np.random.default_rng(seed)
    day = np.arange(length + 1) + rng.uniform(0, 365, (count, 1))
    x = 11 - 10 * np.cos(day * 2 * np.pi / 365)
    x += 5 * np.sin(day * 2 * np.pi / 11 + rng.uniform(0, 6, (count, 1)))
    x += 0.8 * rng.normal(size=x.shape)
    return x[:, :-1, None].astype("float32"), x[:, -1:].astype("float32")


def codes(count=800, length=7, rows=9, seed=0):
    """Return short codes, and the same ones from the end to the start."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, rows, (count, length))
    return x.astype("int32"), x[:, ::-1].astype("int32").copy()


def leavers(count=900, share=0.5, seed=0):
    """Return twelve numbers of a client, about 0 and 1 wide, and who leaves."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 12))
    score = 1.5 * x[:, 0] - x[:, 1] + 1.5 * x[:, 2] * x[:, 3]
    score += 0.5 * rng.normal(size=count)
    y = score > np.quantile(score, 1 - share)
    return x.astype("float32"), y[:, None].astype("float32")


def board(count=900, fields=3, seed=0):
    """Return places on a board in [-1, 1], and the colour of the field."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 2))
    y = np.floor((x + 1) * fields / 2).sum(-1) % 2
    return x.astype("float32"), y[:, None].astype("float32")


def baskets(count=700, seed=0):
    """Return ten numbers of a client, and how many of six goods are bought."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 10))
    rate = np.exp(1.2 + x @ rng.normal(0, 0.4, (10, 6)))
    return x.astype("float32"), (1 + rng.poisson(rate)).astype("float32")
