"""Causes that programs showed which no rule had been made with."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_a_course import Code
from tests.diagnosis.test_causes_of_a_course import kinds
from tests.diagnosis.test_causes_of_a_course import net
from tests.diagnosis.test_causes_of_a_course import watched
from tests.diagnosis.test_causes_of_a_course import waves


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


@keras.saving.register_keras_serializable("tests_of_new_programs")
class Stopped(layers.Layer):
    """Lets nothing back: no gradient at all on TensorFlow and torch."""

    def call(self, x):
        return ops.stop_gradient(x)


def towers(stop):
    inputs = keras.Input((4,))
    near = layers.Dense(2, "tanh", name="near")(inputs[:, 3:])
    far = layers.Dense(16, "relu", name="far")(inputs)
    if stop:
        far = Stopped()(far)
    joined = layers.Concatenate()([near, far])
    return keras.Model(inputs, layers.Dense(1, name="head")(joined))


def test_a_tower_without_any_gradient_is_told_on_every_backend():
    x, y = waves()
    report = watched(towers(True), x, y, epochs=8)
    (told,) = [f for f in report.ranked if f.rule == "frozen_layer"]
    assert told.evidence["kind"] == "cut_off"
    assert [path.split("/")[-1] for path in told.layers] == ["far"]
    whole = watched(towers(False), x, y, epochs=8)
    assert "frozen_layer" not in [f.rule for f in whole.ranked]


def test_check_tells_a_tower_without_any_gradient_and_not_a_frozen_one():
    x, y = waves()
    model = towers(True)
    model.compile("adam", "mse")
    (told,) = kgg.check(model, x, y).ranked
    assert told.evidence["kind"] == "cut_off"
    assert [path.split("/")[-1] for path in told.layers] == ["far"]
    model = towers(True)
    model.get_layer("far").trainable = False
    model.compile("adam", "mse")
    assert kgg.check(model, x, y).findings == []


@keras.saving.register_keras_serializable("tests_of_new_programs")
class Masked(layers.Layer):
    """A softmax over what is above 0, NaN where nothing is."""

    def call(self, x):
        return x * ops.softmax(ops.where(x > 0, x, -float("inf")))


def test_check_names_the_layer_that_makes_nan_of_usual_numbers():
    x, y = waves()
    x[7] = -np.abs(x[7])
    model = keras.Sequential(
        [keras.Input((4,)), Masked(name="masked"), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    (told,) = kgg.check(model, x, y).ranked
    assert told.rule == "nonfinite_gradient"
    assert told.layers[0].endswith("masked")
    assert "masked gives NaN in" in told.message
    safe = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    safe.compile("adam", "mse")
    assert kgg.check(safe, x, y).findings == []


def test_a_loss_that_is_nan_while_gradients_are_finite_is_told():
    x, y = waves()
    y = np.where(y > 0, 1.0, 0.0).astype("float32")

    def with_zero_times_infinity(t, p):
        return ops.mean(t * ops.log(t)) + ops.mean(ops.square(t - p))

    report = watched(
        keras.Sequential([keras.Input((4,)), layers.Dense(1)]),
        x,
        y,
        epochs=3,
        loss=with_zero_times_infinity,
    )
    (told,) = report.ranked
    assert told.rule == "nonfinite_gradient"
    assert "The loss is NaN, though" in told.message
    assert report.healthy is False


@pytest.mark.once
def test_a_penalty_on_outputs_is_told_while_the_loss_falls_still():
    x, y = waves(2000)
    quiet = layers.Dense(
        24, "tanh", activity_regularizer=keras.regularizers.L2(30.0)
    )
    model = keras.Sequential([keras.Input((4,)), quiet, layers.Dense(1)])
    report = watched(model, x, y, epochs=12)
    assert kinds(report)[0] == ("update_ratio", "activity_penalty")


class Pages(keras.utils.PyDataset):
    """Batches whose inputs share one array, or have one each."""

    def __init__(self, x, y, copies):
        super().__init__()
        page, self.batches = np.empty((32, 4), "float32"), []
        for at in range(0, len(x), 32):
            page[:] = x[at : at + 32]
            held = page.copy() if copies else page
            self.batches.append((held, y[at : at + 32]))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.mark.parametrize("copies", [False, True])
def test_a_reader_that_refills_one_array_is_told(copies):
    x, y = waves()
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)]
    )
    report = watched(model, Pages(x, y, copies), None, epochs=8)
    found = [f.evidence.get("kind") for f in report.ranked]
    assert ("same_inputs" in found) is not copies
    if not copies:
        assert found[0] == "same_inputs"


@pytest.mark.once
def test_negative_targets_of_a_loss_of_counts_are_told():
    x, y = waves()
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, "softplus")])
    model.compile("adam", "poisson")
    (told,) = kgg.check(model, x, y).ranked
    assert told.evidence["kind"] == "negative_targets"
    assert kgg.check(model, x, np.floor(np.exp(y))).findings == []


def pasted(report, rule, **names):
    """Run the first remedy of a rule's finding, and return the names."""
    (told,) = [f for f in report.ranked if f.rule == rule]
    exec(told.remedies[0].code, names)
    return names


def test_the_remedy_passes_the_gradient_through_what_cut_it_off():
    x, y = waves()
    report = watched(towers(True), x, y, epochs=8)
    model = towers(True)
    model.compile("adam", "mse")
    names = pasted(report, "frozen_layer", model=model, x=x, y=y)
    before = ops.convert_to_numpy(model.get_layer("far").kernel).copy()
    names["model"].fit(x, y, epochs=1, verbose=0)
    after = ops.convert_to_numpy(model.get_layer("far").kernel)
    assert not np.array_equal(before, after)


