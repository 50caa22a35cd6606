"""Data sets of the fourteenth set of programs that no rule was made with."""

import numpy as np


def standard(x):
    """Return columns about 0 and 1 wide."""
    return ((x - x.mean(0)) / (x.std(0) + 1e-9)).astype("float32")


def genes(count=480, columns=60, kinds=4, seed=0):
    """Return read counts of genes, 0 to some ten thousands, and tissues."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, kinds, count)
    level = rng.normal(4.0, 1.8, columns)
    own = 1.2 * rng.normal(size=(kinds, columns)) * (rng.random(columns) < 0.4)
    x = level + own[y] + 0.7 * rng.normal(size=(count, columns))
    x = rng.poisson(np.exp(np.clip(x, -3, 10.5)))
    return x.astype("float32"), y.astype("int32")


def logs_of_genes():
    """Return the logarithms of `genes`, standardised, and tissues."""
    x, y = genes()
    return standard(np.log1p(x)), y


def drift(count=480, length=32, noise=0.1, seed=0):
    """Return readings of a warming sensor and the offset at their end."""
    rng = np.random.default_rng(seed)
    pace = rng.normal(0, 1, (count, 1))
    time = np.arange(length) / length
    x = pace * time + 0.3 * np.sin(20 * time + rng.uniform(0, 6, (count, 1)))
    x += noise * rng.normal(size=x.shape)
    y = pace + 0.5 * np.abs(pace)
    return x[..., None].astype("float32"), y.astype("float32")


def absorbed(count=512, bands=48, seed=0):
    """Return spectra of two dyes, and how much of the first, 0 to 50 mg."""
    rng = np.random.default_rng(seed)
    place = np.arange(bands)
    first = np.exp(-np.square((place - 16) / 4.0))
    second = np.exp(-np.square((place - 24) / 6.0))
    much = rng.uniform(0, 50, (count, 2))
    x = 1 - np.exp(-(much[:, :1] * first + much[:, 1:] * second) / 20)
    x += 0.1 * rng.uniform(0, 1, (count, 1))
    x += 0.01 * rng.normal(size=x.shape)
    return x.astype("float32"), much[:, :1].astype("float32")


def strokes(count=512, length=24, seed=0):
    """Return steps of a pen and whether it is down; a ring, saw, hook, bar."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    time = np.arange(length)
    x = np.zeros((count, length, 3))
    for pen, kind in zip(x, y, strict=True):
        start, pace = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.2)
        turn = [
            2 * np.pi * pace * time / length,
            1.2 * np.sign(np.sin(1.1 * pace * time)),
            np.where(time < length * 0.6, 0, 2.2) * pace,
            0 * time,
        ][kind]
        pen[:, 0], pen[:, 1] = np.cos(start + turn), np.sin(start + turn)
        pen[:, 2] = time < rng.integers(length - 6, length + 1)
        pen *= pen[:, 2:]
    x[..., :2] += 0.15 * rng.normal(size=x[..., :2].shape) * x[..., 2:]
    return x.astype("float32"), y.astype("int32")


