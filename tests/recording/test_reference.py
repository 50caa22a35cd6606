"""What trivial learners get out of rows, against loops that leave each out."""

import math

import numpy as np
import pytest

from keras_gradguard.recording import reference
from keras_gradguard.recording.reference import reference_of

pytestmark = pytest.mark.pure


def table(rows=60, columns=5, seed=0):
    rng = np.random.default_rng(seed)
    x = (
        rng.normal(size=(rows, columns))
        * np.array([1, 50, 1e-3, 7, 1])[:columns]
    )
    x[:, 1:2] += 1e4
    return x


def standardised(x):
    return (x - x.mean(0)) / x.std(0)


def twin_of_ridge(z, y, penalty):
    """Each row by the normal equations of all the others."""
    wide = z.shape[1]
    z = np.hstack([z / np.sqrt(wide), np.full((len(z), 1), 10.0)])
    told = np.zeros_like(y)
    for i in range(len(z)):
        rest = np.arange(len(z)) != i
        a = z[rest].T @ z[rest] + penalty * np.eye(wide + 1)
        told[i] = z[i] @ np.linalg.solve(a, z[rest].T @ y[rest])
    return told


def twin_of_kernel(z, y):
    gaps = np.array([[((a - b) ** 2).sum() for b in z] for a in z])
    width = np.median(gaps[gaps > 0])
    kernel = np.exp(-gaps / width) + 100.0
    told = np.zeros_like(y)
    for i in range(len(z)):
        rest = np.arange(len(z)) != i
        inner = kernel[np.ix_(rest, rest)] + 0.1 * np.eye(rest.sum())
        told[i] = kernel[i, rest] @ np.linalg.solve(inner, y[rest])
    return told


def twin_of_neighbours(z, y, many):
    told = np.zeros_like(y)
    for i in range(len(z)):
        gaps = [((z[i] - b) ** 2).sum() for b in z]
        others = [j for j in np.argsort(gaps, kind="stable") if j != i]
        told[i] = np.mean([y[j] for j in others[:many]], axis=0)
    return told


def twins(x, y):
    z = standardised(x)
    return {
        "ridge 0.03": twin_of_ridge(z, y, 0.03),
        "ridge 3": twin_of_ridge(z, y, 3.0),
        "one": twin_of_neighbours(z, y, 1),
        "five": twin_of_neighbours(z, y, 5),
        "kernel": twin_of_kernel(z, y),
    }


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_each_row_is_told_by_all_the_others(columns):
    x = table(columns=columns)
    y = np.random.default_rng(1).normal(size=(60, 2)) + 3.0
    rows = reference._standardised(x)
    found = [told for _, told in reference._guesses(rows, y)]
    for (name, wanted), told in zip(twins(x, y).items(), found, strict=True):
        np.testing.assert_allclose(told, wanted, 1e-6, 1e-6, err_msg=name)


def test_of_more_columns_than_rows_the_same():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 70)), rng.normal(size=(50, 1))
    rows = reference._standardised(x)
    found = [told for _, told in reference._guesses(rows, y)]
    for (name, wanted), told in zip(twins(x, y).items(), found, strict=True):
        np.testing.assert_allclose(told, wanted, 1e-6, 1e-6, err_msg=name)


def test_scores_of_classes():
    x = table(80)
    y = (x[:, :1] > 0) + 2.0 * (x[:, 4:] > 1)
    found = reference_of([x], y, "classes")
    known = np.unique(y)
    told = twins(x, (y == known).astype(float)).values()
    right = [np.mean(known[t.argmax(1)] == y[:, 0]) for t in told]
    shares = [np.mean(y == k) for k in known]
    assert found["score"] == pytest.approx(max(right))
    assert found["error"] == pytest.approx(
        math.sqrt(max(right) * (1 - max(right)) / 80)
    )
    assert found["chance"] == pytest.approx(max(shares))
    assert found["entropy"] == pytest.approx(
        -sum(share * math.log(share) for share in shares)
    )
    assert found["classes"] == len(known)
    assert found["rows"] == 80


def test_scores_of_numbers():
    x = table(70)
    y = standardised(x)[:, :1] * 3 + np.random.default_rng(3).normal(
        size=(70, 1)
    )
    found = reference_of([x], y, "numbers")
    best = max(
        twins(x, y).values(), key=lambda told: -np.square(told - y).sum()
    )
    mean = np.array([np.delete(y, i).mean() for i in range(70)])[:, None]
    wrong, spread = np.square(y - best), np.square(y - mean)
    ratio = wrong.sum() / spread.sum()
    assert found["score"] == pytest.approx(1 - ratio)
    off = np.std(wrong - ratio * spread) / spread.mean() / math.sqrt(70)
    assert found["error"] == pytest.approx(off)
    apart = np.abs(y - np.median(y)).mean()
    assert found["absolute"] == pytest.approx(
        1 - np.abs(y - best).mean() / apart
    )


def drawn(kind, rows=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    angle = rng.uniform(0, 2 * np.pi, rows)
    y = rng.integers(0, 2, rows)
    if kind == "xor":
        y = (x[:, 0] * x[:, 1] > 0).astype(int)
    elif kind == "circles":
        far = (1 + y)[:, None]
        x = far * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * x
    elif kind == "moons":
        turn = np.where(y, -1, 1)
        x = 0.1 * x + np.stack(
            [
                np.cos(angle / 2) * turn + y,
                np.sin(angle / 2) * turn + 0.5 * y,
            ],
            1,
        )
    return x, y[:, None].astype(float)


@pytest.mark.parametrize("kind", ["xor", "circles", "moons"])
def test_what_no_line_parts_is_told(kind):
    found = reference_of([drawn(kind)[0]], drawn(kind)[1], "classes")
    assert found["score"] > 0.9


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["classes", "numbers", "outliers"])
def test_of_noise_nothing_is_told(kind, seed):
    x, y = drawn("noise", seed=seed)
    draw = np.random.default_rng(100 + seed)
    if kind == "numbers":
        y = draw.normal(size=(200, 1))
    elif kind == "outliers":
        y = draw.standard_t(2, size=(200, 1))
    found = reference_of([x], y, "classes" if kind == "classes" else "numbers")
    if kind == "outliers":
        # One of them may be told by luck: that is far from the others' share.
        assert found["absolute"] < 0.1
    else:
        low = found["score"] - 3 * found["error"]
        assert low < found.get("chance", 0) + 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_left_out(bad):
    x, y = drawn("xor")
    told = reference_of([x], y, "classes")
    more = np.concatenate([x, np.full((5, 2), bad)])
    found = reference_of([more], np.concatenate([y, y[:5]]), "classes")
    assert found == told
    marked = np.concatenate([y, np.full((5, 1), bad)])
    more = np.concatenate([x, x[:5] + 1])
    assert reference_of([more], marked, "classes") == told


def test_few_rows_and_targets_all_alike_tell_nothing():
    x, y = drawn("xor")
    assert reference_of([x[:40]], y[:40], "classes") is None
    assert reference_of([x], np.ones_like(y), "classes") is None
    assert reference_of([x], np.ones_like(y), "numbers") is None
    assert reference_of([np.ones_like(x)], y, "classes") is None
    assert reference_of([x[:0]], y[:0], "numbers") is None


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e300])
def test_no_scale_is_too_large(scale):
    x, y = drawn("xor")
    found = reference_of([x * scale], y, "classes")
    assert found["score"] == reference_of([x], y, "classes")["score"]
    found = reference_of([x], x[:, :1] * scale, "numbers")
    assert found["score"] == pytest.approx(1, abs=0.01)
