"""Findings are raised, confirmed, resolved or withdrawn."""

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.diagnosis import life

pytestmark = pytest.mark.pure

SOON = 200


def plateau_then(score, length=2000):
    """A loss that stays for half of the plan, and what became of the run."""
    trace = Trace(
        ["a", "b"],
        ["a/kernel", "b/kernel"],
        [0, 1],
        meta={"epochs_planned": 4, "steps_per_epoch": 500},
    )
    learns = np.arange(length) >= 1200 if score else np.zeros(length, bool)
    loss = np.where(learns, 0.05, 0.7)
    trace.append(np.arange(length), np.ones((length, 2)), extra={"loss": loss})
    for step in range(0, length, 50):
        follows = 0.95 if learns[step] else 0.01
        data = {"output_correlation": follows, "output_spread": 0.3}
        data |= {"samples": 32, "output_mean": 0.5, "target_std": 0.5}
        trace.append_activations(step, data=data)
    return trace


def test_a_plateau_that_the_run_outgrows_is_resolved_and_said_so_once():
    report = diagnose(plateau_then(True))
    assert report.findings == []
    assert report.healthy is True
    (finding,) = report.history
    assert finding.rule == "loss_plateau"
    assert finding.status == "resolved"
    assert 1200 <= finding.resolved_step <= 1700
    assert str(report).count("Resolved at step") == 1
    assert Finding.from_dict(finding.to_dict()) == finding


def test_a_plateau_that_stays_is_confirmed_and_stands():
    report = diagnose(plateau_then(False))
    (finding,) = report.findings
    assert finding.rule == "loss_plateau"
    assert finding.status in ("raised", "confirmed")
    assert finding.resolved_step is None
    assert report.history == report.findings
    early = diagnose(plateau_then(False, 1100)).findings[0]
    assert early.status == "raised"
    assert early.key == finding.key


def slow_start_then(learns, length=176):
    """A tiny kernel, measured at few steps, and a loss that falls late."""
    output = {"layer": "c", "units": 2, "activation": "linear"}
    output |= {"loss": "sparse_categorical_crossentropy", "from_logits": True}
    names = ["a", "b", "c"]
    trace = Trace(
        names,
        [f"{name}/kernel" for name in names],
        [0, 1, 2],
        meta={
            "epochs_planned": 8,
            "steps_per_epoch": 22,
            "outputs": [output],
            "metrics_in_use": ["accuracy"],
            "data": {"output_shape": [2], "target_shape": []},
            "layers": [
                {"name": n, "kind": "Dense", "activation": "tanh"}
                for n in names
            ],
        },
    )
    late = learns & (np.arange(length) >= 80)
    loss = np.where(late, 0.12, 0.69)
    norms = np.ones((length, 3))
    trace.append(np.arange(length), norms, extra={"loss": loss})
    for epoch in range(8):
        end = 22 * epoch + 21
        accuracy = 0.95 if late[end] else 0.55
        trace.append_epoch(epoch, end, {"accuracy": accuracy})
    for step in (0, 1, 2, 4, 16, 67, 134):
        follows = 0.93 if late[step] else 0.05
        data = {"output_correlation": follows, "output_spread": 0.3}
        data |= {"samples": 32, "target_mean": 0.5, "target_std": 0.5}
        trace.append_activations(step, data=data)
    return trace


@pytest.mark.parametrize("learns", [True, False])
def test_a_grave_slow_start_is_outgrown_by_what_is_learnt_for_sure(learns):
    """As BERT's pooler from 0.02: one later measurement has to do."""
    trace = slow_start_then(learns)
    finding = Finding(
        rule="poor_initialization",
        severity="critical",
        layers=["a"],
        first_step=0,
        last_step=67,
        epoch=0,
        remedies=[],
        evidence={
            "kind": "small",
            "window": {"first_step": 0, "last_step": 67},
        },
        message="The weights start too small. The run has not learnt since.",
    )
    stand, (told,) = life.lived(trace, [finding], {})
    assert (told.status == "resolved") is learns
    assert told.resolved_step == (134 if learns else None)
    assert bool(stand) is not learns


def rare_class_then(learns_at, length=1600):
    """A class of 0.3 %, which is given to no input up to some step."""
    output = {"layer": "b", "units": 1, "activation": "sigmoid"}
    trace = Trace(
        ["a", "b"],
        ["a/kernel", "b/kernel"],
        [0, 1],
        meta={
            "epochs_planned": 4,
            "steps_per_epoch": length // 4,
            "outputs": [{**output, "loss": "binary_crossentropy"}],
            "data": {"output_shape": [1]},
        },
    )
    steps = np.arange(length)
    loss = np.where(steps < learns_at, 0.021, 0.004)
    trace.append(steps, np.ones((length, 2)), extra={"loss": loss})
    for step in range(0, length, 50):
        learnt = step >= learns_at
        data = {"output_correlation": 0.95 if learnt else 0.01}
        data |= {"samples": 512, "target_mean": 0.003, "target_std": 0.055}
        data |= {"output_mean": 0.003, "output_spread": 0.01}
        trace.append_activations(step, data=data)
    return trace


def test_a_rare_class_that_is_learnt_late_is_resolved():
    (told,) = diagnose(rare_class_then(1600)).findings
    assert told.evidence["kind"] == "rare_class"
    report = diagnose(rare_class_then(1000))
    assert report.findings == []
    assert {f.status for f in report.history} == {"resolved"}
    (told,) = [f for f in report.history if f.rule == "output_mismatch"]
    assert told.resolved_step >= 1000
