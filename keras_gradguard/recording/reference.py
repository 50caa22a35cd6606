"""What trivial learners get out of some rows: each row told by the others.

A run that knows far less than these is sick, whatever the cause is.
"""

import math

import numpy as np

from keras_gradguard.trace.facts import TABLE

# Fewer rows tell nothing.
FEWEST = 48
# Penalties of ridge regression, per entry of a standardised row, and of a
# kernel whose diagonal is 1.
_PENALTIES = (0.03, 3.0)
_OF_KERNEL = 0.1
# So large a constant stands beside the columns that the mean costs nothing.
_OFFSET = 10.0
_NEIGHBOURS = (1, 5)
_CLASSES = "classes"


def reference_of(views, targets, kind):
    """Return how well the best of a few trivial learners tells the targets.

    Ridge regression, one by a Gaussian kernel, and the mean or the majority of
    the nearest neighbours, on standardised columns. Each row is told by a
    learner that has seen all the others.

    Args:
        views: List of float arrays (n, columns): the same rows, each time
            described otherwise.
        targets: Float array (n, k): one column of whole numbers where these
            are classes.
        kind: `"classes"` or `"numbers"`.

    Returns:
        Dict, None where there are too few rows or the targets are all alike:
        `rows`, `kind`, `learner` in words; of classes `score`, the share told
        right, `chance`, the share of the most frequent, `entropy` of their
        frequencies in nats, and how many `classes`; of numbers `score`, the
        explained share of the variance, `absolute`, the share of the mean
        distance from the median. `error` and `absolute_error` are standard
        errors.
    """
    with np.errstate(all="ignore"):
        told = _wanted(np.asarray(targets, np.float64), kind)
        views = [np.asarray(view, np.float64) for view in views]
        finite = np.isfinite(told).all(1)
        for view in views:
            finite &= np.isfinite(view).all(1)
        told = told[finite]
        if finite.sum() < FEWEST or not (told != told[0]).any():
            return None
        best = None
        for view in views:
            rows = _standardised(view[finite])
            if rows is None:
                continue
            for name, guesses in _guesses(rows, told):
                found = _score(guesses, told, kind)
                if best is None or found["score"] > best["score"]:
                    best = {**found, "learner": name}
        if best is None or not math.isfinite(best["score"]):
            return None
        return {"rows": len(told), "kind": kind, **best}


def of_table(targets):
    """Return what a table of few different rows tells: all of their classes.

    Args:
        targets: Float array (n, 1), whole numbers.

    Returns:
        Dict as of `reference_of`, None where there is one class alone.
    """
    known, counts = np.unique(targets[:, 0], return_counts=True)
    if len(known) < 2 or not np.isfinite(known).all():
        return None
    return {
        "rows": len(targets),
        "kind": _CLASSES,
        "score": 1.0,
        "error": 0.0,
        **_of_shares(counts / counts.sum()),
        "learner": TABLE,
    }


def _wanted(targets, kind):
    """Return classes as columns of 0 and 1, numbers of unit scale."""
    if kind == _CLASSES:
        known = np.unique(targets[np.isfinite(targets)])
        wanted = (targets[:, :1] == known).astype(np.float64)
        wanted[~np.isfinite(targets[:, 0])] = np.nan
        return wanted
    scale = np.nanmax(np.abs(targets), initial=0.0)
    return targets / scale if scale > 0 else targets


def _standardised(rows):
    """Return columns of mean 0 and deviation 1, or None if none differs."""
    scale = np.abs(rows).max(0)
    rows = rows[:, scale > 0] / scale[scale > 0]
    rows = rows - rows.mean(0)
    spread = rows.std(0)
    differs = spread > 1e-6
    if not differs.any():
        return None
    return rows[:, differs] / spread[differs]


def _guesses(rows, told):
    """Yield the name of each learner, and what it says of each row (n, k)."""
    for penalty in _PENALTIES:
        yield "ridge regression", _by_ridge(rows, told, penalty)
    square = (rows * rows).sum(1)
    gaps = np.maximum(square[:, None] + square - 2 * rows @ rows.T, 0.0)
    np.fill_diagonal(gaps, np.inf)
    most = max(_NEIGHBOURS)
    near = np.argpartition(gaps, most, axis=1)[:, :most]
    order = np.argsort(np.take_along_axis(gaps, near, 1), axis=1, kind="stable")
    near = np.take_along_axis(near, order, 1)
    for many in _NEIGHBOURS:
        name = "the nearest neighbour" if many == 1 else "five neighbours"
        yield name, told[near[:, :many]].mean(1)
    np.fill_diagonal(gaps, 0.0)
    kernel = np.exp(-gaps / np.median(gaps[gaps > 0]))
    yield "a Gaussian kernel", _by_kernel(kernel, told, _OF_KERNEL)


def _by_ridge(rows, told, penalty):
    """Leave-one-out guesses of ridge regression with an offset.

    Of the hat matrix H, row i is told `(H y - h y) / (1 - h)` by the others,
    h on its diagonal (Allen, 1974).
    """
    many, wide = rows.shape
    if wide >= many:
        return _by_kernel(rows @ rows.T / wide, told, penalty)
    offset = np.full((many, 1), _OFFSET * math.sqrt(wide))
    rows = np.concatenate([rows, offset], 1)
    inner = rows.T @ rows / wide + penalty * np.eye(wide + 1)
    part = np.linalg.solve(inner, rows.T / wide)  # (wide + 1, many)
    leverage = np.einsum("nd,dn->n", rows, part)[:, None]
    return (rows @ (part @ told) - leverage * told) / (1 - leverage)


def _by_kernel(kernel, told, penalty):
    """Leave-one-out guesses of kernel ridge regression with an offset."""
    kernel = kernel + _OFFSET**2 + penalty * np.eye(len(kernel))
    inverse = np.linalg.inv(kernel)
    return told - (inverse @ told) / np.diag(inverse)[:, None]


def _score(guesses, told, kind):
    many = len(told)
    if kind == _CLASSES:
        right = guesses.argmax(1) == told.argmax(1)
        score = float(right.mean())
        return {
            "score": score,
            "error": math.sqrt(max(score * (1 - score), 1 / many) / many),
            **_of_shares(told.mean(0)),
        }
    # A constant is left out, too: the mean of all the others.
    center = (told.sum(0) - told) / (many - 1)
    score, error = _explained(
        np.square(told - guesses).sum(1), np.square(told - center).sum(1)
    )
    absolute, absolute_error = _explained(
        np.abs(told - guesses).sum(1),
        np.abs(told - np.median(told, axis=0)).sum(1),
    )
    return {
        "score": score,
        "error": error,
        "absolute": absolute,
        "absolute_error": absolute_error,
    }


def _of_shares(shares):
    """What is known of classes by how frequent each of them is."""
    return {
        "chance": float(shares.max()),
        "entropy": float(-(shares * np.log(shares)).sum()),
        "classes": len(shares),
    }


def _explained(errors, spread):
    """One minus a ratio of means, and its standard error (delta method)."""
    ratio = errors.mean() / spread.mean()
    off = errors - ratio * spread
    error = off.std() / (spread.mean() * math.sqrt(len(errors)))
    return float(1 - ratio), float(error)
