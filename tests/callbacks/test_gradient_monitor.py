"""What a user of the callback sees: errors, findings, files."""

import dataclasses
import shutil
import warnings

import keras
import numpy as np
import pytest

from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradGuardFinding
from keras_gradguard import GradGuardWarning
from keras_gradguard import GradientMonitor
from keras_gradguard import Rule
from keras_gradguard import Trace
from keras_gradguard import diagnose
from tests import models


def fit(*callbacks, rows=160, epochs=2, optimizer="sgd", scale=1.0):
    keras.utils.set_random_seed(0)
    model = models.mlp()
    model.compile(optimizer, models.crossentropy())
    x, y = models.dataset(rows)
    model.fit(
        x * np.float32(scale),
        y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


class AlwaysFinds(Rule):
    """Fires from the eighth step on."""

    id = "frozen_layer"

    def check(self, trace):
        from keras_gradguard import Finding

        if len(trace.steps) < 8:
            return []
        return [
            Finding(
                rule=self.id,
                severity="warning",
                layers=[str(trace.layers[0])],
                first_step=3,
                last_step=int(trace.steps[-1]),
                epoch=0,
                evidence={},
                message="dense: found for the test.",
                remedies=[],
            )
        ]


class Fails(Rule):
    """Raises."""

    id = "frozen_layer"

    def check(self, trace):
        raise ZeroDivisionError("in a rule")


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"update_freq": 0}, ValueError, "`update_freq` must be an integer"),
        ({"update_freq": True}, TypeError, r"\(of type bool\)"),
        ({"update_freq": "epoch"}, TypeError, r"\(of type str\)"),
        ({"rules": ["nonsense"]}, ValueError, "nonsense"),
        ({"rules": "all"}, ValueError, "`rules` must be 'default'"),
        ({"on_finding": "explode"}, ValueError, "one of 'warn', 'stop'"),
        ({"verbose": 3}, ValueError, "one of 'auto', 0, 1, 2"),
        ({"log_dir": 3}, TypeError, "`log_dir` must be a path or None"),
        (
            {"log_dir": "runs", "histogram_freq": -1},
            ValueError,
            "`histogram_freq` must be an integer >= 0.*Pass 1 for histograms",
        ),
        (
            {"log_dir": "runs", "histogram_freq": True},
            TypeError,
            r"`histogram_freq` .* \(of type bool\)",
        ),
        (
            {"histogram_freq": 1},
            ValueError,
            "`histogram_freq` must be 0 without `log_dir`.*pass a directory",
        ),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        GradientMonitor(**arguments)


@pytest.mark.once
def test_a_log_dir_that_cannot_be_written_stops_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    model = models.mlp()
    model.compile("sgd", models.crossentropy())
    before = model.get_weights()
    monitor = GradientMonitor(tmp_path / "file" / "run", verbose=0)
    with pytest.raises(OSError, match="must be a writable directory"):
        model.fit(*models.dataset(), verbose=0, callbacks=[monitor])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.once
def test_a_model_without_an_optimizer():
    model = models.mlp()
    model.compile(optimizer=None, loss=models.crossentropy())
    with pytest.raises(RuntimeError, match="the model has no optimizer"):
        model.fit(*models.dataset(), verbose=0, callbacks=[GradientMonitor()])


def test_a_step_that_bypasses_the_optimizer_is_told_once():
    class Bypass(keras.Model):
        def train_step(self, *args):
            if keras.backend.backend() == "jax":
                return {"loss": 0.0}, args[0]
            return {"loss": 0.0}

    inputs = keras.Input((8,))
    model = Bypass(inputs, keras.layers.Dense(3)(inputs))
    model.compile("sgd", models.crossentropy())
    with pytest.warns(
        GradGuardWarning, match=r"never called `apply` of the model's optimizer"
    ) as caught:
        model.fit(
            *models.dataset(),
            epochs=3,
            verbose=0,
            callbacks=[GradientMonitor(verbose=0)],
        )
    ours = [w for w in caught if w.category is GradGuardWarning]
    assert len(ours) == 1


@pytest.mark.parametrize("callback", [GradientMonitor, DeadReLUDetector])
def test_an_epoch_that_is_shorter_than_an_update_is_no_blindness(callback):
    model = models.mlp(activation="relu")
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    model.compile(optimizer, models.crossentropy())
    watching = callback(verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradGuardWarning)
        model.fit(
            *models.dataset(64),
            batch_size=32,
            epochs=3,
            verbose=0,
            callbacks=[watching],
        )
    assert int(model.optimizer.iterations) == 2
    if callback is GradientMonitor:
        assert watching.trace.steps.tolist() == [0, 1]
        assert np.isfinite(watching.trace.get("grad_norm")).all()