@pytest.mark.once
def test_the_remedy_of_an_added_loss_weakens_it_in_the_users_own_layer():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 2)) @ rng.normal(size=(2, 8))
    x = (1 / (1 + np.exp(-x))).astype("float32")

    def coder():
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(32, "relu"),
                layers.Dense(8),
                Code(10.0),
                layers.Dense(32, "relu"),
                layers.Dense(8, "sigmoid"),
            ]
        )
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        return model

    adam = keras.optimizers.Adam(1e-2)
    report = watched(coder(), x, x, epochs=20, optimizer=adam)
    assert kinds(report)[0] == ("update_ratio", "penalty")
    sick = coder()
    first = sick.evaluate(x, x, verbose=0)
    names = pasted(report, "update_ratio", model=coder(), x=x, y=x)
    names["model"].fit(x, x, epochs=20, verbose=0)
    weak = names["model"].evaluate(x, x, verbose=0)
    assert weak < 0.5 * float(np.var(x, axis=0).mean()) < first


@pytest.mark.once
def test_check_judges_a_model_of_which_one_output_has_no_loss():
    x, y = waves()
    inputs = keras.Input((4,))
    hidden = layers.Dense(8, "tanh")(inputs)
    outputs = {
        "main": layers.Dense(1, name="main")(hidden),
        "seen": layers.Dense(2, name="seen")(hidden),
    }
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"main": "mse"})
    report = kgg.check(model, x, {"main": y})
    assert report.healthy is True
    assert not report.not_judged
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, {"main": y}, epochs=8, verbose=0, callbacks=[monitor])
    assert monitor.report().findings == []


@pytest.mark.once
def test_check_tells_a_signal_that_explodes_and_not_the_rate():
    def deep(size):
        start = keras.initializers.RandomUniform(-size, size)
        how = {"activation": "elu", "kernel_initializer": start}
        model = keras.Sequential(
            [
                keras.Input((4,)),
                *[layers.Dense(48, **how) for _ in range(5)],
                layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.SGD(1e-2), "mse")
        return model

    x, y = waves()
    (told, *_) = kgg.check(deep(3.0), x, y).ranked
    assert told.rule == "exploding_gradient"
    assert "The signal explodes" in told.message
    assert kgg.check(deep(0.2), x, y).findings == []


@pytest.mark.once
def test_a_recurrent_layer_of_one_unit_is_told_and_made_wider():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 6, 3)).astype("float32")
    y = (x[:, :, 0] > 0).sum(axis=1) // 2

    def counts():
        model = keras.Sequential(
            [
                keras.Input((6, 3)),
                layers.SimpleRNN(1, name="narrow"),
                layers.Dense(4, "softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    loss = "sparse_categorical_crossentropy"
    report = watched(counts(), x, y, epochs=8, loss=loss)
    (told,) = [f for f in report.ranked if f.rule == "poor_initialization"]
    assert told.evidence["kind"] == "one_unit"
    names = pasted(report, told.rule, model=counts(), x=x, y=y)
    assert names["model"].get_layer("narrow").units == 16


@pytest.mark.once
def test_the_rate_to_keep_is_that_before_a_callback_lowered_it():
    x, y = waves()
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(16, "tanh"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    down = keras.callbacks.LearningRateScheduler(lambda e, rate: rate * 0.01)
    calls = [down, monitor]
    model.fit(x, y, epochs=20, verbose=0, callbacks=calls)
    (told,) = [f for f in monitor.report().ranked if f.rule == "update_ratio"]
    assert told.evidence["kind"] == "schedule"
    assert "learning_rate = 0.05\n" in told.remedies[0].code


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch raises an error"
)
def test_a_loss_that_depends_on_no_weight_is_told_by_check_and_fit():
    def rounded(t, p):
        return ops.mean(ops.square(t - ops.round(p)))

    x, y = waves()
    model = net()
    model.compile("adam", rounded)
    assert kinds(kgg.check(model, x, y)) == [("frozen_layer", "no_dependence")]
    if keras.backend.backend() == "tensorflow":
        return  # `fit` itself raises: "No gradients provided"
    report = watched(net(), x, y, loss=rounded)
    assert kinds(report) == [("frozen_layer", "no_dependence")]
    assert report.healthy is False


@pytest.mark.once
def test_dropout_that_leaves_too_little_is_told_by_its_layer():
    x, y = waves(300)
    stack = [layers.Dense(16, "relu"), layers.Dropout(0.95, name="drop")]
    model = keras.Sequential([keras.Input((4,)), *stack, layers.Dense(1)])
    model.compile("adam", "mse")
    assert kinds(kgg.check(model, x, y)) == [("update_ratio", "dropout")]
    report = watched(model, x, y, epochs=20)
    (drop,) = report.trace.run.noise.values()
    assert (drop["name"], drop["rate"]) == ("drop", 0.95)
    assert "dropout" in [kind for _, kind in kinds(report)]


def test_batch_normalization_over_one_row_is_told_by_its_layer():
    x, y = waves(300)
    norm = layers.BatchNormalization(name="norm")
    stack = [layers.Dense(16, "tanh"), norm, layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *stack])
    model.compile("adam", "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x[:80], y[:80], batch_size=1, verbose=0, callbacks=[monitor])
    told = monitor.report().ranked[0]
    assert told.evidence["kind"] == "one_row"
    assert told.layers[0].endswith("norm")
