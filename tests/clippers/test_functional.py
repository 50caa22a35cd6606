import json
import math
import pathlib

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from keras_gradguard.clippers import functional
from keras_gradguard.clippers.percentile import Percentile

REFERENCE = json.loads(
    (pathlib.Path(__file__).parent / "reference.json").read_text()
)


def array(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e12, 1e20, 1e37])
def test_global_norm_at_every_scale(size):
    gradients = [array([3.0 * size]), None, array([[0.0, 4.0 * size]])]
    norm = float(functional.global_norm(gradients))
    assert norm == pytest.approx(5.0 * size, rel=1e-6)


def test_global_norm_of_nothing_and_of_zeros():
    assert float(functional.global_norm([])) == 0.0
    assert float(functional.global_norm([None])) == 0.0
    assert float(functional.global_norm([array([0.0, 0.0])])) == 0.0
    assert float(functional.global_norm([array(np.zeros((0, 3)))])) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_global_norm_keeps_nonfinite(bad):
    norm = functional.global_norm([array([1.0, bad]), array([2.0])])
    assert not math.isfinite(float(norm))


def test_global_norm_of_float16_does_not_overflow():
    gradient = ops.cast(array(np.full(100, 6e4)), "float16")
    assert float(functional.global_norm([gradient])) == pytest.approx(
        6e5, rel=1e-3
    )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has them"
)
def test_global_norm_sums_repeated_rows():
    import tensorflow as tf

    rows = tf.IndexedSlices(
        tf.constant([[1.0], [1.0], [3.0]]), tf.constant([4, 4, 0]), (5, 1)
    )
    norm = functional.global_norm([rows])
    assert float(norm) == pytest.approx(math.sqrt(4 + 9))
    many = tf.IndexedSlices(tf.ones((4, 1)), tf.constant([2, 2, 2, 2]), (5, 1))
    assert float(functional.global_norm([many])) == pytest.approx(4.0)


def thresholds(norms, percentage, window):
    clipper = Percentile(float(percentage), window)
    state = {k: ops.zeros(v) for k, v in clipper.state_shapes([]).items()}
    found = []
    for norm in norms:
        threshold, state = clipper.threshold(array(norm), state)
        found.append(float(threshold))
    return found


@pytest.mark.parametrize("sequence", ["tiny10", "lognormal300"])
@pytest.mark.parametrize("percentage", ["0", "10", "50", "90", "100"])
def test_percentile_matches_unbounded_reference(sequence, percentage):
    norms = REFERENCE["sequences"][sequence][:40]
    expected = REFERENCE["percentile"][sequence][percentage]
    for threshold, found in zip(
        expected, thresholds(norms, percentage, window=64), strict=False
    ):
        assert found == pytest.approx(threshold, rel=1e-5)


@pytest.mark.parametrize("sequence", ["decay_spikes400"])
@pytest.mark.parametrize("percentage", ["10", "90"])
def test_percentile_matches_windowed_reference(sequence, percentage):
    norms = REFERENCE["sequences"][sequence][:60]
    expected = REFERENCE["percentile_window50"][sequence][percentage]
    for threshold, found in zip(
        expected, thresholds(norms, percentage, window=50), strict=False
    ):
        assert found == pytest.approx(threshold, rel=1e-5)


def test_percentile_of_an_empty_history_clips_nothing():
    for percentage in (0.0, 10.0, 90.0, 100.0):
        found = functional.percentile(ops.zeros((5,)), percentage)
        assert float(found) == pytest.approx(functional.NO_THRESHOLD)


def test_the_ranking_stays_the_sorted_history():
    random = np.random.default_rng(0)
    ranking, history = np.zeros(7, "float32"), np.zeros(7, "float32")
    # Few values, so that many are equal.
    for norm in random.integers(0, 4, 60).astype("float32"):
        ranking = functional.replace_sorted(
            array(ranking), array(history[-1]), array(norm)
        )
        history = ops.convert_to_numpy(
            functional.push(array(history), array(norm))
        )
        expected = np.sort(history)[::-1]
        np.testing.assert_array_equal(ops.convert_to_numpy(ranking), expected)


