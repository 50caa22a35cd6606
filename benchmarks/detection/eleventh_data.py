"""Data sets of the eleventh set of programs that no rule was made with."""

import numpy as np


def bearings(count=600, length=48, seed=0):
    """Return vibrations (count, length, 1), and which of four faults."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    pace = np.array([0.3, 0.7, 1.2, 1.9])[y][:, None]
    at = rng.uniform(0, 6, (count, 1)) + pace * np.arange(length)
    x = np.sin(at) + 0.4 * rng.normal(size=at.shape)
    return x[..., None].astype("float32"), y.astype("int32")


def demand(count=700, length=24, noise=0.1, seed=0):
    """Return load and warmth of some hours, and the load of the next one."""
    rng = np.random.default_rng(seed)
    hour = np.arange(length + 1) + rng.integers(0, 24, (count, 1))
    day = np.sin(hour * np.pi / 12) + 0.5 * np.sin(hour * np.pi / 6 + 1)
    warm = rng.normal(size=(count, 1)) + 0.3 * rng.normal(size=hour.shape)
    load = day * (1 + 0.3 * warm) + 0.5 * warm
    load += noise * rng.normal(size=load.shape)
    x = np.stack([load, warm], -1)[:, :-1]
    return x.astype("float32"), load[:, -1:].astype("float32")


_LETTERS = (
    "11111 1.... 1111. 1.... 11111",
    "1...1 1...1 11111 1...1 1...1",
    "11111 ..1.. ..1.. ..1.. ..1..",
    "1...1 .1.1. ..1.. .1.1. 1...1",
)


def letters(count=600, size=12, noise=0.15, seed=0):
    """Return pictures in [0, 1] of E, H, T or X, which, and where."""
    rng = np.random.default_rng(seed)
    forms = [
        np.array([[c == "1" for c in row] for row in form.split()])
        for form in _LETTERS
    ]
    y = rng.integers(0, 4, count)
    at = rng.integers(0, size - 4, (count, 2))
    x = 0.2 + noise * rng.normal(size=(count, size, size, 1))
    for image, kind, (a, b) in zip(x, y, at, strict=True):
        image[a : a + 5, b : b + 5, 0] += 0.7 * forms[kind]
    x = np.clip(x, 0, 1).astype("float32")
    return x, y.astype("int32"), (at + 2).astype("float32")


def tickets(count=700, length=16, rows=60, seed=0):
    """Return ids of words, and which of four teams is asked."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    own = 1 + 14 * y[:, None] + rng.integers(0, 14, (count, length))
    other = rng.integers(1, rows, (count, length))
    x = np.where(rng.random((count, length)) < 0.35, own, other)
    ends = rng.integers(length // 2, length + 1, (count, 1))
    x[np.arange(length) >= ends] = 0
    return x.astype("int32"), y.astype("int32")


def names(count=600, length=14, rows=70, share=0.5, seed=0):
    """Return ids of words, and of each whether it is a name or follows one.

    Words above 60 are names; what follows a word of 55 to 60 is one, too.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 55, (count, length))
    own = rng.random(x.shape) < share
    x = np.where(own, rng.integers(55, rows, x.shape), x)
    y = x > 60
    y[:, 1:] |= (x[:, :-1] > 54) & (x[:, :-1] <= 60)
    return x.astype("int32"), y.astype("int32")


def cars(count=800, noise=0.1, seed=0):
    """Return age, distance, power, doors and owners, and a price.

    The first are as they are listed, the price is about 0 and 1 wide.
    """
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 15, count)
    far = rng.gamma(2.0, 6000, count) * (1 + age)
    power = rng.normal(90, 25, count).clip(40, 220)
    doors, owners = rng.integers(2, 6, count), rng.integers(1, 5, count)
    price = np.exp(-age / 6) * (power / 90) ** 1.5 * (1 + 0.1 * doors)
    price = price * (1.3 - 0.1 * owners) - far / 3e5
    price = (price - price.mean()) / price.std()
    price += noise * rng.normal(size=count)
    x = np.stack([age, far, power, doors, owners], -1)
    return x.astype("float32"), price[:, None].astype("float32")


def scaled(x):
    """Return columns of mean 0 and deviation 1."""
    return ((x - x.mean(0)) / x.std(0)).astype("float32")


def loans(count=900, share=0.5, apart=1.5, seed=0):
    """Return eight numbers of a loan, and whether it is not paid back."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < share).astype("float32")[:, None]
    x = rng.normal(size=(count, 8))
    side = rng.choice([-1, 1], (count, 1))
    x[:, :1] += y * apart * side
    x[:, 1:2] += y * apart * side
    x[:, 2:3] -= y * apart * 0.8
    return x.astype("float32"), y


def stars(count=2500, users=60, items=40, seed=0):
    """Return pairs of a user and an item, and one to five stars."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(users, 2)), rng.normal(size=(items, 2))
    x = np.stack(
        [rng.integers(0, users, count), rng.integers(0, items, count)], -1
    )
    score = 3 + 0.9 * (u[x[:, 0]] * v[x[:, 1]]).sum(-1, keepdims=True)
    score += 0.2 * rng.normal(size=score.shape)
    y = np.clip(np.round(score), 1, 5)
    return x.astype("int32"), y.astype("float32")


def sales(count=900, seed=0):
    """Return six numbers of a day and a shop, and pieces, mostly none."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    some = rng.random((count, 1)) < 1 / (1 + np.exp(0.9 - 1.5 * x[:, :1]))
    much = np.exp(1 + 0.5 * x[:, 1:2])
    return x.astype("float32"), (some * much).astype("float32")


def spots(count=400, size=16, seed=0):
    """Return pictures, and masks of the two discs in each of them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    x = 0.4 * rng.normal(size=(count, size, size, 1))
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        for _ in range(2):
            a, b = rng.uniform(2, size - 2, 2)
            mask[np.hypot(rows - a, columns - b) < 3] = 1
        image += mask
    return x.astype("float32"), y.astype("float32")


def switch(count=800, seed=0):
    """Return six numbers, and one that depends on the sign of the first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    sign = np.sign(x[:, :1])
    y = sign * (x[:, 1:2] + 0.7 * x[:, 2:3]) + 0.5 * sign * x[:, 3:4]
    return x.astype("float32"), y.astype("float32")


def moons_of_three(count=900, seed=0):
    """Return three numbers on a folded band, about 0 and 1 wide."""
    from sklearn import datasets

    x, _ = datasets.make_swiss_roll(count, noise=0.2, random_state=seed)
    return scaled(x)
