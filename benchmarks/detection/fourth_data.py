"""Data sets of the fourth set of programs that no rule was made with."""

import numpy as np


def diabetes():
    """Return scikit-learn's diabetes data, all columns standardised."""
    from sklearn import datasets

    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")[:, None]


def shells(count=900, classes=3, seed=0):
    """Return points of nested shells in four numbers, and which shell."""
    from sklearn import datasets

    x, y = datasets.make_gaussian_quantiles(
        n_samples=count, n_features=4, n_classes=classes, random_state=seed
    )
    return x.astype("float32"), y.astype("int32")


def roll(count=1000, seed=0):
    """Return points of a rolled sheet, and their place along it."""
    from sklearn import datasets

    x, t = datasets.make_swiss_roll(count, noise=0.3, random_state=seed)
    t = (t - t.mean()) / t.std()
    return (x / x.std(0)).astype("float32"), t.astype("float32")[:, None]


def molecules(count=600, nodes=9, seed=0):
    """Return graphs: nodes (n, 5), links (n, n), and a sum over neighbours."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, nodes, 5)).astype("float32")
    links = rng.random((count, nodes, nodes)) < 0.3
    links = np.maximum(links, links.swapaxes(1, 2)).astype("float32")
    links *= 1 - np.eye(nodes, dtype="float32")
    links /= np.maximum(links.sum(-1, keepdims=True), 1)
    near = links @ x
    y = np.tanh(near[..., 0] * 2) * np.tanh(near[..., 1] * 2)
    y = y.mean(1, keepdims=True)
    return x, links, ((y - y.mean()) / y.std()).astype("float32")


def ratings(count=2400, users=80, items=50, seed=0):
    """Return users, items, other items, and how well each is liked."""
    rng = np.random.default_rng(seed)
    taste, kind = rng.normal(size=(users, 4)), rng.normal(size=(items, 4))
    user, item, other = (
        rng.integers(0, top, count) for top in (users, items, items)
    )
    score = (taste[user] * kind[item]).sum(1)
    than = (taste[user] * kind[other]).sum(1)
    swap = than > score
    item, other = np.where(swap, other, item), np.where(swap, item, other)
    score = np.where(swap, than, score) + 0.1 * rng.normal(size=count)
    ids = [part.astype("int32")[:, None] for part in (user, item, other)]
    return *ids, (score / score.std()).astype("float32")[:, None]


def demand(count=600, length=36, seed=0):
    """Return series (count, length, 1) with a season, and the next value."""
    rng = np.random.default_rng(seed)
    time = np.arange(length + 1)
    start, size = rng.uniform(0, 6, (count, 1)), rng.uniform(0.5, 2, (count, 1))
    series = size * np.sin(time / 3 + start) + 0.1 * rng.normal(
        size=(count, length + 1)
    )
    series = series.astype("float32")
    return series[:, :-1, None], series[:, -1:]


def patches(count=600, size=12, seed=0):
    """Return coloured images in 0..255 of a spot, and its colour and side."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, count)
    x = rng.normal(110, 25, (count, size, size, 3))
    for image, kind in zip(x, y, strict=True):
        a, b = rng.integers(0, size - 4), rng.integers(0, size // 2 - 3)
        b += (kind // 3) * (size // 2)
        image[a : a + 4, b : b + 4, kind % 3] += 90
    return x.clip(0, 255).astype("float32"), y.astype("int32")


def speech(count=500, length=24, rows=30, seed=0):
    """Return sequences of numbers from a chain, and each next number."""
    rng = np.random.default_rng(seed)
    follows = np.stack([rng.permutation(rows)[:3] for _ in range(rows)])
    text = np.zeros((count, length + 1), "int32")
    text[:, 0] = rng.integers(0, rows, count)
    for at in range(length):
        pick = rng.choice(3, count, p=[0.7, 0.2, 0.1])
        text[:, at + 1] = follows[text[:, at], pick]
    return text[:, :-1], text[:, 1:]


def topics(count=700, length=18, rows=80, seed=0):
    """Return padded texts of words, and which of three topics each has."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    of_topic = 1 + y[:, None] + 3 * rng.integers(0, 8, (count, length))
    any_word = rng.integers(25, rows, (count, length))
    x = np.where(rng.random((count, length)) < 0.25, of_topic, any_word)
    x[np.arange(length) >= rng.integers(6, length + 1, (count, 1))] = 0
    return x.astype("int32"), y.astype("int32")
