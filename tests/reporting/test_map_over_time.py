"""The map layers by time steps shows the numbers of the trace."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.html import to_html
from keras_gradguard.reporting.map_over_time import last_profiles
from keras_gradguard.trace.through_time import times_of

pytestmark = pytest.mark.pure


def made(lengths=(200, 5)):
    names = [f"net/rnn_{at}" for at in range(len(lengths))]
    trace = Trace(names, names, range(len(names)))
    trace.append(np.arange(3), np.ones((3, len(names))))
    norms = np.full((len(names), 64), np.nan)
    for row, length in zip(norms, lengths, strict=True):
        times = times_of(length)
        row[: len(times)] = 0.8 ** (length - 1 - times)
    for step in (0, 2):
        trace.append_time_gradients(step, names, lengths, norms * (step + 1))
    return trace, norms


def test_its_cells_are_the_latest_norms():
    trace, norms = made()
    shown = last_profiles(trace)
    assert shown.step == 2
    assert shown.layers == ["net/rnn_0", "net/rnn_1"]
    assert shown.lengths == [200, 5]
    expected = np.log10(3 * norms[0].astype("float32").astype(float))
    np.testing.assert_allclose(shown.cells[0], expected, rtol=1e-6)
    # Five time steps over all columns, each at its place.
    at = np.rint(np.linspace(0, 4, 64)).astype(int)
    expected = np.log10(3 * norms[1, :5])[at]
    np.testing.assert_allclose(shown.cells[1], expected, rtol=1e-5)
    low, high = shown.log_range
    assert high == pytest.approx(np.log10(3))
    assert low == pytest.approx(high - 12)


def test_zero_infinite_and_masked_are_told_apart():
    trace, norms = made((3,))
    norms[0, :3] = [0.0, np.inf, np.nan]
    trace.append_time_gradients(3, ["net/rnn_0"], [3], norms)
    shown = last_profiles(trace)
    assert shown.cells[0, 0] == -np.inf
    assert shown.gone[0].sum() > 10
    assert np.isnan(shown.cells[0, -1])
    assert not shown.gone[0, [0, -1]].any()
    assert "time step 1." in shown.lines[0]


def test_the_report_has_it_where_it_was_measured():
    trace, _ = made()
    page = to_html(diagnose(trace))
    assert "Gradients through time, layers by time steps" in page
    assert "rnn_0 (200 steps)" in page
    assert "net/rnn_1: 1.2 at time step 0, 3 at time step 4." in page
    bare = Trace(["a"], ["a"], [0])
    bare.append(np.arange(3), np.ones((3, 1)))
    assert "through time" not in to_html(diagnose(bare))
    assert last_profiles(bare) is None
