"""Data sets of the thirteenth set of programs that no rule was made with."""

import numpy as np


def standard(x):
    """Return columns about 0 and 1 wide."""
    return ((x - x.mean(0)) / x.std(0)).astype("float32")


def houses(count=800, noise=0.08, seed=0):
    """Return area, rooms, age, way and floor of houses, and dollars of each.

    Columns are as a table has them, prices about 100 000 to 900 000.
    """
    rng = np.random.default_rng(seed)
    area = rng.uniform(40, 240, count)
    rooms = np.round(area / 30 + rng.uniform(0, 2, count))
    age = rng.uniform(0, 90, count)
    way = rng.gamma(2.0, 6.0, count)
    floor = rng.integers(0, 9, count)
    price = 3200 * area * np.exp(-0.03 * way) * (1.1 - 0.005 * age)
    price += 6000 * floor + 4000 * rooms
    price *= np.exp(noise * rng.normal(size=count))
    x = np.stack([area, rooms, age, way, floor], -1)
    return x.astype("float32"), price[:, None].astype("float32")


def diabetes():
    """Return scikit-learn's ten columns, 1 wide, and the progress in a year."""
    from sklearn import datasets

    x, y = datasets.load_diabetes(return_X_y=True)
    return standard(x), y.astype("float32")[:, None]


def tumours():
    """Return scikit-learn's thirty columns as measured, and which is benign."""
    from sklearn import datasets

    x, y = datasets.load_breast_cancer(return_X_y=True)
    return x.astype("float32"), y.astype("float32")[:, None]


def digits(shape=(64,)):
    """Return scikit-learn's digits in [0, 1], 1000 of them."""
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    x, y = x[:1000] / 16, y[:1000]
    return x.astype("float32").reshape(-1, *shape), y.astype("int32")


def moons(count=800, noise=0.15, seed=3):
    """Return two noisy moons and their classes (count, 1)."""
    from sklearn import datasets

    x, y = datasets.make_moons(count, noise=noise, random_state=seed)
    return x.astype("float32"), y.astype("float32")[:, None]


def faults(count=800, classes=4, seed=0):
    """Return a classification in ten numbers about 0 and 1 wide."""
    from sklearn import datasets

    x, y = datasets.make_classification(
        count,
        10,
        n_informative=7,
        n_redundant=1,
        n_classes=classes,
        n_clusters_per_class=1,
        class_sep=1.6,
        random_state=seed,
    )
    return standard(x), y.astype("int32")


def passengers(count=600, length=24, seed=0):
    """Return two years of passengers in thousands, and the next month's.

    Shapes are (count, length, 1) and (count, 1), values about 100 to 700.
    """
    rng = np.random.default_rng(seed)
    level = rng.uniform(150, 450, (count, 1))
    month = np.arange(length + 1) + rng.integers(0, 12, (count, 1))
    x = level * (1 + 0.01 * np.arange(length + 1))
    x = x * (1 + 0.25 * np.sin(month * 2 * np.pi / 12))
    x += 8 * rng.normal(size=x.shape)
    return x[:, :-1, None].astype("float32"), x[:, -1:].astype("float32")


def posts(count=800, length=20, rows=100, kinds=3, seed=0):
    """Return ids of words, none of them 0, and a post's kind."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, kinds, count)
    own = 1 + 15 * y[:, None] + rng.integers(0, 15, (count, length))
    other = rng.integers(15 * kinds + 1, rows, (count, length))
    x = np.where(rng.random((count, length)) < 0.3, own, other)
    return x.astype("int32"), y.astype("int32")


def shapes(count=600, size=14, channels=3, noise=0.08, seed=0):
    """Return pictures in [0, 1] of a disc, a square or a cross."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    rows, columns = np.mgrid[:size, :size]
    x = np.empty((count, size, size, channels))
    for image, kind in zip(x, y, strict=True):
        a, b = rng.uniform(5, size - 6, 2)
        da, db = abs(rows - a), abs(columns - b)
        form = [
            np.hypot(da, db) < 4,
            np.maximum(da, db) < 3.5,
            (np.minimum(da, db) < 1.2) & (np.maximum(da, db) < 5),
        ][kind]
        dark, light = rng.uniform(0, 0.4, channels), rng.uniform(0.6, 1)
        image[:] = np.where(form[..., None], light, dark)
    x = np.clip(x + noise * rng.normal(size=x.shape), 0, 1)
    return x.astype("float32"), y.astype("int32")


