"""When a run that was found sick cannot come to anything any more."""

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard.diagnosis.hopeless import why_hopeless

pytestmark = pytest.mark.pure

LAYERS = ["net/a", "net/b"]


def finding(rule="vanishing_gradient", severity="critical", status="confirmed"):
    return Finding(
        *(rule, severity, LAYERS[:1], 0, 9, 0, {}, "It is."), status=status
    )


def run(first=1e-6, last=1.0, length=150, loss=0.7, skipped=False):
    """A trace of two layers: numbers, or one for each record."""
    trace = Trace(LAYERS, [f"{layer}/kernel" for layer in LAYERS], [0, 1])
    norms = [np.broadcast_to(part, length) for part in (first, last)]
    trace.append(
        np.arange(length),
        np.stack(norms, axis=1),
        skipped=np.full(length, skipped),
        extra={} if loss is None else {"loss": np.full(length, loss)},
    )
    return trace


def gone(count, length=60):
    """A gradient of 1 that is NaN in the last records."""
    norms = np.ones(length)
    norms[length - count :] = np.nan
    return {"first": norms, "length": length}


@pytest.mark.parametrize(
    ("count", "skipped", "hopeless"),
    [(7, False, False), (8, False, True), (31, True, False), (32, True, True)],
)
def test_a_gradient_that_is_gone_and_one_whose_scale_is_sought(
    count, skipped, hopeless
):
    trace = run(**gone(count), skipped=skipped)
    lost = finding("nonfinite_gradient", status="raised")
    found = why_hopeless(trace, [finding(status="raised"), lost])
    assert found == (lost if hopeless else None)


def test_a_deep_layer_that_gets_no_more_and_one_whose_gradient_rises():
    sick = finding()
    assert why_hopeless(run(), [sick]) == sick
    rising = np.geomspace(1e-6, 1e-4, 150)
    assert why_hopeless(run(first=rising), [sick]) is None
    # That of the layers that get most comes and goes.
    assert why_hopeless(run(last=np.geomspace(1, 3, 150)), [sick]) == sick


def test_what_is_not_known_is_hope():
    sick = finding()
    assert why_hopeless(run(loss=None), [sick]) is None
    assert why_hopeless(run(length=63), [sick]) is None
    assert why_hopeless(run(), [finding(status="raised")]) is None
    assert why_hopeless(run(), [finding(severity="warning")]) is None
    assert why_hopeless(run(), []) is None


def test_a_loss_that_has_fallen_is_hope():
    trace = run(loss=np.linspace(0.7, 0.5, 150))
    assert why_hopeless(trace, [finding()]) is None


def test_a_loss_that_comes_back_from_steps_that_were_too_large_is_hope():
    start, up = np.full(20, 0.5), np.full(130, 20.0)
    falls = np.geomspace(20, 3, 130)
    assert why_hopeless(run(loss=np.append(start, falls)), [finding()]) is None
    sick = why_hopeless(run(loss=np.append(start, up)), [finding()])
    assert sick == finding()