def lakes(count=320, size=16, dry=0.2, wide=4.5, seed=0):
    """Return three bands of the ground from above, and where water is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    x, y = np.empty((count, size, size, 3)), np.zeros((count, size, size, 1))
    for image, mask in zip(x, y, strict=True):
        if rng.random() >= dry:
            a, b = rng.uniform(3, size - 3, 2)
            far = np.hypot((rows - a) * rng.uniform(0.7, 1.4), columns - b)
            mask[far < wide * rng.uniform(0.7, 1.2)] = 1
        land = np.array([0.4, 0.5, 0.7]) + 0.08 * rng.normal(size=3)
        image[:] = land - mask * np.array([0.1, 0.15, 0.4])
    x += 0.1 * rng.normal(size=x.shape)
    return x.astype("float32"), y.astype("float32")


def visits(count=640, length=12, rows=40, share=0.5, seed=0):
    """Return pages of a visit, four numbers of it, and whether one buys."""
    rng = np.random.default_rng(seed)
    worth = rng.normal(size=rows)
    worth[0] = 0
    pages = rng.integers(1, rows, (count, length))
    pages[np.arange(length) >= rng.integers(4, length + 1, (count, 1))] = 0
    numbers = rng.normal(size=(count, 4))
    score = worth[pages].sum(-1) + 2.5 * (numbers[:, 0] - numbers[:, 1])
    y = score > np.quantile(score, 1 - share)
    return (
        pages.astype("int32"),
        numbers.astype("float32"),
        y[:, None].astype("float32"),
    )


def boards(count=640, seed=0):
    """Return boards of 8 x 8 in four planes, and who has more: 0, 1 or 2."""
    rng = np.random.default_rng(seed)
    worth = np.array([1, 3, -1, -3])
    here = rng.random((count, 8, 8)) < 0.3
    kind = rng.integers(0, 4, (count, 8, 8))
    x = here[..., None] * (kind[..., None] == np.arange(4))
    more = (x * worth).sum((1, 2, 3)) + rng.normal(size=count) * 0.3
    y = np.digitize(more, np.quantile(more, [1 / 3, 2 / 3]))
    return x.astype("float32"), y.astype("int32")


def graphs(count=480, nodes=10, seed=0):
    """Return edges among nodes, marks of the nodes, and a ring, star, net."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    edges = np.zeros((count, nodes, nodes))
    for edge, kind in zip(edges, y, strict=True):
        order = rng.permutation(nodes)
        if kind == 0:
            edge[order, np.roll(order, 1)] = 1
        elif kind == 1:
            edge[order[0], order[1:]] = 1
        else:
            edge[:] = rng.random((nodes, nodes)) < 0.13
        edge[:] = np.maximum(edge, rng.random((nodes, nodes)) < 0.02)
    edges = np.maximum(edges, edges.swapaxes(1, 2))
    edges *= 1 - np.eye(nodes)
    marks = np.concatenate(
        [edges.sum(-1, keepdims=True) / 3, rng.normal(size=(count, nodes, 3))],
        -1,
    )
    return [marks.astype("float32"), edges.astype("float32")], y.astype("int32")


def chirps(count=480, length=80, noise=0.3, seed=0):
    """Return tones that rise, fall or stay, in noise, and which."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    time = np.arange(length) / length
    low, start = rng.uniform(18, 24, (count, 1)), rng.uniform(0, 6, (count, 1))
    bend = np.array([30.0, -14.0, 0.0])[y][:, None]
    x = np.sin(start + low * time + bend * time**2)
    x += noise * rng.normal(size=x.shape)
    return x[..., None].astype("float32"), y.astype("int32")


def weather(count=640, noise=0.6, seed=0):
    """Return hPa, %, km/h, a day of the year, and degrees of tomorrow.

    Columns are as a station has them; degrees go from about -15 to 30.
    """
    rng = np.random.default_rng(seed)
    hpa = rng.normal(1013, 9, count)
    wet = rng.uniform(25, 100, count)
    wind = rng.gamma(2.0, 7.0, count)
    day = rng.integers(1, 366, count)
    y = 8 - 14 * np.cos(2 * np.pi * day / 365) + 0.25 * (hpa - 1013)
    y -= 0.08 * (wet - 60) + 0.1 * (wind - 14)
    y += noise * rng.normal(size=count)
    x = np.stack([hpa, wet, wind, day], -1)
    return x.astype("float32"), y[:, None].astype("float32")


def hours_of_rain(count=640, seed=0):
    """Return five numbers of a day about 0, and hours of rain, often 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5))
    rate = np.exp(0.3 + 0.7 * x[:, 0] - 0.7 * x[:, 1] + 0.3 * x[:, 2])
    return x.astype("float32"), rng.poisson(rate)[:, None].astype("float32")


def bags(count=640, words=90, kinds=4, empty=0.0, seed=0):
    """Return how often each word is in a note, mostly 0, and its topic."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, kinds, count)
    rate = np.full((kinds, words), 0.05)
    for kind in range(kinds):
        rate[kind, 12 * kind : 12 * kind + 12] = 0.35
    x = rng.poisson(rate[y])
    x[rng.random(count) < empty] = 0
    return x.astype("float32"), y.astype("int32")


def people(count=640, seed=0):
    """Return pairs of looks of a person, and whether both are the same."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(40, 6))
    turn = rng.normal(size=(6, 20)) / 2
    first = rng.integers(0, 40, count)
    second = rng.integers(0, 40, count)
    same = rng.random(count) < 0.5
    second[same] = first[same]
    x = [
        np.tanh(faces[who] @ turn) + 0.2 * rng.normal(size=(count, 20))
        for who in (first, second)
    ]
    told = (first == second).astype("float32")[:, None]
    return [part.astype("float32") for part in x], told


def echoes(count=480, length=50, seed=0):
    """Return noise whose first step says one of two kinds, and which."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = 0.5 * rng.normal(size=(count, length))
    x[:, 0] = 2.0 * y - 1
    return x[..., None].astype("float32"), y[:, None].astype("float32")