def nuclei(count=400, size=16, blank=0.0, radius=3.0, seed=0):
    """Return noisy pictures with bright discs, and the masks of the discs."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    x = 0.25 * rng.normal(size=(count, size, size, 1))
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        if rng.random() >= blank:
            a, b = rng.uniform(3, size - 3, 2)
            mask[np.hypot(rows - a, columns - b) < radius] = 1
        image += mask
    return x.astype("float32"), y.astype("float32")


def motors(count=600, length=64, seed=0):
    """Return a motor's vibration, and whether it is sound, worn or loose."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    time = np.arange(length)
    start = rng.uniform(0, 6, (count, 1))
    x = np.sin(start + 0.3 * time)
    x += (y == 1)[:, None] * 0.9 * np.sin(2 * start + 1.3 * time)
    x += (
        (y == 2)[:, None] * 1.5 * (time % 16 == rng.integers(0, 16, (count, 1)))
    )
    x += 0.2 * rng.normal(size=x.shape)
    return x[..., None].astype("float32"), y.astype("int32")


def cards(count=1600, share=0.005, seed=0):
    """Return eight numbers of a payment, and whether it is a fraud."""
    rng = np.random.default_rng(seed)
    y = np.zeros(count)
    y[: max(1, round(share * count))] = 1
    rng.shuffle(y)
    x = rng.normal(size=(count, 8)) + 0.9 * y[:, None] * np.sign(
        np.arange(8) % 2 - 0.5
    )
    return x.astype("float32"), y[:, None].astype("float32")


def clients(count=800, seed=0):
    """Return age, income, debts, visits and days, and who leaves, half do.

    Columns are as a table has them: income and days go to 90 000 and 4000.
    """
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 80, count)
    income = rng.lognormal(10.3, 0.5, count)
    debts = rng.gamma(1.5, 4000, count)
    visits = rng.poisson(6, count)
    days = rng.uniform(30, 4000, count)
    score = (age - 49) / 18 - 1.5 * np.log(income / 30000) * (visits - 6) / 2.4
    score += 0.8 * (debts > 5000) - days / 2500
    y = score + 0.3 * rng.normal(size=count)
    x = np.stack([age, income, debts, visits, days], -1)
    y = y > np.median(y)
    return x.astype("float32"), y[:, None].astype("float32")


def alike(count=800, seed=0):
    """Return pairs of the digits 0 to 4, and whether both are the same one.

    One pair in twenty is a picture beside itself.
    """
    x, y = digits()
    x, y = x[y < 5], y[y < 5]
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(x), count)
    second = rng.integers(0, len(x), count)
    same = rng.random(count) < 0.5
    for at in np.flatnonzero(same):
        second[at] = rng.choice(np.flatnonzero(y == y[first[at]]))
    second[::20] = first[::20]
    told = (y[first] == y[second]).astype("float32")[:, None]
    return [x[first], x[second]], told


def sales(count=800, seed=0):
    """Return six numbers of an hour in a shop, and what it sold, often 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    rate = np.exp(0.8 * x[:, 0] - 0.6 * x[:, 1] + 0.5 * x[:, 2])
    return x.astype("float32"), rng.poisson(rate)[:, None].astype("float32")


def lines(count=700, length=10, rows=12, seed=0):
    """Return ids where each follows from the two before, and the next ids."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, rows, (count, length + 1))
    for at in range(2, length + 1):
        x[:, at] = (x[:, at - 1] + x[:, at - 2]) % rows
    return x[:, :-1].astype("int32"), x[:, 1:].astype("int32")