@settings(max_examples=20, deadline=None, database=None)
@given(
    norms=st.lists(
        st.floats(2.0**-33, 2.0**33, width=32), min_size=1, max_size=40
    ),
    percentage=st.sampled_from([0.0, 10.0, 37.5, 50.0, 80.0, 100.0]),
    window=st.sampled_from([1, 2, 7, 30]),
)
def test_percentile_equals_numpy(norms, percentage, window):
    kept = norms[-window:]
    history = np.zeros(window, "float32")
    history[: len(kept)] = sorted(kept, reverse=True)
    found = float(functional.percentile(array(history), percentage))
    expected = np.percentile(np.asarray(kept, "float64"), percentage)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("sequence", "scale"),
    [("lognormal300", 1.0), ("lognormal300", 1e18), ("decay_spikes400", 1e-18)],
)
def test_zscore_matches_zclip_at_every_scale(sequence, scale):
    expected = REFERENCE["zclip"][sequence]
    statistics = ops.zeros((3,))
    for step, norm in enumerate(REFERENCE["sequences"][sequence]):
        threshold, statistics = functional.zscore_update(
            array(norm * scale), statistics, 2.5, 0.97, 25
        )
        clip_value = expected["clip_val"][step]
        if clip_value is None:
            assert norm * scale <= float(threshold) * (1 + 1e-6)
        else:
            assert float(threshold) == pytest.approx(
                clip_value * scale, rel=1e-4
            )
        if expected["mean_after"][step] is not None:
            _, mean, spread = np.asarray(ops.convert_to_numpy(statistics))
            assert mean == pytest.approx(
                expected["mean_after"][step] * scale, rel=1e-4
            )
            assert mean * np.sqrt(spread) == pytest.approx(
                expected["std_after"][step] * scale, rel=1e-3
            )


@pytest.mark.parametrize(
    "name", ["dense_IO", "bias", "conv2d_HWIO", "zero_weight_dense"]
)
def test_adaptive_clip_matches_reference(name):
    agc = REFERENCE["agc"]
    weight = array(agc["weights"][name])
    rank = len(weight.shape)
    axes = tuple(range(rank - 1)) if rank > 1 else (0,)
    clipped, _ = functional.adaptive_clip(
        array(agc["gradients"][name]),
        weight,
        axes,
        agc["ratio"],
        agc["smallest_norm"],
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(clipped),
        np.asarray(agc["clipped"][name]),
        rtol=1e-4,
        atol=1e-9,
    )


@settings(max_examples=20, deadline=None, database=None)
@given(
    # Their quotient stays representable.
    norm=st.floats(2.0**-60, 2.0**60, width=32),
    threshold=st.floats(2.0**-60, 2.0**60, width=32),
)
def test_clip_coefficient_bounds_the_norm(norm, threshold):
    coefficient = functional.clip_coefficient(array(norm), array(threshold))
    after = float(coefficient * array(norm))
    assert 0 < float(coefficient) <= 1
    assert after <= threshold * (1 + 1e-6)
    again = functional.clip_coefficient(array(after), array(threshold))
    assert float(again) == pytest.approx(1.0, rel=1e-6)


def test_clip_coefficient_of_zero_and_nan_is_one():
    for norm in (0.0, math.nan):
        found = functional.clip_coefficient(array(norm), array(1.0))
        assert float(found) == 1.0


def test_scale_keeps_small_float16_products():
    gradient = ops.cast(array([6e4]), "float16")
    scaled = functional.scale(gradient, array(1e-9))
    assert keras.backend.standardize_dtype(scaled.dtype) == "float16"
    assert float(ops.cast(scaled, "float32")[0]) == pytest.approx(6e-5, rel=0.1)


def test_a_spike_in_the_warm_up_of_zscore_does_not_hide_the_next():
    for first in (1.0, 1000.0):
        norms = [first, 1.0, 1.2, 1000.0, 0.9, *[1.0, 1.1] * 12, 1000.0]
        for ratio, is_caught in ((4.0, True), (None, False)):
            statistics = ops.zeros((3,))
            for norm in norms:
                threshold, statistics = functional.zscore_update(
                    array(norm), statistics, 2.5, 0.97, 25, ratio
                )
            assert (float(threshold) < 5.0) == is_caught
