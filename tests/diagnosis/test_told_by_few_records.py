"""What is plain is told by few records, and the nearest healthy case is not."""

import numpy as np
import pytest

from keras_gradguard import diagnose
from tests.diagnosis.synthetic import make_trace

pytestmark = pytest.mark.pure

PLAN = {"epochs_planned": 10, "steps_per_epoch": 20}


def kinds(trace):
    return [(f.rule, f.evidence.get("kind")) for f in diagnose(trace).ranked]


def branches(records, samples, zero=None):
    """A run of three layers; the middle one gets no gradient at first."""
    grads = np.ones((records, 3))
    grads[: records if zero is None else zero, 1] = 0.0
    ratio = np.full((records, 3), 1e-3)
    ratio[:, 1] = 0.0
    loss = np.linspace(2.0, 1.5, records)
    trace = make_trace(grads, loss, ratio=ratio, meta=PLAN)
    trace.append_activations(0, data={"samples": samples, "loss": 2.0})
    return trace


@pytest.mark.parametrize(
    ("samples", "records", "told"),
    [(32, 7, False), (32, 8, True), (4, 15, False), (4, 16, True)],
)
def test_a_branch_that_is_cut_off_is_told_by_eight_records(
    samples, records, told
):
    # Of 200 planned steps 4 % are 8. Four samples may hold nothing for it.
    found = ("frozen_layer", "cut_off") in kinds(branches(records, samples))
    assert found is told


def test_a_branch_that_wakes_up_in_its_second_step_is_not_told():
    assert kinds(branches(40, 32, zero=1)) == []


def scheduled(ends, records=6, plan=PLAN):
    """A run whose rate falls to zero, evenly, by a step."""
    steps = np.arange(0, 201, 2)
    rates = 0.01 * np.clip(1 - steps / ends, 0, None)
    pairs = [[int(s), float(r)] for s, r in zip(steps, rates, strict=True)]
    adam = {"class": "Adam", "learning_rate": None, "schedule": pairs}
    loss = np.linspace(2.0, 1.9, records)
    trace = make_trace(
        np.ones((records, 3)), loss, meta={**plan, "optimizer": adam}
    )
    trace.append_activations(0, data={"samples": 32, "loss": 2.0})
    return trace


def test_a_schedule_that_ends_in_a_few_steps_is_told_before_it_does():
    (told,) = diagnose(scheduled(ends=16)).ranked
    assert (told.rule, told.evidence["kind"]) == ("update_ratio", "schedule")
    # It is not over yet, so nothing is said of the loss.
    assert told.evidence["window"]["last_step"] == 3
    assert "will hardly move from then on" in told.message
    assert "from step 16 of 200 planned on" in told.message


@pytest.mark.parametrize("ends", [40, 100, 200])
def test_a_schedule_that_lasts_longer_is_not_told_before_it_ends(ends):
    assert kinds(scheduled(ends)) == []


def deep(ratio, records=10, spread=0.0):
    """Six layers; what arrives at the first is a share of the last's."""
    profile = np.geomspace(ratio, 1.0, 6)
    grads = np.tile(profile, (records, 1))
    loss = np.full(records, 1.6)
    output = {"layer": "dense_5", "activation": "softmax", "units": 5}
    output["loss"] = "sparse_categorical_crossentropy"
    trace = make_trace(grads, loss, meta={**PLAN, "outputs": [output]})
    for step in (0, 1, 2, 4):
        data = {"samples": 32, "output_mean": 0.2, "output_spread": spread}
        trace.append_activations(step, data={**data, "loss": 1.6})
    return trace


def test_a_gradient_that_is_gone_is_told_by_ten_records():
    (told,) = diagnose(deep(1e-6)).ranked
    assert told.rule == "vanishing_gradient"
    assert told.evidence["window"]["records"] == 10
    # The twin: the share of the last layer's that arrives at the first.
    assert told.evidence["ratio"] == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("ratio", "records", "spread"),
    [(1e-6, 9, 0.0), (1e-6, 10, 0.05), (5e-4, 10, 0.0)],
)
def test_one_that_may_grow_is_given_longer(ratio, records, spread):
    assert kinds(deep(ratio, records, spread)) == []


def sides(judge, forger):
    """A pair of networks, by the losses of their epochs."""
    total = 20 * len(judge)
    trace = make_trace(np.ones((total, 4)), meta=PLAN)
    for epoch, (low, high) in enumerate(zip(judge, forger, strict=True)):
        logs = {"discriminator_loss": low, "generator_loss": high}
        trace.append_epoch(epoch, 20 * epoch + 19, logs)
    return trace


def test_who_falls_behind_from_epoch_to_epoch_is_told_by_the_fourth():
    judge, forger = [0.3, 0.009, 0.006, 0.003], [1.9, 4.3, 5.5, 6.2]
    assert kinds(sides(judge, forger)) == [("update_ratio", "one_side")]
    assert kinds(sides(judge[:3], forger[:3])) == []


@pytest.mark.parametrize(
    ("judge", "forger"),
    [
        # It swings to and fro, and may find its balance.
        ([0.3, 0.009, 0.02, 0.008], [1.9, 4.3, 3.5, 4.2]),
        ([0.3, 0.009, 0.006, 0.003], [1.9, 4.3, 4.1, 3.2]),
        # Ahead, and no more than that.
        ([0.3, 0.05, 0.03, 0.02], [1.9, 4.3, 5.5, 6.2]),
    ],
)
def test_a_pair_that_may_find_its_balance_is_not_told(judge, forger):
    assert kinds(sides(judge, forger)) == []