@pytest.mark.parametrize("known", [True, False])
def test_a_fit_without_an_update_says_so_in_its_report(known):
    model = models.mlp()
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=5)
    model.compile(optimizer, models.crossentropy())
    monitor = GradientMonitor(verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradGuardWarning)
        data = models.dataset(64)
        if not known:
            data = [(part for part in [models.dataset(32)])]
        model.fit(*data, verbose=0, callbacks=[monitor])
    report = monitor.report()
    # How many batches a generator gives nobody knows before.
    assert report.healthy is (False if known else None)
    said = "one update takes" if known else "an update takes"
    assert f"{said} the gradients of 5 batches" in str(report)


def test_a_fit_between_two_steps_that_are_recorded_is_no_blindness():
    model = models.mlp()
    model.compile("sgd", models.crossentropy())
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradGuardWarning)
        for _ in range(3):
            monitor = GradientMonitor(update_freq=10, verbose=0)
            model.fit(
                *models.dataset(64),
                batch_size=16,
                verbose=0,
                callbacks=[monitor],
            )
            seen.append(monitor.trace.steps.tolist())
    assert seen == [[0], [], [10]]


def test_a_bypassed_optimizer_is_told_where_gradients_accumulate():
    class Bypass(keras.Model):
        def train_step(self, *args):
            if keras.backend.backend() == "jax":
                return {"loss": 0.0}, args[0]
            return {"loss": 0.0}

    inputs = keras.Input((8,))
    model = Bypass(inputs, keras.layers.Dense(3)(inputs))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    model.compile(optimizer, models.crossentropy())
    with pytest.warns(GradGuardWarning, match="never called `apply`"):
        model.fit(
            *models.dataset(64),
            epochs=3,
            verbose=0,
            callbacks=[GradientMonitor(verbose=0)],
        )


@pytest.mark.once
def test_a_failing_rule_warns_once_and_training_goes_on():
    with pytest.warns(GradGuardWarning, match="in a rule") as caught:
        model = fit(GradientMonitor(rules=[Fails()], verbose=0))
    assert len([w for w in caught if w.category is GradGuardWarning]) == 1
    assert int(model.optimizer.iterations) == 40


@pytest.mark.once
def test_findings_are_printed_as_they_come(capsys):
    monitor = GradientMonitor(rules=[AlwaysFinds()])
    fit(monitor)
    assert [f.first_step for f in monitor.findings] == [3]
    assert monitor.findings[0].last_step == 39
    out = capsys.readouterr().out
    assert "dense: found for the test." in out.replace("\n", " ")
    assert out.count("found for the test") == 1


@pytest.mark.once
def test_on_finding_stop_ends_training():
    monitor = GradientMonitor(
        rules=[AlwaysFinds()], on_finding="stop", verbose=0
    )
    model = fit(monitor, epochs=50)
    assert int(model.optimizer.iterations) < 100
    assert monitor.findings


class Passes(Rule):
    """Finds what shows up to step 9 and no longer; told from step 8 on."""

    id = "frozen_layer"

    def check(self, trace):
        found = AlwaysFinds().check(trace)
        window = {"first_step": 3, "last_step": 8}
        return [
            dataclasses.replace(f, last_step=9, evidence={"window": window})
            for f in found
        ]


@pytest.mark.once
@pytest.mark.parametrize("on_finding", ["stop", "raise"])
def test_what_passes_is_told_but_ends_nothing(on_finding):
    monitor = GradientMonitor(
        rules=[Passes()], on_finding=on_finding, verbose=0
    )
    model = fit(monitor)
    assert int(model.optimizer.iterations) == 40
    assert [f.status for f in monitor.findings] == ["raised"]


@pytest.mark.once
def test_a_function_is_called_whenever_the_status_changes():
    class Lasts(Passes):
        def check(self, trace):
            found = super().check(trace)
            last = int(trace.steps[-1]) if found else 0
            return [dataclasses.replace(f, last_step=last) for f in found]

    told = []
    monitor = GradientMonitor(
        rules=[Lasts()],
        verbose=0,
        on_finding=lambda f: told.append((f.rule, f.status)),
    )
    fit(monitor)
    # Without a look between step 8 and 14 the first word is the last.
    assert told[-1] == ("frozen_layer", "confirmed")
    assert len(set(told)) == len(told) <= 2
    assert monitor.findings[0].status == "confirmed"


def test_on_finding_raise_raises_the_finding():
    monitor = GradientMonitor(
        rules=[AlwaysFinds()], on_finding="raise", verbose=0
    )
    with pytest.raises(GradGuardFinding, match="found for the test") as caught:
        fit(monitor, epochs=50)
    assert caught.value.finding.rule == "frozen_layer"


@pytest.mark.once
def test_on_finding_ignore_only_keeps_it():
    monitor = GradientMonitor(
        rules=[AlwaysFinds()], on_finding="ignore", verbose=0
    )
    model = fit(monitor)
    assert monitor.findings
    assert int(model.optimizer.iterations) == 40


