"""Data sets of the tenth set of programs that no rule was made with."""

import numpy as np


def tides(count=700, length=32, ahead=4, noise=0.1, seed=0):
    """Return levels and winds (count, length, 2), and the levels to come."""
    rng = np.random.default_rng(seed)
    time = np.arange(length + ahead) + rng.uniform(0, 60, (count, 1))
    level = np.sin(0.51 * time) + 0.5 * np.sin(0.26 * time + 1)
    wind = rng.normal(size=(count, 1)) * np.ones_like(time)
    level = level + 0.4 * wind + noise * rng.normal(size=time.shape)
    x = np.stack([level, wind], -1)[:, :length]
    return x.astype("float32"), level[:, length:].astype("float32")


def parts(count=600, size=14, seed=0):
    """Return colour images in [0, 1] of five parts, and which part."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, count)
    rows, columns = np.mgrid[:size, :size]
    x = 0.3 + 0.08 * rng.normal(size=(count, size, size, 3))
    for image, kind in zip(x, y, strict=True):
        a, b = rng.uniform(4, size - 4, 2)
        up, side = np.abs(rows - a), np.abs(columns - b)
        far = np.hypot(up, side)
        shape = [
            far < 3,
            (far < 3.5) & (far > 2),
            (up < 1) & (side < 4),
            (side < 1) & (up < 4),
            np.abs(up - side) < 0.7,
        ][kind] & (far < 4)
        image[shape] += rng.uniform(0.3, 0.6, 3)
    return np.clip(x, 0, 1).astype("float32"), y.astype("int32")


def soil(count=800, noise=0.0, seed=0):
    """Return eight readings of a soil, and its yield, about 0 and 1 wide."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 8))
    y = np.abs(x[:, :1]) + x[:, 1:2] * (x[:, 2:3] > 0) - 0.7 * x[:, 3:4]
    y = (y - y.mean()) / y.std() + noise * rng.normal(size=y.shape)
    return x.astype("float32"), y.astype("float32")


def circuits(count=800, seed=0):
    """Return four quantities of a circuit as measured, and its impedance."""
    from sklearn import datasets

    x, y = datasets.make_friedman2(count, noise=0.0, random_state=seed)
    y = (y - y.mean()) / y.std()
    return x.astype("float32"), y.astype("float32")[:, None]


def shell(count=900, seed=0):
    """Return ten numbers, and whether the row lies outside of a shell."""
    from sklearn import datasets

    x, y = datasets.make_hastie_10_2(count, random_state=seed)
    return x.astype("float32"), (y > 0).astype("float32")[:, None]


def clinic(count=900, apart=2.0, seed=0):
    """Return nine values of a patient, and whether two of them agree."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 9))
    sign = rng.choice([-1, 1], (count, 2))
    x[:, :2] = 0.4 * x[:, :2] + apart / 2 * sign
    y = (sign[:, :1] == sign[:, 1:]).astype("float32")
    return x.astype("float32"), y


def logs(count=700, length=20, rows=80, seed=0):
    """Return ids of messages, and which of five machines wrote them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, count)
    own = 5 + 15 * y[:, None] + rng.integers(0, 15, (count, length))
    other = rng.integers(1, rows, (count, length))
    x = np.where(rng.random((count, length)) < 0.4, own, other)
    return x.astype("int32"), y.astype("int32")


def orbits(count=600, length=36, seed=0):
    """Return paths (count, length, 2), and which of three ways they turn."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    pace = np.array([-0.35, 0.12, 0.45])[y][:, None]
    at = rng.uniform(0, 6, (count, 1)) + pace * np.arange(length)
    x = np.stack([np.cos(at), np.sin(at)], -1)
    x += 0.2 * rng.normal(size=x.shape)
    return x.astype("float32"), y.astype("int32")


def clicks(count=2500, users=50, items=40, seed=0):
    """Return pairs of a user and an item, and whether it was clicked."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(users, 3)), rng.normal(size=(items, 3))
    x = np.stack(
        [rng.integers(0, users, count), rng.integers(0, items, count)], -1
    )
    score = 1.5 * (u[x[:, 0]] * v[x[:, 1]]).sum(-1, keepdims=True)
    y = rng.random(score.shape) < 1 / (1 + np.exp(-score))
    return x.astype("int32"), y.astype("float32")


def lives(count=700, seed=0):
    """Return six numbers of a patient; time, and whether he died then."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    risk = 1.2 * x[:, 0] - 0.8 * x[:, 1] + 0.6 * x[:, 2] * x[:, 3]
    death = rng.exponential(np.exp(-risk))
    end = rng.exponential(2.0, count)
    y = np.stack([np.minimum(death, end), death <= end], -1)
    return x.astype("float32"), y.astype("float32")


def arrivals(count=800, seed=0):
    """Return five numbers of an hour, and how many calls came in it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5))
    rate = np.exp(1.5 + 0.6 * x[:, :1] - 0.5 * np.abs(x[:, 1:2]))
    return x.astype("float32"), rng.poisson(rate).astype("float32")


def scans(count=400, size=16, blank=0.6, seed=0):
    """Return images, most of them blank, and masks of the spots in them."""
    rng = np.random.default_rng(seed)
    x = 0.3 * rng.normal(size=(count, size, size, 1))
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        if rng.random() >= blank:
            a, b = rng.integers(1, size - 4, 2)
            image[a : a + 3, b : b + 3] += 1
            mask[a : a + 3, b : b + 3] = 1
    return x.astype("float32"), y.astype("float32")


def clouds(count=700, points=12, seed=0):
    """Return sets of points (count, points, 3), and how wide each set is."""
    rng = np.random.default_rng(seed)
    wide = rng.uniform(0.3, 2.0, (count, 1, 1))
    x = wide * rng.normal(size=(count, points, 3))
    y = (wide[:, 0] - 1.15) / 0.49
    return x.astype("float32"), y.astype("float32")


def curve(count=900, seed=0):
    """Return points of a bent sheet (count, 3), and the place on it."""
    from sklearn import datasets

    x, t = datasets.make_s_curve(count, noise=0.05, random_state=seed)
    t = (t - t.mean()) / t.std()
    return x.astype("float32"), t.astype("float32")[:, None]
