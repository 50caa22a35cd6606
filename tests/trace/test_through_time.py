"""Gradients through time in a trace: kept, bounded, saved and loaded."""

import json

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard.trace.through_time import TIMES
from keras_gradguard.trace.through_time import times_of

pytestmark = pytest.mark.pure


def made(count=3, length=200):
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    for step in range(count):
        norms = np.full((2, TIMES), np.nan, "float32")
        norms[0] = np.arange(TIMES) + step
        norms[1, :5] = 1 + step
        trace.append_time_gradients(step, ["a", "b/x"], [length, 5], norms)
    return trace


def test_which_time_steps_are_kept():
    assert times_of(0).tolist() == []
    assert times_of(64).tolist() == list(range(64))
    for length in (65, 200, 10_001):
        kept = times_of(length)
        assert len(kept) == 64
        assert (kept[0], kept[-1]) == (0, length - 1)
        even = np.arange(64) * (length - 1) / 63
        assert np.abs(kept - even).max() <= 0.5


def test_it_is_read_as_it_was_written():
    steps, times, norms = made().time_gradients("b/x")
    assert steps.tolist() == [0, 1, 2]
    assert times.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert norms.tolist() == [[1.0] * 5, [2.0] * 5, [3.0] * 5]
    _, times, norms = made().time_gradients("a")
    assert times[0, -1] == 199
    assert norms[2, -1] == 65


def test_batches_of_different_lengths():
    trace = made(1, 3)
    row = np.full((2, TIMES), np.nan)
    row[0, :2] = 7
    trace.append_time_gradients(9, ["a", "b/x"], [2, 0], row)
    _, times, norms = trace.time_gradients("a")
    assert times.tolist() == [[0, 1, 2], [0, 1, -1]]
    assert np.isnan(norms[1, 2])


def test_it_is_saved_and_stays_bounded(tmp_path):
    trace = made(2000)
    assert len(trace.time_gradients("a")[0]) <= 512
    trace.save(tmp_path / "trace.npz")
    loaded = Trace.load(tmp_path / "trace.npz")
    for ours, theirs in zip(
        trace.time_gradients("a"), loaded.time_gradients("a"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    json.dumps(loaded.to_dict()["time_gradients"])


def test_a_file_without_is_as_before(tmp_path):
    made(0).save(tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as saved:
        assert not [name for name in saved.files if "times" in name]
    loaded = Trace.load(tmp_path / "trace.npz")
    assert loaded.recurrent_layers.tolist() == []
    assert "time_gradients" not in loaded.to_dict()


def test_a_layer_that_is_left_out_is_not_shown():
    view = made().without(lambda name: name == "a")
    assert view.recurrent_layers.tolist() == ["b/x"]
    with pytest.raises(ValueError, match="layer"):
        view.time_gradients("a")


def test_other_layers_are_refused():
    with pytest.raises(ValueError, match="the same in each call"):
        made().append_time_gradients(9, ["c"], [1], np.ones((1, TIMES)))
