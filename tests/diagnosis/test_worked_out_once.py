"""What rules and their notes share is worked out once for each look."""

import numpy as np
import pytest

from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.rules import noted
from keras_gradguard.diagnosis.rules import resolve_rules
from keras_gradguard.trace import Trace
from keras_gradguard.trace import trace as trace_lib

pytestmark = pytest.mark.pure


def made():
    steps = np.arange(40)
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    trace.meta["outputs"] = [{"path": "b", "activation": "softmax"}]
    loss = 3 * np.exp(-steps / 50)
    trace.append(steps, np.ones((40, 2)), extra={"loss": loss})
    return trace


@pytest.mark.parametrize(
    "judge",
    [diagnose, lambda trace: noted(resolve_rules("default"), trace)],
)
def test_what_is_known_of_a_run_is_read_once(judge, monkeypatch):
    read, calls = trace_lib._read_run, []

    def counted(trace):
        calls.append(trace)
        return read(trace)

    monkeypatch.setattr(trace_lib, "_read_run", counted)
    judge(made())
    assert len(calls) == 1


def test_and_anew_for_the_next_look():
    trace = made()
    diagnose(trace)
    trace.meta["loss_name"] = "mse"
    assert trace.run.loss_name == "mse"
