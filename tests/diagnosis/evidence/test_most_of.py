"""The most a loss may be, against the loss of real outputs and targets."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard.diagnosis.evidence.baseline import most_of

pytestmark = pytest.mark.pure


def trace_of(outputs, targets, loss):
    meta = {
        "outputs": [{"layer": "a", "loss": loss}],
        "loss_weight": 1.0,
    }
    trace = Trace(["a"], ["a/kernel"], [0], meta=meta)
    trace.append_activations(
        0,
        data={
            "output_mean": outputs.mean(),
            "output_std": outputs.std(),
            "output_min": outputs.min(),
            "output_max": outputs.max(),
            "target_mean": targets.mean(),
            "target_std": targets.std(),
        },
    )
    return trace


@pytest.mark.parametrize("seed", range(20))
def test_no_loss_is_beyond_it_and_the_worst_reaches_it(seed):
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(40, 3)) * rng.uniform(0.1, 9) + rng.normal()
    outputs = rng.normal(size=(40, 3)) * rng.uniform(0.1, 9) + rng.normal()
    gap = outputs - targets
    square = most_of(trace_of(outputs, targets, "mse"))
    absolute = most_of(trace_of(outputs, targets, "mae"))
    assert np.mean(gap**2) <= square * (1 + 1e-6)
    assert np.mean(np.abs(gap)) <= absolute * (1 + 1e-6)
    # Outputs that go against the targets throughout.
    against = -2 * targets
    worst = most_of(trace_of(against, targets, "mse"))
    np.testing.assert_allclose(worst, np.mean((against - targets) ** 2), 1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_no_crossentropy_of_probabilities_is_beyond_it(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(60, 4)) * rng.uniform(0.05, 3) + rng.normal()
    outputs = 1 / (1 + np.exp(-logits))
    most = most_of(trace_of(outputs, outputs, "binary_crossentropy"))
    for targets in (outputs < 0.5, rng.uniform(size=outputs.shape)):
        each = targets * np.log(outputs) + (1 - targets) * np.log1p(-outputs)
        assert -each.mean() <= most * (1 + 1e-6)
    # It is no looser than the least likely of all.
    least = np.minimum(outputs, 1 - outputs).min()
    assert most <= -np.log(least) * (1 + 1e-6)


def test_other_losses_are_not_known():
    values = np.ones((4, 1))
    assert np.isnan(most_of(trace_of(values, values, "hinge")))
