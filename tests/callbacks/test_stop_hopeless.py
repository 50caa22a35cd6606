"""Trials of a search that cannot work are ended, and the search goes on."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.once
RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] > 0).astype("float32")
EPOCHS = 16


def make(kind):
    keras.utils.set_random_seed(3)
    layers, optimizer = [keras.Input((6,))], keras.optimizers.Adam(0.01)
    if kind == "deep sigmoid":
        layers += [keras.layers.Dense(8, "sigmoid") for _ in range(12)]
    elif kind == "long plateau":
        layers += [keras.layers.Dense(8, "sigmoid") for _ in range(4)]
        optimizer = keras.optimizers.Adam(0.02)
    else:
        layers += [keras.layers.Dense(16, "relu") for _ in range(2)]
    if kind == "explodes":
        optimizer = keras.optimizers.SGD(1e20)
    layers.append(keras.layers.Dense(1))
    model = keras.Sequential(layers)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    model.compile(optimizer, loss, metrics=[accuracy])
    if kind == "nan":
        kernel = model.layers[0].kernel
        kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    if kind == "dead":
        for layer in model.layers[:2]:
            layer.bias.assign(np.full(16, -100.0, "float32"))
    return model


def fit(model, *callbacks, epochs=EPOCHS, **arguments):
    return model.fit(
        X, Y, batch_size=16, epochs=epochs, verbose=0, shuffle=False,
        callbacks=list(callbacks), **arguments,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("nan", {"nonfinite_gradient"}),
        ("deep sigmoid", {"vanishing_gradient"}),
        ("dead", {"dead_relu", "vanishing_gradient"}),
        ("explodes", {"nonfinite_gradient", "exploding_gradient"}),
    ],
)
def test_a_training_that_cannot_work_is_ended(kind, rules):
    stop = kgg.stop_hopeless()
    history = fit(make(kind), stop, validation_data=(X, Y))
    assert len(history.epoch) < EPOCHS
    assert stop.finding.rule in rules
    assert stop.verdict == str(stop.finding)
    assert len(history.history["val_loss"]) == len(history.epoch)


def test_the_last_epoch_has_nothing_to_end():
    stop = kgg.stop_hopeless()
    epochs = len(fit(make("dead"), stop).epoch)
    assert stop.verdict is not None
    again = kgg.stop_hopeless()
    assert len(fit(make("dead"), again, epochs=epochs).epoch) == epochs
    assert again.verdict is None


def test_a_training_that_works_is_left_alone():
    stop = kgg.stop_hopeless()
    plain = make("healthy")
    fit(plain)
    model = make("healthy")
    assert len(fit(model, stop).epoch) == EPOCHS
    assert stop.verdict is None
    for one, other in zip(plain.weights, model.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


def test_it_goes_into_a_second_search():
    stop = kgg.stop_hopeless()
    fit(make("nan"), stop)
    for other in (copy.deepcopy(stop), pickle.loads(pickle.dumps(stop)), stop):
        fit(make("healthy"), other)
        assert other.verdict is None
        fit(make("nan"), other)
        assert other.verdict


def test_wrong_trial():
    with pytest.raises(TypeError, match="`trial` must be a trial of Optuna"):
        kgg.stop_hopeless(5)


KINDS = ("nan", "dead", "explodes", "deep sigmoid", "nan", "healthy")


@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_keras_tuner_goes_on(tmp_path, objective):
    keras_tuner = pytest.importorskip("keras_tuner")
    tuner = keras_tuner.GridSearch(
        lambda hp: make(KINDS[hp.Int("kind", 0, len(KINDS) - 1)]),
        objective=objective,
        max_trials=len(KINDS),
        directory=tmp_path,
        project_name="search",
    )
    tuner.search(
        X, Y, batch_size=16, epochs=EPOCHS, validation_data=(X, Y),
        verbose=0, callbacks=[kgg.stop_hopeless()],
    )  # fmt: skip
    trials = {
        KINDS[t.hyperparameters.get("kind")]: t
        for t in tuner.oracle.trials.values()
    }
    assert len(tuner.oracle.trials) == len(KINDS)
    for kind, trial in trials.items():
        assert trial.status == "COMPLETED"
        assert np.isfinite(trial.score)
        assert bool(trial.message) == (kind != "healthy")
    assert trials["nan"].message.startswith("nonfinite_gradient (critical)")
    best = tuner.oracle.get_best_trials(1)[0]
    assert best is trials["healthy"]
    (model,) = tuner.get_best_models(1)
    assert model.evaluate(X, Y, verbose=0)[1] > 0.7


def test_optuna_goes_on():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        model = make(trial.suggest_categorical("kind", KINDS[1:]))
        history = fit(model, kgg.stop_hopeless(trial))
        return history.history["loss"][-1]

    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"kind": KINDS[1:]})
    )
    study.optimize(objective, n_trials=len(KINDS) - 1)
    assert len(study.trials) == len(KINDS) - 1
    for trial in study.trials:
        healthy = trial.params["kind"] == "healthy"
        assert trial.state.name == ("COMPLETE" if healthy else "PRUNED")
        assert ("gradguard" in trial.user_attrs) != healthy
    assert study.best_trial.params["kind"] == "healthy"
    # The model of a pruned trial is as it was before.
    model = make("healthy")
    assert len(fit(model).epoch) == EPOCHS


def test_without_optuna_the_pip_line_is_told(monkeypatch):
    import sys

    class Trial:
        def set_user_attr(self, key, value):
            self.told = key, value

    monkeypatch.setitem(sys.modules, "optuna", None)
    trial = Trial()
    with pytest.raises(ImportError, match=r"keras-gradguard\[optuna\]"):
        fit(make("nan"), kgg.stop_hopeless(trial))
    assert trial.told[0] == "gradguard"
