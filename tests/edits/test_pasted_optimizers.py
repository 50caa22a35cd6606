"""The code of remedies that change the optimizer, pasted under what wraps it.

Whatever wraps the optimizer, the code runs, trains, and leaves each wrapper
where it belongs: a loss scale outermost, one `AutoClip` in it.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.clippers import for_clipping
from keras_gradguard.diagnosis.remedies.clippers import for_uneven
from keras_gradguard.diagnosis.remedies.fitting import fitted
from keras_gradguard.diagnosis.remedies.model import several
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.models.optimizers import chain
from keras_gradguard.models.run_info import run_info_of

X = np.random.default_rng(0).standard_normal((32, 4)).astype("float32")
NAMES = {"x": X, "y": X[:, :1]}


class OwnClass(keras.optimizers.SGD):
    """Code cannot tell how it is made: only the user has its class."""


class OwnSchedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.01

    def get_config(self):
        return {}


def adam(rate=0.01):
    return keras.optimizers.Adam(rate, beta_1=0.85)


def cosine():
    return keras.optimizers.schedules.CosineDecay(0.01, 100)


def scaled(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer)


# The optimizer, and the policy that the model is made with.
OPTIMIZERS = {
    "clipped": (lambda: kgg.AutoClip(adam()), "float32"),
    "clipped_by_a_percentile": (
        lambda: kgg.AutoClip(adam(), percentile=10.0),
        "float32",
    ),
    "clipped_with_a_schedule": (
        lambda: kgg.AutoClip(adam(cosine())),
        "float32",
    ),
    "clipped_with_an_own_schedule": (
        lambda: scaled(kgg.AutoClip(adam(OwnSchedule()))),
        "float32",
    ),
    "clipped_own_class": (lambda: kgg.AutoClip(OwnClass(0.01)), "float32"),
    "own_class": (lambda: OwnClass(0.01, clipnorm=1.0), "float32"),
    "scaled": (lambda: scaled(adam()), "float32"),
    "scaled_and_clipped": (lambda: scaled(kgg.AutoClip(adam())), "float32"),
    "mixed": (adam, "mixed_float16"),
    "mixed_and_clipped": (lambda: kgg.AutoClip(adam()), "mixed_float16"),
}
NOT_CLIPPED = ("own_class", "scaled", "mixed")


def program(name):
    make, policy = OPTIMIZERS[name]
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(1, name="out", dtype=policy)]
    )
    # As `compile` does where the policy is set for all.
    made = make()
    model.compile(scaled(made) if policy != "float32" else made, "mse")
    return model


def kinds(model):
    return [type(each).__name__ for each in chain(model.optimizer)]


def remedies(run):
    """Every change of an optimizer that a rule may advise."""
    found = [*for_clipping(run, 1e-3, 1.0), *for_uneven(run)]
    if run.learning_rate is not None:
        facts = training.facts_with_rate(run)
        found.append(training.learning_rate(facts, "", run.learning_rate / 3))
    else:
        found.append(training.scale_learning_rate(0.3, ""))
    clip = training.clip("", "norm", threshold=1.0)
    return [
        *found,
        training.schedule("", 100),
        training.warm_up("", 1e-4, 1e-2),
        training.accumulate(2, ""),
        training.set_optimizer_arguments("", "", clipnorm=None),
        training.adam(""),
        clip,
        several([training.accumulate(2, ""), clip], ""),
    ]


def told(remedy):
    return before_a_run(
        rule="clipping",
        severity="warning",
        layers=[],
        evidence={},
        message="",
        remedies=[remedy],
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_changes_the_optimizer_runs_whatever_wraps_it(name):
    run = run_info_of(program(name))
    count = 0
    for remedy in remedies(run):
        # Each in a report of its own, where nothing else was advised.
        for one in fitted(run, [told(remedy)])[0].remedies:
            names = {**NAMES, "model": program(name)}
            before = kinds(names["model"])
            exec(compile(one.code, "<remedy>", "exec"), names)
            loss = names["model"].fit(**NAMES, verbose=0).history["loss"]
            assert np.isfinite(loss).all(), one.code
            after = kinds(names["model"])
            assert after.count("AutoClip") <= 1, one.code
            clipped = one.title != "Train without AutoClip"
            if "AutoClip" in before:
                assert ("AutoClip" in after) == clipped, one.code
            if "LossScaleOptimizer" in before and "own" not in name:
                assert after[0] == "LossScaleOptimizer", one.code
            kept = remedy.action in ("schedule", "accumulate", "warm_up")
            if kept and "OwnClass" not in before:
                assert "beta_1=0.85" in one.code
            count += 1
    # What clips already is not told to clip.
    assert count == len(remedies(run)) - (2 if name not in NOT_CLIPPED else 0)


@pytest.mark.once
def test_a_clipper_that_is_the_default_is_not_advised_again():
    titles = {
        name: [r.title for r in for_uneven(run_info_of(program(name)))]
        for name in ("clipped", "clipped_by_a_percentile", "mixed_and_clipped")
    }
    last = "Train without AutoClip"
    assert titles["clipped"] == titles["mixed_and_clipped"] == [last]
    assert titles["clipped_by_a_percentile"] == [
        "Clip only what the norms hardly ever reach",
        last,
    ]


@pytest.mark.once
def test_a_loss_keeps_the_arguments_that_its_config_lacks():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, name="a")], name="net"
    )
    model.compile("sgd", keras.losses.Huber(delta=0.25))
    names = {**NAMES, "model": model}
    run = run_info_of(model)
    (one,) = fitted(run, [told(training.accumulate(2, ""))])[0].remedies
    assert "keras.losses.Huber(delta=0.25)" in one.code
    exec(one.code, names)
    y, given = np.zeros((1, 2)), np.full((1, 2), 3.0)
    loss = 0.25 * (3 - 0.125)  # of Huber (1964), beyond the delta
    np.testing.assert_allclose(float(model.loss(y, given)), loss, rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("delta", [1e-5, 1e-3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_small_delta_of_huber_is_the_cause_of_small_steps(delta, momentum):
    def program():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(1)]
        )
        rate = 1e-4 if delta == 1e-3 else 1e-2
        optimizer = keras.optimizers.SGD(rate, momentum=momentum)
        model.compile(optimizer, keras.losses.Huber(delta=delta))
        return model

    x = np.tile(X, (16, 1))
    y = 5 * x[:, :1]
    monitor = kgg.GradientMonitor(verbose=0)
    model = program()
    found = kgg.check(model, x, y).findings
    model.fit(x, y, epochs=8, verbose=0, callbacks=[monitor])
    for finding in [*found, *monitor.findings]:
        assert finding.rule == "update_ratio"
        assert f"delta of the Huber loss is {delta:g}" in finding.message
        (remedy,) = finding.remedies
        names = {"model": program(), "x": x, "y": y}
        exec(remedy.code, names)
        assert names["model"].loss.name == "huber_loss"
        if delta == 1e-5:
            names["model"].fit(x, y, epochs=8, verbose=0)
            left = y - names["model"].predict(x, verbose=0)
            assert np.square(left).mean() < 0.5 * y.var()
    assert monitor.findings
