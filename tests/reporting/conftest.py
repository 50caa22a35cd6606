"""Made-up runs, shared with the tests of the rules."""

import numpy as np
import pytest

from keras_gradguard import diagnose
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

SICK = [0.02, 0.008, 0.003, 0.001, 0.001, 0.009, 0.07]


def with_weights(trace):
    """Ten epochs with weights that grow by a tenth each."""
    count = len(trace.variables)
    total = int(trace.steps[-1]) + 1
    for epoch in range(10):
        step = (epoch + 1) * total // 10 - 1
        grown = 1.1 ** (epoch + 1)
        trace.append_updates(
            [step],
            np.full((1, count), grown),
            np.full((1, count), 1e-3 * grown),
            zero_fraction=np.full((1, count), 0.25),
            distance=np.full((1, count), grown - 1),
        )
        trace.append_epoch(epoch, step, {"loss": 0.7, "accuracy": 0.5})
    return trace


@pytest.fixture
def sick():
    """(trace, findings) of a run whose gradients vanish."""
    trace = with_weights(make_trace(steady(SICK), np.full(200, 0.693)))
    return trace, diagnose(trace).findings


@pytest.fixture
def healthy():
    """(trace, findings) of a run without problems."""
    loss = np.linspace(0.7, 0.1, 200)
    trace = with_weights(make_trace(steady(np.ones(4)), loss))
    return trace, diagnose(trace).findings


@pytest.fixture
def broken():
    """(trace, findings) of a run that becomes NaN."""
    grads = steady(np.ones(4))
    grads[120:] = np.nan
    loss = np.linspace(0.7, 0.1, 200)
    loss[120:] = np.nan
    trace = make_trace(grads, loss)
    return trace, diagnose(trace).findings
