"""The clipping rule: fires, the nearest case that must not, NaN, too short."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.tables import clipping

pytestmark = pytest.mark.pure


def make(norms, thresholds, skipped=None, loss=None):
    norms = np.asarray(norms, "float32")
    thresholds = np.broadcast_to(np.float32(thresholds), norms.shape)
    trace = Trace(["a"], ["a/kernel"], [0], has_gradient=np.ones(1, bool))
    for first in range(0, len(norms), 64):
        part = slice(first, first + 64)
        extra = {} if loss is None else {"loss": loss[part]}
        trace.append(
            np.arange(len(norms))[part],
            norms[part, None],
            np.fmin(norms, thresholds)[part],
            None if skipped is None else skipped[part],
            {"clip_threshold": thresholds[part], **extra},
        )
    return trace


def found(trace):
    return diagnose(trace, ["clipping"]).findings


def lognormal(count, seed=0):
    return np.random.default_rng(seed).lognormal(size=count, sigma=0.5)


def test_a_threshold_far_below_the_norms_is_found():
    (finding,) = found(make(lognormal(600), 0.01))
    assert (finding.first_step, finding.last_step) == (0, 499)
    assert finding.evidence["clipped_fraction"] == 1.0
    assert "From step 0 on, 500 of 500 updates were clipped." in finding.message
    assert "AutoClip" in finding.remedies[0].code


def test_it_begins_where_it_begins():
    norms = np.concatenate([np.full(300, 0.005), lognormal(600)])
    (finding,) = found(make(norms, 0.01))
    assert 295 <= finding.first_step <= 305


@pytest.mark.parametrize("threshold", [0.3, 1.0, 5.0])
def test_a_threshold_near_the_norms_is_none(threshold):
    assert not found(make(lognormal(3000), threshold))


def test_a_tenth_percentile_is_none():
    norms = lognormal(3000)
    thresholds = [
        np.percentile(norms[max(0, i - 255) : i + 1], 10) for i in range(3000)
    ]
    assert not found(make(norms, thresholds))


def two_kinds(rare, learns, count=600):
    """Most batches have norms near 1, some of 30; a tenth percentile clips."""
    rng = np.random.default_rng(0)
    norms = lognormal(count) * np.where(rng.random(count) < rare, 30, 1)
    thresholds = [
        np.percentile(norms[max(0, i - 255) : i + 1], 10) for i in range(count)
    ]
    loss = np.linspace(1.0, 0.1 if learns else 1.3, count)
    trace = make(norms, thresholds, loss=loss)
    for step in range(0, count, 40):
        trace.append_activations(
            step,
            data={
                "samples": 64.0, "target_mean": 0.0, "target_std": 1.0,
                "output_spread": 0.5,
                "output_correlation": 0.9 if learns else 0.1,
            },
        )  # fmt: skip
    return trace


def test_a_kind_of_batch_that_loses_its_gradient_is_found():
    (finding,) = found(two_kinds(0.4, learns=False))
    assert finding.evidence["kind"] == "uneven"
    assert finding.evidence["hard_fraction"] > 0.3
    assert "What one kind of batch says" in finding.message
    assert "kgg.AutoClip(" in finding.remedies[0].code


def test_outliers_and_runs_that_learn_are_none():
    assert not found(two_kinds(0.02, learns=False))
    assert not found(two_kinds(0.4, learns=True))
    assert not found(two_kinds(0.4, learns=False, count=150))


def test_a_constant_that_nothing_reaches_is_found():
    (finding,) = found(make(lognormal(2500), 1000.0))
    assert "None of the first 2,000 updates was clipped" in finding.message


def test_a_threshold_that_waits_for_a_spike_is_none():
    norms = lognormal(3000)
    assert not found(make(norms, 20 + np.linspace(0, 1, 3000)))
    assert not found(make(norms, 1e3 + np.linspace(0, 1, 3000)))


def test_short_and_broken_traces_are_silent():
    assert not found(make(lognormal(499), 0.01))
    assert not found(make(lognormal(1999), 1000.0))
    assert not found(make(np.full(3000, np.nan), 1.0))
    assert not found(make(lognormal(3000), np.inf))
    assert not found(make([], 1.0))
    skipped = np.ones(3000, bool)
    assert not found(make(lognormal(3000), 0.01, skipped))


def test_the_summary_tells_share_threshold_and_skips():
    skipped = np.arange(100) < 2
    trace = make(np.r_[np.full(50, 1.0), np.full(50, 3.0)], 2.0, skipped)
    assert clipping(trace) == (
        "Clipped 51 % of the updates; the threshold was 2 at the end. "
        "2 nonfinite updates were skipped."
    )
    assert clipping(Trace(["a"], ["a/kernel"], [0])) is None