def test_what_the_configuration_tells_is_told_before_the_first_step(capsys):
    class Looks(keras.callbacks.Callback):
        found = None

        def on_train_batch_begin(self, batch, logs=None):
            if self.found is None:
                self.found = [f.rule for f in monitor.findings]
                self.printed = capsys.readouterr().out

    monitor, looks = GradientMonitor(), Looks()
    fit(monitor, looks, optimizer=keras.optimizers.Adam(7.0))
    assert looks.found == ["update_ratio"]
    assert "The learning rate is 7: above 0.2" in looks.printed
    assert (
        "The learning rate" not in capsys.readouterr().out.split("found in")[0]
    )
    first = monitor.findings[0]
    assert (first.first_step, first.last_step) == (0, 39)
    saved = diagnose(monitor.trace)
    assert [f.to_dict() for f in saved.findings] == [
        f.to_dict() for f in monitor.findings
    ]


def test_nonfinite_gradients_are_found_where_they_began():
    class Poisons(keras.utils.PyDataset):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            x, y = models.dataset(8, seed=index)
            if index == 11:
                x[0, 0] = np.nan
            return x, y

    keras.utils.set_random_seed(0)
    model = models.mlp()
    model.compile("sgd", models.crossentropy())
    monitor = GradientMonitor(verbose=0)
    model.fit(
        Poisons(), epochs=2, shuffle=False, verbose=0, callbacks=[monitor]
    )
    finding = next(
        f for f in monitor.findings if f.rule == "nonfinite_gradient"
    )
    assert finding.first_step == 11
    assert finding.layers


@pytest.mark.once
def test_the_saved_trace_gives_the_same_findings(tmp_path):
    monitor = GradientMonitor(tmp_path / "run", verbose=0)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    x, _ = models.dataset(160)
    y = np.float32(1e4) * x.sum(axis=1, keepdims=True)
    model.fit(
        100 * x, y, batch_size=8, epochs=2, verbose=0, callbacks=[monitor]
    )
    assert monitor.findings
    loaded = Trace.load(tmp_path / "run" / "trace.npz")
    again = diagnose(loaded)
    assert [f.to_dict() for f in again.findings] == [
        f.to_dict() for f in monitor.findings
    ]
    np.testing.assert_array_equal(
        loaded.get("grad_norm"), monitor.trace.get("grad_norm")
    )


@pytest.mark.once
def test_a_log_dir_that_vanishes_costs_one_warning_a_writer(tmp_path):
    class Removes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            (tmp_path / "run").write_text("in the way")

    monitor = GradientMonitor(tmp_path / "run", verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(Removes(), monitor, epochs=3)
    ours = [w for w in caught if w.category is GradGuardWarning]
    assert 1 <= len(ours) <= 2
    assert int(model.optimizer.iterations) == 60
    assert len(monitor.trace.steps) == 60


@pytest.mark.once
def test_the_trace_knows_the_run():
    monitor = GradientMonitor(verbose=0)
    fit(monitor, epochs=3)
    trace = monitor.trace
    assert trace.meta["epochs_planned"] == 3
    assert trace.meta["steps_per_epoch"] == 20
    assert trace.meta["optimizer"]["class"] == "SGD"
    assert trace.meta["learning_rate"] == pytest.approx(0.01)
    info = trace.meta["layer_info"][trace.layers[0]]
    assert (info["class"], info["activation"]) == ("Dense", "tanh")
    assert len(trace.logs["loss"]) == 3
    assert trace.epoch_steps.tolist() == [19, 39, 59]


def test_weights_over_epochs():
    monitor = GradientMonitor(verbose=0)
    keras.utils.set_random_seed(0)
    model = models.mlp()
    start = [w.astype("float64") for w in model.get_weights()]
    model.compile("sgd", models.crossentropy())
    x, y = models.dataset(160)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[monitor])
    moved = [
        np.linalg.norm(w - s)
        for w, s in zip(model.get_weights(), start, strict=True)
    ]
    distance = monitor.trace.get("distance", by="variable")
    np.testing.assert_allclose(distance[-1], moved, rtol=1e-4)
    zero = monitor.trace.measured("zero_fraction", by="variable")[1][0]
    assert zero.tolist() == [0, 1, 0, 1, 0, 1]  # biases start at zero


@pytest.mark.once
def test_plot_gives_a_figure():
    pytest.importorskip("matplotlib")
    monitor = GradientMonitor(verbose=0)
    fit(monitor)
    assert len(monitor.plot().axes) >= 4


@pytest.mark.once
def test_report_before_any_fit():
    monitor = GradientMonitor()
    report = monitor.report()
    assert report.healthy is None
    assert report.not_judged == ["nothing was recorded"]
    assert len(monitor.trace.steps) == 0
