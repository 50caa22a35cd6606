"""A gradient that vanishes through time is told where nothing is learnt."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.diagnosis.evidence.through_time import ThroughTime
from keras_gradguard.diagnosis.rules.vanishing_gradient.through_time import (
    note_of,
)
from keras_gradguard.trace.through_time import one_of
from keras_gradguard.trace.through_time import times_of

pytestmark = pytest.mark.pure
LENGTH = 200
INFO = {
    "rnn/cell": {
        "class": "SimpleRNNCell",
        "name": "cell",
        "recurrent_initializer": {"class": "Orthogonal"},
        "within": {
            "class": "SimpleRNN",
            "name": "rnn",
            "path": "rnn",
            "units": 24,
        },
    }
}


def profile(factor, length=LENGTH):
    """Norms that shrink by a factor at each time step on the way back."""
    norms = np.full(64, np.nan)
    times = times_of(length)
    norms[: len(times)] = 0.2 * factor ** (length - 1 - times)
    return norms


def run(factor, *, learns=False, blind=True, steps=1200, rises=False):
    trace = Trace(
        ["rnn/cell", "head"],
        ["rnn/cell/kernel", "head/kernel"],
        [0, 1],
        meta={
            "layer_info": INFO,
            "epochs_planned": 10,
            "steps_per_epoch": steps // 10,
            "loss": "categorical_crossentropy",
            "outputs": [{"loss": "categorical_crossentropy"}],
        },
    )
    rng = np.random.default_rng(0)
    at = np.arange(steps)
    loss = 2.3 + 0.01 * rng.normal(size=steps)
    if learns:
        loss = 2.3 * np.exp(-at / (steps / 8)) + 0.05
    if rises:
        loss = 2.3 + at / 20
    measured = [0, 1, 2, 4, 16, *range(64, steps, 64)]
    for step in measured:
        trace.append_time_gradients(
            step, ["rnn"], [LENGTH], profile(factor)[None]
        )
    for begin in range(0, steps, 64):
        part = at[begin : begin + 64]
        for step in set(part.tolist()) & set(measured):
            trace.append_activations(
                step,
                data={
                    "loss": loss[step],
                    "samples": 32,
                    "output_spread": 1e-6 if blind else 0.5,
                    "output_correlation": 0.9 if learns else 0.0,
                },
            )
        norms = np.exp(0.1 * rng.normal(size=(len(part), 2)))
        trace.append(part, norms, extra={"loss": loss[part]})
    return trace


def told(trace):
    found = diagnose(trace).findings
    return [f for f in found if f.evidence.get("kind") == "through_time"], found


def test_it_is_the_cause_of_a_loss_that_does_not_move():
    (finding,), found = told(run(0.8))
    assert [f.rule for f in found] == ["vanishing_gradient"]
    assert finding.severity == "critical"
    assert finding.layers == ["rnn/cell"]
    share = 0.8 ** (LENGTH - 1)
    assert finding.evidence["ratio"] == pytest.approx(share, rel=1e-5)
    half = np.log(0.5) / np.log(0.8)
    assert finding.evidence["halving"] == pytest.approx(half, rel=1e-5)
    first = finding.message.split(". ")[0]
    assert first == "The gradient of rnn vanishes through time"
    assert "first of 200 time steps" in finding.message
    titles = [remedy.title for remedy in finding.remedies]
    assert titles[0] == "Use LSTM for rnn"
    assert "LSTM(24, name=" in finding.remedies[0].code
    # What the user has already is not told again.
    assert not any("orthogonal" in title for title in titles)


def test_what_it_says_on_a_part_of_the_run_stays():
    whole = run(0.8)
    (late,), _ = told(whole)
    (early,), _ = told(run(0.8, steps=400))
    assert early.first_step == late.first_step
    assert early.layers == late.layers


def test_half_of_it_by_outputs_that_differ():
    (finding,), _ = told(run(0.8, blind=False))
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    "healthy",
    [
        # It forgets, and learns all the same: the recent past is enough.
        {"factor": 0.8, "learns": True, "blind": False},
        # It does not learn, for another reason.
        {"factor": 0.99},
        {"factor": 1.0},
        # Too soon.
        {"factor": 0.8, "steps": 90},
    ],
)
def test_it_is_silent_where_that_is_not_the_cause(healthy):
    assert told(run(**healthy))[0] == []


@pytest.mark.parametrize("rises", [False, True])
def test_it_explodes_through_time(rises):
    (finding,), _ = told(run(1.1, blind=False, rises=rises))
    assert finding.rule == "exploding_gradient"
    assert finding.severity == ("critical" if rises else "warning")
    assert finding.layers == ["rnn/cell"]
    grown = 1.1 ** (LENGTH - 1)
    assert finding.evidence["growth"] == pytest.approx(grown, rel=1e-5)
    assert finding.message.startswith("The gradient of rnn explodes through ")
    assert ("The loss rises" in finding.message) is rises
    assert finding.remedies[0].title == "Use LSTM for rnn"
    assert any("clip" in r.title.lower() for r in finding.remedies)
    early, _ = told(run(1.1, blind=False, steps=300, rises=rises))
    assert [f.layers for f in early] == [["rnn/cell"]]


@pytest.mark.parametrize(
    "healthy",
    [
        {"factor": 1.1, "learns": True},  # clipped, and it learns
        {"factor": 1.03},  # 360-fold
        {"factor": 1.038},  # 1700-fold, as a sum over 200 outputs may be
        {"factor": 1.1, "steps": 90},
    ],
)
def test_nothing_explodes(healthy):
    assert told(run(**healthy, blind=False))[0] == []


def test_a_run_that_was_not_measured_is_not_judged():
    trace = run(0.8)
    trace._time_gradients.layers = np.zeros(0, str)
    assert told(trace)[0] == []


def test_masked_steps_and_nan_are_no_evidence():
    norms = profile(0.8)
    norms[40:] = np.nan
    layer = ThroughTime.of("rnn", np.zeros(1), *one_of(LENGTH, norms))
    times = times_of(LENGTH)
    assert layer.arrives[0] == pytest.approx(0.8 ** (times[39] - times[0]))
    norms[3] = np.inf
    layer = ThroughTime.of("rnn", np.zeros(1), *one_of(LENGTH, norms))
    assert np.isnan(layer.arrives[0])
    assert note_of(layer) is None


def test_what_check_notes():
    def note(factor):
        measured = one_of(LENGTH, profile(factor))
        return note_of(ThroughTime.of("rnn", np.zeros(1), *measured))

    assert "arrives at the first of 200 time steps" in note(0.8)
    assert "halves every 3.1 time steps" in note(0.8)
    assert "nothing that float32 can hold" in note(0.0)
    assert note(0.99) is None
    assert note(1.0) is None
    assert note(1.02) is None
    assert "Clip it" in note(1.2)
