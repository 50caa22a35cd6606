"""Histograms over the powers of two, on the host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_gradguard.trace.histogram import COLUMNS
from keras_gradguard.trace.histogram import OCTAVES
from keras_gradguard.trace.histogram import GradientHistogram
from tests import reference

pytestmark = pytest.mark.pure

NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def row(array):
    """What a step hands over of a variable."""
    twin = reference.octaves(array, OCTAVES)
    head = [twin["exponent"], twin["nonfinite"]]
    return np.concatenate([head, twin["positive"], twin["negative"]])


def histogram(*arrays):
    rows = [np.full(COLUMNS, np.nan) if a is None else row(a) for a in arrays]
    sizes = [0 if a is None else np.size(a) for a in arrays]
    return GradientHistogram.unpack(7, rows, sizes)


def finite_entries(array):
    values = np.asarray(array, "float32").astype("float64")
    return values[np.isfinite(values)]


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, max_size=40))
def test_buckets_hold_the_entries_between_their_edges(values):
    found = histogram(values)
    finite = finite_entries(values)
    rows = found.buckets(0)
    assert rows[:, 2].sum() == len(finite)
    assert (rows[:, 0] < rows[:, 1]).all()
    np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])
    for left, right, count in rows:
        if left < 0 < right:
            continue
        inside = (
            (finite >= left) & (finite < right)
            if left > 0
            else (finite > left) & (finite <= right)
        )
        # The smallest octave has all that is smaller, too.
        assert count >= inside.sum()
    logs = found.log10_buckets(0)
    used = np.abs(finite[np.abs(finite) >= 2.0**-126])
    assert logs[:, 2].sum() == len(used)
    if len(used):
        assert logs[-1, 0] <= np.log10(used.max()) + 1e-9
        assert np.log10(used.max()) <= logs[-1, 1] + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, max_size=30), st.lists(NUMBERS, max_size=30))
def test_a_layer_is_its_variables_as_one(first, second):
    joined = histogram(first, second).by_layer([0, 0], 1)
    expected = histogram([*first, *second])
    for name in ("exponent", "positive", "negative", "zero", "nonfinite"):
        np.testing.assert_array_equal(
            getattr(joined, name), getattr(expected, name), err_msg=name
        )


def test_layers_are_kept_apart_in_any_order():
    found = histogram([1.0, 0.25], [3.0], [-0.25, 0.0])
    layers = found.by_layer([1, 0, 1], 3)
    np.testing.assert_array_equal(layers.exponent, [1, 0, 0])
    assert layers.positive[1, :3].tolist() == [1, 0, 1]
    assert layers.negative[1, :3].tolist() == [0, 0, 1]
    assert layers.zero.tolist() == [0, 1, 0]
    assert layers.known.tolist() == [True, True, False]


def test_without_a_gradient_there_are_no_buckets():
    found = histogram(None, [np.nan, np.inf], [0.0, 0.0, 1e-40])
    assert found.known.tolist() == [False, True, True]
    assert found.nonfinite.tolist() == [0, 2, 0]
    for index in (0, 1):
        assert found.buckets(index).shape == (0, 3)
    for index in range(3):
        assert found.log10_buckets(index).shape == (0, 3)
    np.testing.assert_array_equal(
        found.buckets(2), [[-(2.0**-126), 2.0**-126, 3]]
    )


def test_rows_that_never_came_are_zeros():
    # A sparse gradient: 3 of 10 entries were there.
    rows = [row([1.0, -2.0, 0.0])]
    found = GradientHistogram.unpack(0, rows, [10])
    assert found.zero.tolist() == [8]
    assert found.buckets(0).tolist() == [
        [-4, -2, 1],
        [-2, -1, 0],
        [-1, 1, 8],
        [1, 2, 1],
    ]


def test_log10_buckets_are_octaves():
    found = histogram([1e-3, -1e-3, 5e-4, 0.0])
    rows = found.log10_buckets(0)
    np.testing.assert_allclose(rows[:, 1] - rows[:, 0], np.log10(2))
    assert rows[:, 2].tolist() == [1, 2]
    assert rows[-1, 0] < -3 < rows[-1, 1]
