"""Reads what the embeddings of a model look up."""

import keras
import numpy as np


def beyond(signals, data):
    """Return indices that embeddings have no row for, by their path."""
    found = {}
    for signal, seen in _looked_up(signals, data):
        rows = int(signal.layer.input_dim)
        low, high = int(seen.min()), int(seen.max())
        if low < 0 or high >= rows:
            found[signal.path] = (low if low < 0 else high, rows)
    return found


def same_row(signals, data):
    """Return paths of embeddings that take different numbers for one index."""
    return [
        signal.path
        for signal, seen in _looked_up(signals, data)
        if np.ptp(seen) > 0 and np.ptp(np.trunc(seen)) == 0
    ]


def _looked_up(signals, data):
    """Yield the embeddings, and the finite numbers that each looks up."""
    leaves = [a for a in keras.tree.flatten(data.all_x) if a is not None]
    for signal in signals.values():
        if (
            not isinstance(signal.layer, keras.layers.Embedding)
            or not signal.inputs
        ):
            continue
        seen = np.asarray(signal.inputs[0])
        # All rows, where the indices come straight from an input.
        seen = next((a for a in leaves if _begins_with(a, seen)), seen)
        if seen.size and np.isfinite(seen).all():
            yield signal, seen


def _begins_with(rows, first):
    same = rows.shape[1:] == first.shape[1:]
    return same and np.array_equal(rows[: len(first)], first)
