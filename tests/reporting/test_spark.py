"""A bar for each value, and what they stand for."""

import numpy as np
import pytest

from keras_gradguard.reporting.spark import bands
from keras_gradguard.reporting.spark import is_logarithmic
from keras_gradguard.reporting.spark import sparkline

pytestmark = pytest.mark.pure


def test_the_larger_the_higher():
    bars = sparkline([1, 2, 3, 4])
    assert list(bars) == sorted(bars)
    assert (bars[0], bars[-1]) == ("▁", "█")


def test_decades_are_equally_far_apart():
    bars = sparkline(10.0 ** np.arange(-7, 1))
    assert bars == "▁▂▃▄▅▆▇█"


def test_what_hardly_moves_looks_flat():
    assert len(set(sparkline(np.linspace(0.697, 0.692, 20)))) == 1
    assert len(set(sparkline(np.linspace(0.697, 0.1, 20)))) > 6


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_zero_unknown_and_infinite_are_no_bars(encoding):
    bars = sparkline([0.0, 1e-6, 1.0, np.nan, np.inf], encoding)
    assert (bars[0], bars[3], bars[4]) == ("0", " ", "!")
    assert bars[1] != bars[2]


def test_nothing_to_show():
    assert sparkline([]) == ""
    assert sparkline([np.nan]) == " "
    assert sparkline([np.inf]) == "!"
    assert sparkline([0.0, 0.0]) == "00"
    assert len(sparkline([-1.0, 5.0])) == 2


def test_bands_are_medians_of_neighbours():
    values = np.random.default_rng(0).normal(size=100)
    values[:25] = np.nan
    shown = bands(values, 8)
    parts = np.array_split(values, 8)
    assert np.isnan(shown[:1]).all()
    np.testing.assert_array_equal(shown[3:], [np.median(p) for p in parts[3:]])
    np.testing.assert_array_equal(bands(values, 100), values)


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([0.0, 1.0, 2.0], True),  # how far from zero only a logarithm shows
        ([1.0, 2.0], False),
        ([1e-6, 1.0], True),
        ([-1.0, 0.0, 1e6], False),
        ([0.0, 0.0], False),
    ],
)
def test_what_only_a_logarithm_shows(values, logarithmic):
    assert is_logarithmic(np.array(values)) is logarithmic
