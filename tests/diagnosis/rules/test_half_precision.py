"""Weights in float16 under an optimizer whose epsilon is nothing there."""

import numpy as np
import pytest

from keras_gradguard import diagnose
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure


def gone_at(step, dtype="float16", epsilon=1e-7, name="Adam"):
    """A run of which no gradient is finite from a step on."""
    norms = steady([1, 1, 1])
    loss = np.linspace(2.0, 1.0, 200)
    norms[step:], loss[step:] = np.nan, np.nan
    info = {f"dense_{i}": {"class": "Dense", "dtype": dtype} for i in range(3)}
    optimizer = {"name": name, "learning_rate": 1e-3, "epsilon": epsilon}
    trace = make_trace(
        norms, loss, meta={"optimizer": optimizer, "layer_info": info}
    )
    for at in (0, 1, 2, 4, 16, 64, 129, 193):
        trace.append_activations(at, data={"samples": 32})
    return trace


def test_float16_under_adam_is_the_cause_of_nan():
    found = diagnose(gone_at(50)).ranked
    assert found[0].rule == "update_ratio"
    assert found[0].evidence["kind"] == "float16"
    assert "an epsilon of 1e-07 is next to nothing" in found[0].message
    nan = [f for f in found if f.rule == "nonfinite_gradient"]
    assert [f.cause for f in nan] == ["update_ratio"]
    assert "mixed_float16" in found[0].remedies[0].code


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": "float32"},
        {"epsilon": 1e-3},
        {"name": "SGD"},
        {"step": 200},  # nothing is wrong with this run
    ],
)
def test_other_runs_are_not_blamed_on_float16(how):
    trace = gone_at(**{"step": 50, **how})
    kinds = [f.evidence.get("kind") for f in diagnose(trace).findings]
    assert "float16" not in kinds
