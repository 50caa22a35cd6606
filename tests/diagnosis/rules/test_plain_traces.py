"""Judgements of what few programs show, on traces that are made up."""

import time

import numpy as np
import pytest

from keras_gradguard import Rule
from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.diagnosis.live import Judge
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure

MEASURED = (0, 1, 2, 4, 16, *range(64, 400, 64))


def classes(val_accuracy, val_loss, epochs=8, kind="Dense"):
    """A run over four classes that learns, and how its validation fares."""
    total = 20 * epochs
    loss = 1.4 * np.exp(-np.arange(total) / 40)
    meta = {
        "layer_info": {f"dense_{i}": {"class": kind} for i in range(2)},
        "loss_name": "sparse_categorical_crossentropy",
        "outputs": [
            {
                "units": 4,
                "activation": "softmax",
                "loss": "sparse_categorical_crossentropy",
            }
        ],
        "data": {"target_shape": [], "output_shape": [4], "input_shape": [3]},
        "epochs_planned": epochs,
        "steps_per_epoch": 20,
    }
    trace = make_trace(steady([1, 1], total), loss, meta=meta)
    for at in [step for step in MEASURED if step < total]:
        trace.append_activations(at, data={"samples": 32})
    score = 1 - 0.6 * np.exp(-np.arange(epochs) / 2)
    for epoch in range(epochs):
        logs = {
            "accuracy": score[epoch],
            "val_accuracy": val_accuracy[epoch],
            "val_loss": val_loss[epoch],
        }
        trace.append_epoch(epoch, 20 * epoch + 19, logs)
    return diagnose(trace)


def told(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def test_validation_of_classes_that_training_has_few_of_is_told():
    few = [0.0, 0.05, 0.1, 0.2, 0.24, 0.25, 0.25, 0.25]
    away = np.linspace(2.2, 6.0, 8)
    report = classes(few, away)
    assert told(report) == [("output_mismatch", "foreign_labels")]
    # Twice while the run was young.
    assert report.ranked[0].evidence["window"]["last_step"] <= 79


@pytest.mark.parametrize(
    "val",
    [
        # It overfits in the end, as many do.
        ([0.6, 0.6, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35], np.linspace(1, 4, 8)),
        # The loss of validation falls still.
        ([0.1, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9], np.linspace(4, 0.4, 8)),
    ],
)
def test_a_validation_that_overfits_or_is_late_is_no_other_kind(val):
    assert told(classes(*val)) == []


def test_averages_that_lag_behind_are_not_called_other_classes():
    few = [0.0, 0.05, 0.1, 0.2, 0.24, 0.25, 0.25, 0.25]
    away = np.linspace(2.2, 6.0, 8)
    rules = [rule for rule, _ in told(classes(few, away, kind="BatchNorm"))]
    assert "output_mismatch" not in rules


def own_step(spread):
    """A run with a train step of its own, whose loss stays where it began."""
    total = 300
    info = {f"dense_{i}": {"class": "Dense", "units": 8} for i in range(3)}
    info["dense_2"]["units"] = 1
    meta = {
        "layer_info": info,
        "model_kind": "subclassed",
        "loss_name": None,
        "outputs": [{"activation": None}],
        "epochs_planned": 30,
        "steps_per_epoch": 10,
    }
    loss = 1 + 0.01 * np.random.default_rng(0).normal(size=total)
    trace = make_trace(steady([1, 1, 1], total), loss, meta=meta)
    sites = [f"dense_{i}" for i in range(3)]
    for at in [step for step in MEASURED if step < total]:
        std = np.array([0.5, 0.5, spread(at)])
        trace.append_activations(
            at, sites, {"mean": np.zeros(3), "std": std}, {"samples": 32}
        )
    return diagnose(trace)


def test_outputs_of_a_step_of_ones_own_that_shrink_are_told():
    report = own_step(lambda at: 0.3 if at < 8 else 0.06)
    assert told(report)[0] == ("output_mismatch", "constant_outputs")
    assert "y.reshape(-1, 1)" in report.ranked[0].remedies[0].code
    assert report.ranked[0].evidence["window"]["last_step"] <= 150
    assert ("output_mismatch", "constant_outputs") not in told(
        own_step(lambda at: 0.3)
    )


class Seen(Rule):
    id = "seen"

    def __init__(self):
        self.looks = []

    def check(self, trace):
        self.looks.append(len(trace.steps))
        return []


class Slow(Seen):
    def check(self, trace):
        time.sleep(0.05)
        return super().check(trace)


def test_a_judge_looks_at_shares_of_the_plan_too():
    rule = Seen()
    judge = Judge([rule], 5, by_clock=False, marks=[26, 51, 76])
    trace = Trace(["a"], ["a/kernel"], [0])
    for step in range(100):
        trace.append([step], np.ones((1, 1)))
        if judge.is_due(step + 1, step):
            judge.look(trace, step + 1)
    # A look at a mark puts none off that is due since the trace has doubled.
    assert rule.looks == [5, 10, 20, 26, 40, 51, 76, 80]


def test_some_shares_of_the_plan_are_looked_at_however_long_that_takes():
    rule = Slow()
    judge = Judge([rule], 5, early=10, marks=[30, 60], sure=[26, 51])
    trace = Trace(["a"], ["a/kernel"], [0])
    for step in range(100):
        trace.append([step], np.ones((1, 1)))
        if judge.is_due(step + 1, step):
            judge.look(trace, step + 1)
    # 40 would be the next by the clock, after 10.
    assert rule.looks == [5, 10, 26, 51]


def two_heads(part):
    """A run of a price and a size whose squared error hides the price's."""
    loss = 9e4 * np.exp(-np.arange(200) / 90)
    heads = (("price", "sigmoid", "binary_crossentropy"), ("size", None, "mse"))
    meta = {
        "outputs": [
            {"layer": name, "units": 1, "activation": how, "loss": loss_of}
            for name, how, loss_of in heads
        ],
        "epochs_planned": 10,
        "steps_per_epoch": 20,
    }
    trace = make_trace(steady([1, 1], 200), loss, meta=meta)
    for epoch in range(10):
        logs = {"loss": 1e4, "price_loss": part[epoch], "size_loss": 2e4}
        trace.append_epoch(epoch, 20 * epoch + 19, logs)
    return diagnose(trace)


def test_one_loss_of_several_may_be_below_zero():
    (found,) = two_heads(-300.0 * np.arange(1, 11)).ranked[:1]
    assert (found.rule, found.evidence["kind"]) == (
        "output_mismatch",
        "no_floor",
    )
    assert "price_loss is below 0, -300 at step 19" in found.message
    assert "price" in found.layers[0]
    fits = two_heads(np.linspace(0.7, 0.1, 10))
    assert "output_mismatch" not in [rule for rule, _ in told(fits)]
