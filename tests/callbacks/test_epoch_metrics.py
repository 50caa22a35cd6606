"""Numbers of each epoch, in the logs that everybody reads."""

import csv

import keras
import numpy as np
import pytest

from keras_gradguard import AutoClip
from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradGuardWarning
from keras_gradguard import GradientMonitor
from keras_gradguard.callbacks.epoch_metrics import NAMES

ROWS, EPOCHS = 96, 3


def build(optimizer="sgd"):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu", name="one"),
            keras.layers.Dense(6, "relu", name="two"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def data():
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def fit(model, *callbacks, **arguments):
    x, y = data()
    arguments = {"epochs": EPOCHS, "batch_size": 16, "verbose": 0, **arguments}
    return model.fit(x, y, shuffle=False, callbacks=[*callbacks], **arguments)


def rows_of(trace, epoch):
    ends = [-1, *trace.epoch_steps.tolist()]
    return (trace.steps > ends[epoch]) & (trace.steps <= ends[epoch + 1])


def test_each_value_is_that_of_the_trace():
    inner = keras.optimizers.SGD(0.05)
    model = build(AutoClip(inner, "norm", threshold=3.0))
    monitor = GradientMonitor(verbose=0, log_metrics=True)
    history = fit(model, monitor).history
    trace = monitor.trace
    assert {*history} == {"loss", *NAMES}
    for epoch in range(EPOCHS):
        rows = rows_of(trace, epoch)
        assert rows.sum() == 6
        norms = trace.get("grad_norm")[rows].astype(np.float64)
        whole = np.sqrt((norms**2).sum(axis=1))
        layers = norms.mean(axis=0)
        ratio = trace.get("update_ratio")[rows]
        clipped = trace.clipped_grad_norm[rows] < 0.9999 * whole
        expected = {
            "grad_norm": whole.mean(),
            "grad_norm_min": layers.min(),
            "grad_norm_max": layers.max(),
            "update_ratio": np.nanmedian(ratio)
            if np.isfinite(ratio).any()
            else np.nan,
            "clipped_fraction": clipped.mean(),
            "skipped_steps": 0.0,
            "findings": float(len(monitor.findings)),
        }
        for name, value in expected.items():
            logged = history[name][epoch]
            assert isinstance(logged, float), name
            np.testing.assert_allclose(logged, value, rtol=1e-6, err_msg=name)
    assert 0 < np.mean(history["clipped_fraction"]) < 1


def test_skipped_steps_are_those_of_the_epoch():
    x, y = data()
    x[5] = np.nan  # in the first of six batches
    model = build(AutoClip(keras.optimizers.SGD(0.01), "norm", threshold=1.0))
    monitor = GradientMonitor(verbose=0, log_metrics=["skipped_steps"])
    history = model.fit(
        x, y, 16, 2, verbose=0, shuffle=False, callbacks=[monitor]
    ).history
    assert history["skipped_steps"] == [1.0, 1.0]
    assert "grad_norm" not in history


def test_dead_fraction_counts_every_unit_once():
    model = build()
    kernel, _ = model.layers[0].get_weights()
    bias = np.full(8, 1.0, "float32")
    bias[:6] = -1e6
    model.layers[0].set_weights([kernel, bias])
    monitor = GradientMonitor(verbose=0, log_metrics="dead_fraction")
    detector = DeadReLUDetector(verbose=0)
    history = fit(model, monitor, detector).history
    units = {"one": 8, "two": 6}
    dead = sum(
        share * units[path.rsplit("/")[-1]]
        for path, share in detector.dead_fraction.items()
    )
    assert dead >= 6
    assert history["dead_fraction"][-1] == pytest.approx(dead / 14, rel=1e-6)


@pytest.mark.once
def test_others_read_them(tmp_path, capsys):
    path = tmp_path / "log.csv"
    monitor = GradientMonitor(verbose=0, log_metrics=True)
    stopping = keras.callbacks.EarlyStopping(
        "grad_norm", min_delta=1e9, mode="min"
    )
    history = fit(
        build(), monitor, keras.callbacks.CSVLogger(path), stopping, epochs=5
    )
    rows = list(csv.DictReader(path.open()))
    assert {*NAMES} < {*rows[0]}
    assert float(rows[0]["grad_norm"]) == history.history["grad_norm"][0]
    # Nothing improves by so much: it stops after the second epoch.
    assert len(history.epoch) == 2
    fit(build(), GradientMonitor(verbose=0, log_metrics=True), verbose=1)
    assert "grad_norm_max: " in capsys.readouterr().out


@pytest.mark.once
def test_every_key_is_there_when_nothing_could_be_recorded():
    monitor = GradientMonitor(verbose=0, log_metrics=True)
    model = build()
    monitor.set_model(model)
    monitor.set_params({"epochs": 1, "steps": 1})
    logs = {"loss": 1.0}
    monitor.on_epoch_end(0, logs)
    assert {*logs} == {"loss", *NAMES}
    assert all(isinstance(value, float) for value in logs.values())


@pytest.mark.once
def test_logs_stay_as_they_are_by_default():
    assert {*fit(build(), GradientMonitor(verbose=0)).history} == {"loss"}


@pytest.mark.once
@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (3, TypeError, "Pass True for all of them"),
        ("loss", ValueError, "`log_metrics` must be one of 'grad_norm'"),
        (["grad_norm", "x"], ValueError, "Received: log_metrics='x'"),
    ],
)
def test_bad_arguments(value, error, match):
    with pytest.raises(error, match=match):
        GradientMonitor(log_metrics=value)


def sick(**arguments):
    """A monitor of a run whose loss is infinite from the first step."""
    x, y = data()
    model = build()
    monitor = GradientMonitor(verbose=0, **arguments)
    model.fit(x * np.inf, y, 16, 2, verbose=0, callbacks=[monitor])
    return monitor


@pytest.mark.once
def test_a_function_gets_each_finding():
    seen = []
    monitor = sick(on_finding=seen.append)
    assert [f.rule for f in seen] == [f.rule for f in monitor.findings]
    assert "nonfinite_gradient" in {f.rule for f in seen}


@pytest.mark.once
def test_a_function_that_fails_is_told_and_training_goes_on():
    def fail(finding):
        raise RuntimeError("no network")

    with pytest.warns(GradGuardWarning, match="`on_finding` failed with Runt"):
        monitor = sick(on_finding=fail)
    assert monitor.findings
    assert len(monitor.trace.steps) == 12


@pytest.mark.once
def test_on_finding_takes_a_choice_or_a_function():
    with pytest.raises(ValueError, match="function that takes the finding"):
        GradientMonitor(on_finding="shout")
