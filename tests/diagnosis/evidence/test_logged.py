"""Losses that a loop of one's own logs, by whatever name."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose

pytestmark = pytest.mark.pure

EPOCHS, STEPS = 15, 10
DOWN = 2 * np.exp(-np.arange(EPOCHS) / 4)
LEVEL = 0.6 + 0.05 * np.sin(np.arange(EPOCHS))


def report(**logs):
    """Judge a run of even gradients that logs these."""
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    total = EPOCHS * STEPS
    trace.append(np.arange(total), np.ones((total, 2)))
    for epoch in range(EPOCHS):
        row = {name: float(series[epoch]) for name, series in logs.items()}
        trace.append_epoch(epoch, (epoch + 1) * STEPS - 1, row)
    return diagnose(trace)


def test_a_loss_of_another_name_tells_of_learning():
    assert report(recon_loss=DOWN).healthy is True
    assert report(total_loss=DOWN, kl_loss=DOWN[::-1]).healthy is True
    assert report(recon_loss=DOWN, kl_loss=0.1 * LEVEL).healthy is True
    assert report(recon_loss=LEVEL).healthy is None
    assert report(accuracy=LEVEL).healthy is None


def test_two_sides_in_balance_are_healthy():
    assert report(d_loss=LEVEL, g_loss=LEVEL[::-1]).healthy is True
    # One of them has next to nothing left to do.
    assert report(d_loss=1e-3 * LEVEL, g_loss=LEVEL).healthy is None
    gone = np.where(np.arange(EPOCHS) < 10, LEVEL, np.nan)
    assert report(d_loss=gone, g_loss=LEVEL).healthy is not True
