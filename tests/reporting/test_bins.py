"""Parts of a run that are equally long in steps."""

import itertools

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard._text import unlike_neighbours
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.tables import binned
from keras_gradguard.reporting.tables import layer_rows
from tests.diagnosis.synthetic import make_trace

pytestmark = pytest.mark.pure


def long_run(steps=10_000):
    """A norm of 1 for 100 steps, then 1e-3; 1e3 at one step of the tail."""
    trace = Trace(["a"], ["a/k"], [0], capacity_bytes=1)
    norms = np.full((steps, 1), 1e-3)
    norms[:100] = 1.0
    norms[steps - 50] = 1e3
    for at in range(0, steps, 200):
        trace.append(np.arange(at, at + 200), norms[at : at + 200])
    assert trace.thinned
    return trace


def test_each_record_is_in_the_part_of_its_step():
    rng = np.random.default_rng(0)
    for count, most in ((1, 5), (7, 3), (300, 40), (300, 1000)):
        steps = np.sort(rng.choice(5 * count, count, replace=False)) + 3
        values = rng.normal(size=(count, 2))
        parts = StepBins.of(steps, most)
        assert parts.edges[0] == steps[0]
        assert parts.edges[-1] == steps[-1] + 1
        assert len(parts) == min(most, steps[-1] + 1 - steps[0])
        sums, medians = parts.sum(values), parts.median(values)
        least, most_of = parts.min(values), parts.max(values)
        positive = parts.any(values > 0)
        for at, (low, high) in enumerate(
            zip(parts.edges[:-1], parts.edges[1:], strict=True)
        ):
            inside = (steps >= low) & (steps < high)
            if not inside.any():
                inside = np.arange(count) == np.flatnonzero(steps < low)[-1]
            own = values[inside]
            np.testing.assert_allclose(sums[at], own.sum(axis=0))
            np.testing.assert_array_equal(least[at], own.min(axis=0))
            np.testing.assert_array_equal(most_of[at], own.max(axis=0))
            np.testing.assert_allclose(medians[at], np.median(own, axis=0))
            assert positive[at].tolist() == (own > 0).any(axis=0).tolist()


def test_what_is_not_known_does_not_count_beside_a_number():
    parts = StepBins.of(np.arange(6), 3)
    values = np.array([np.nan, 2.0, 3.0, np.nan, np.nan, np.nan])
    for reduced in (parts.min(values), parts.max(values), parts.median(values)):
        np.testing.assert_array_equal(reduced, [2.0, 3.0, np.nan])


def test_steps_that_repeat_stay_together():
    parts = StepBins.of(np.array([0, 0, 1, 1, 1, 2]), 10)
    assert parts.sum(np.ones(6)).tolist() == [2, 3, 1]


def test_a_counter_that_is_set_back_hides_no_record():
    # Counted anew from 0, as by a callback that resets the optimizer.
    parts = StepBins.of(np.array([0, 1, 2, 3, 0, 1, 2]), 10)
    assert parts.edges.tolist() == [0, 1, 2, 3, 4]
    assert parts.sum(np.ones(7)).tolist() == [1, 1, 1, 4]
    turned_round = StepBins.of(np.arange(50)[::-1], 10)
    assert turned_round.sum(np.ones(50)).tolist() == [50]


def test_what_is_not_known_does_not_hide_what_is():
    values = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan]])
    parts = StepBins.of(np.array([0, 1, 10]), 2)
    np.testing.assert_array_equal(parts.max(values)[0], [2.0, 1.0])
    np.testing.assert_array_equal(parts.median(values)[1], [np.nan, np.nan])


def test_the_first_steps_of_a_long_run_are_shown_as_they_were():
    trace = long_run()
    assert trace.steps[:100].tolist() == list(range(100))
    (row,) = layer_rows(trace, [])
    assert (row["grad_first"], row["grad_last"]) == ("1", "0.001")


def test_a_map_of_a_long_run_is_true_to_its_steps():
    trace = long_run()
    parts, cells, gone = binned(trace, bins=100)
    assert np.ptp(np.diff(parts.edges)) <= 1
    # The first hundredth was 1; the rest is a thousandth of it.
    np.testing.assert_allclose(cells[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(cells[1:-1], -3.0, atol=1e-6)
    assert not gone.any()
    # One step of a hundred was a million times larger.
    assert parts.max(trace.get("grad_norm"))[-1] == pytest.approx(1e3)


def test_exactly_zero_is_told_apart_from_what_is_small():
    norms = np.full((100, 3), 1e-20)
    norms[:, 1] = 0.0
    norms[::2, 2] = 0.0
    _, cells, gone = binned(make_trace(norms), bins=10)
    np.testing.assert_allclose(cells[:, [0, 2]], -20.0, atol=1e-5)
    assert np.isneginf(cells[:, 1]).all()
    assert not gone.any()


def test_names_of_rows_can_be_told_apart():
    paths = [
        f"net/backbone/stage_{s}/residual_block_0{b}/separable_convolution_1"
        for s in (1, 2)
        for b in (1, 2)
    ]
    short = unlike_neighbours(paths)
    assert all(one != two for one, two in itertools.pairwise(short))
    assert all(len(name) <= 26 for name in short)
    assert unlike_neighbours(["net/a", "net/b/c"]) == ["a", "b/c"]
    assert unlike_neighbours(["net/a"]) == ["net/a"]
    assert unlike_neighbours([]) == []
