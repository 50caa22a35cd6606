"""How much better than a constant a trained model predicts."""

import numpy as np

# A plain network gains nine tenths and more on each of the data sets.
LEARNT = 0.45


def gain(model, x, y):
    """Return how much better than a constant a model predicts.

    Args:
        model: The model.
        x: Inputs, or what gives batches of inputs and targets.
        y: Targets, or None. Of several outputs the one that is worst counts.
    """
    if isinstance(y, dict):
        given = model.predict(x, verbose=0)
        return min(_of_one(given[name], y[name]) for name in y)
    if y is None:
        places = range(len(x)) if hasattr(x, "__getitem__") else None
        batches = list(x) if places is None else [x[at] for at in places]
        x, y = (
            np.concatenate([np.asarray(batch[part]) for batch in batches])
            for part in (0, 1)
        )
    given = model.predict(x, verbose=0)
    return _of_one(given[0] if isinstance(given, list) else given, y)


def _of_one(given, y):
    given, y = np.asarray(given), np.asarray(y)
    if not np.isfinite(given).all():
        return float("nan")
    # A class of each row, or of each place in it.
    numbers = y.size * given.shape[-1] == given.size and not (y % 1).any()
    if numbers and given.shape[-1] > 1:
        y = y.astype("int64")
        right = (given.argmax(-1).ravel() == y.ravel()).mean()
        most = np.bincount(y.ravel()).max() / y.size
        return float((right - most) / (1 - most))
    if y.size != given.size:
        # Means and spreads, say, of which only the loss knows.
        return float("nan")
    if y.shape != given.shape:
        y = y.reshape(given.shape)
    if set(np.unique(y)) <= {0, 1}:
        return _area(given.ravel(), y.ravel() > 0.5)
    y, given = y.astype("float64"), given.astype("float64")
    rest = np.square(y - given).mean() / np.square(y - y.mean(0)).mean()
    return float(max(-1.0, 1 - rest))


def _area(given, yes):
    place = np.unique(given, return_inverse=True)[1]
    counts = np.bincount(place)
    rank = np.cumsum(counts) - (counts - 1) / 2
    few = yes.sum()
    mean = rank[place][yes].mean() - (few + 1) / 2
    return float(2 * mean / max(1, len(yes) - few) - 1)
