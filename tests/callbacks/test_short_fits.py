"""A loop around `fit` whose single fits are too short to judge."""

import json
import pickle

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import params


def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(128, 2)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("float32")


def net(activation="sigmoid", optimizer="adam", depth=9):
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(10, activation) for _ in range(depth)]
    output = keras.layers.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((2,)), *hidden, output])
    model.compile(optimizer, "binary_crossentropy")
    return model


def rules_of(monitor):
    return [finding.rule for finding in monitor.report().findings]


@pytest.mark.parametrize(
    "anew",
    params.once_but(lambda anew: not anew, [False, True]),
    ids=["one", "a new one each"],
)
def test_fits_of_four_steps_are_judged_together(anew):
    model, (x, y) = net(), data()
    monitor = kgg.GradientMonitor(verbose=0)
    seen = []
    for _ in range(16):
        monitor = kgg.GradientMonitor(verbose=0) if anew else monitor
        model.fit(x, y, verbose=0, callbacks=[monitor])
        seen.append(rules_of(monitor))
        assert len(monitor.trace.steps) == 4
    assert seen[0] == []
    assert seen[-1] == ["vanishing_gradient"]
    first = next(at for at, rules in enumerate(seen) if rules)
    assert all(rules == seen[-1] for rules in seen[first:])
    report = monitor.report()
    assert report.healthy is False
    assert len(report.trace.steps) == 64
    assert report.trace.epochs.tolist() == list(range(16))
    assert report.findings[0].first_step == 0
    assert report.notes == [
        "Judged together with the 15 fits before, as short as this."
    ]
    assert len(pickle.loads(pickle.dumps(monitor)).trace.steps) == 4
    # What is compiled anew begins anew.
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, verbose=0, callbacks=[monitor])
    assert rules_of(monitor) == []
    assert len(monitor.report().trace.steps) == 4


@pytest.mark.once
def test_a_network_that_learns_in_short_fits_is_healthy(capsys):
    model, (x, y) = net("relu", keras.optimizers.Adam(0.01)), data()
    monitor = kgg.GradientMonitor()
    verdicts = []
    for _ in range(30):
        model.fit(x, y, verbose=0, callbacks=[monitor])
        verdicts.append(monitor.report().healthy)
    assert verdicts[0] is None
    assert verdicts[-1] is True
    said = [s for s in capsys.readouterr().out.splitlines() if s]
    assert said[0].startswith("GradGuard: No problem found in 4 steps; too few")
    assert "GradGuard: Healthy: nothing found in 100 recorded" in said[1]
    assert len(said) == 3  # and the note


@pytest.mark.once
def test_a_finding_is_told_once(capsys):
    model, (x, y) = net(), data()
    monitor = kgg.GradientMonitor()
    for _ in range(20):
        model.fit(x, y, verbose=0, callbacks=[monitor])
    said = capsys.readouterr().out
    assert said.count("1 problem found") == 1
    assert said.count("Do: Use ReLU with He") == 1


@pytest.mark.once
@pytest.mark.parametrize("between", ["unwatched fit", "another rate", "none"])
def test_fits_that_do_not_go_on_are_judged_alone(between):
    model, (x, y) = net(), data()
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, verbose=0, callbacks=[monitor])
    if between == "unwatched fit":
        model.fit(x, y, verbose=0)
    elif between == "another rate":
        model.optimizer.learning_rate = 0.01
    model.fit(x, y, verbose=0, callbacks=[monitor])
    together = 8 if between == "none" else 4
    assert len(monitor.report().trace.steps) == together


@pytest.mark.once
def test_a_fit_that_is_long_enough_is_judged_alone():
    model, (x, y) = net(), data()
    monitor = kgg.GradientMonitor(verbose=0)
    for epochs in (1, 30, 1):
        model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
        assert len(monitor.report().trace.steps) == 4 * epochs


def test_two_monitors_do_not_stand_in_each_others_way():
    model, (x, y) = net(depth=1), data()
    all_layers = kgg.GradientMonitor(verbose=0)
    some = kgg.GradientMonitor(verbose=0, layers=["dense*"])
    for _ in range(3):
        model.fit(x, y, verbose=0, callbacks=[all_layers, some])
    assert len(all_layers.report().trace.steps) == 12
    assert len(some.report().trace.steps) == 12


@pytest.mark.once
def test_a_directory_holds_all_fits_and_the_finding_once(tmp_path):
    pytest.importorskip("tensorboard")
    model, (x, y) = net(), data()
    for _ in range(16):
        monitor = kgg.GradientMonitor(tmp_path, verbose=0)
        model.fit(x, y, verbose=0, callbacks=[monitor])
    trace = kgg.Trace.load(tmp_path)
    assert trace.steps.tolist() == list(range(64))
    assert len(trace.epochs) == 16
    lines = (tmp_path / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["rule"] for line in lines] == rules_of(monitor)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["verdict"].startswith("1 problem found in 64 recorded steps")


@pytest.mark.optimized
def test_short_fits_leave_the_same_bits():
    (x, y), weights = data(), []
    for watched in (False, True):
        model = net(depth=2)
        for _ in range(4):
            callbacks = [kgg.GradientMonitor(verbose=0)] if watched else []
            model.fit(x, y, verbose=0, shuffle=False, callbacks=callbacks)
        weights.append(model.get_weights())
    for plain, seen in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, seen)
