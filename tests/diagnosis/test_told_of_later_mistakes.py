"""Faults that more programs of users had, each told with its cause."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_first_programs import kinds
from tests.diagnosis.test_first_programs import watched

# Rules are judged; that a trace is right is tested on each backend.
pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
X = RNG.normal(size=(512, 6)).astype("float32")
LABELS = np.argmax(X[:, :3], axis=1)
SUMS = X[:, :1] - X[:, 1:2]


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def classifier(*behind, optimizer="adam", units=3, hidden=16):
    start = keras.Input((6,))
    scores = layers.Dense(units)(layers.Dense(hidden, "relu")(start))
    for layer in behind:
        scores = layer(scores)
    model = keras.Model(start, layers.Softmax()(scores))
    model.compile(
        optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def pasted(report, model):
    names = {"model": model, "keras": keras, "np": np, "kgg": kgg}
    exec(report.ranked[0].remedies[0].code, names)
    return names["model"]


def test_an_update_of_more_batches_than_the_run_has_is_told_at_once():
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=100)
    model = classifier(optimizer=optimizer)
    report = watched(model, X, LABELS, epochs=3)
    assert kinds(report) == [("update_ratio", "accumulation")]
    assert "takes the gradients of 100 batches" in report.findings[0].message
    assert "there are only 48 batches" in report.findings[0].message
    model = pasted(report, model)
    report = watched(model, X, LABELS, epochs=12)
    assert report.findings == []
    assert report.trace.logs["accuracy"][-1] > 0.8


def test_an_update_of_as_many_batches_as_the_run_has_is_made():
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=48)
    report = watched(classifier(optimizer=optimizer), X, LABELS, epochs=3)
    assert len(report.trace.steps) == 1
    assert ("update_ratio", "accumulation") not in kinds(report)


@pytest.mark.parametrize("one_hot", [False, True])
def test_labels_that_are_all_the_same_are_told(one_hot):
    labels = np.ones(512, int)
    model = classifier(units=4)
    if one_hot:
        labels = keras.utils.to_categorical(labels, 4)
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    assert kinds(kgg.check(model, X, labels)) == [
        ("output_mismatch", "one_label")
    ]
    report = watched(model, X, labels, epochs=12)
    assert kinds(report) == [("output_mismatch", "one_label")]
    assert "nothing to learn" in report.findings[0].message
    assert report.healthy is False


def test_a_rare_label_and_a_generator_are_no_single_label():
    labels = np.zeros(512, int)
    labels[::100] = 1
    report = watched(classifier(), X, labels, epochs=12)
    assert ("output_mismatch", "one_label") not in kinds(report)
    judge = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    judge.trainable = False
    start = keras.Input((6,))
    model = keras.Model(start, judge(layers.Dense(4)(start)))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    for report in (
        kgg.check(model, X, np.ones(512)),
        watched(model, X, np.ones(512), epochs=12),
    ):
        assert ("output_mismatch", "one_label") not in kinds(report)


def test_scores_multiplied_until_no_gradient_is_left_are_told_early():
    model = classifier(layers.Rescaling(1000.0))
    report = watched(model, X, LABELS, epochs=20)
    assert kinds(report)[0] == ("saturated_activation", "sure_output")
    found = report.ranked[0]
    assert found.evidence["window"]["last_step"] <= 0.1 * 320
    assert "They are multiplied by 1,000 before." in found.message
    keras.utils.set_random_seed(1)
    model = pasted(report, model)
    assert watched(model, X, LABELS, epochs=20).trace.logs["accuracy"][-1] > 0.8


def test_a_temperature_that_leaves_gradients_is_no_fault():
    report = watched(classifier(layers.Rescaling(5.0)), X, LABELS, epochs=20)
    assert report.findings == []


def test_an_exponential_of_large_inputs_asks_for_inputs_of_unit_scale():
    def net():
        model = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(16, "relu"),
                layers.Dense(1, "exponential"),
            ]
        )
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    x, y = X * 40, np.exp(X[:, :1] / 2)
    report = kgg.check(net(), x, y)
    assert kinds(report) == [("exploding_gradient", "at_start")]
    first, second = report.findings[0].remedies[:2]
    assert first.title == "Normalize the inputs"
    assert second.title == "Give the output layer softplus activation"
    report = watched(net(), x, y, epochs=3)
    assert report.healthy is False
    names = {"x": x, "np": np}
    remedy = report.ranked[0].remedies[0]
    assert remedy.title == "Normalize the inputs"
    exec(remedy.code, names)
    keras.utils.set_random_seed(1)
    report = watched(net(), names["x"], y, epochs=40)
    assert report.trace.logs["loss"][-1] < 0.2 * np.var(y)


def test_weights_that_may_not_be_negative_where_the_answer_falls():
    def net(**held):
        model = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(16, "relu", **held, name="hidden"),
                layers.Dense(1, **held, name="answer"),
            ]
        )
        model.compile(keras.optimizers.Adam(0.003), "mse")
        return model

    y = -np.abs(X[:, :1] * 2)
    report = watched(net(kernel_constraint="non_neg"), X, y, epochs=20)
    assert kinds(report)[0] == ("update_ratio", "constraint")
    assert "at 0 and above" in report.ranked[0].message
    keras.utils.set_random_seed(1)
    healed = pasted(report, net(kernel_constraint="non_neg"))
    logs = watched(healed, X, y, epochs=40).trace.logs
    assert logs["loss"][-1] < 0.5 * np.var(y)
    # What rises with each input is what such weights are for.
    keras.utils.set_random_seed(1)
    rises = np.maximum(X[:, :1] + X[:, 1:2], 0)
    report = watched(net(kernel_constraint="non_neg"), X, rises, epochs=20)
    assert ("update_ratio", "constraint") not in kinds(report)


def test_the_logarithm_of_a_negative_number_leads():
    start = keras.Input((6,))
    model = keras.Model(start, layers.Dense(2)(layers.Dense(16)(start)))

    def nll(wanted, given):
        spread = given[:, 1:]
        off = (wanted - given[:, :1]) / spread
        return ops.mean(ops.log(spread) + 0.5 * off**2)

    model.compile("adam", nll)
    report = watched(model, X, SUMS, epochs=20)
    first = report.ranked[0]
    assert (first.rule, first.cause) == ("nonfinite_gradient", None)
    leads = {f.rule for f in report.findings if f.cause is None}
    assert {f.cause for f in report.findings if f.cause} <= leads


def test_a_symptom_is_resolved_where_the_loss_fell_most_of_the_way_at_last():
    x = np.linspace(-1, 1, 600)[:, None].astype("float32")
    model = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(32, "tanh"),
            layers.Dense(32, "tanh"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "mse")
    report = watched(model, x, np.sin(6 * x), epochs=40)
    assert report.trace.logs["loss"][-1] < 0.2
    assert report.findings == []
    assert report.healthy is True


def test_logarithms_under_a_loss_of_probabilities_are_told_at_once():
    start = keras.Input((6,))
    model = keras.Model(start, layers.Dense(3, "log_softmax")(start))
    model.compile("adam", "sparse_categorical_crossentropy")
    report = watched(model, X, LABELS, epochs=1)
    assert kinds(report) == [("output_mismatch", "no_probabilities")]
    assert report.findings[0].evidence["window"]["last_step"] == 0


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (keras.optimizers.RMSprop(0.003, momentum=0.999), True),
        (keras.optimizers.SGD(0.1, momentum=0.999), True),
        (keras.optimizers.SGD(0.005, momentum=0.99999), True),
        (keras.optimizers.RMSprop(0.01, momentum=0.9), False),
        # As image nets are trained.
        (keras.optimizers.RMSprop(0.19, 0.9, 0.9, epsilon=1e-3), False),
        (keras.optimizers.SGD(0.1, momentum=0.99), False),
        (keras.optimizers.SGD(1e-4, momentum=0.9999), False),
    ],
)
def test_a_momentum_that_alone_is_too_large_is_to_be_lowered(optimizer, told):
    model = classifier(optimizer=optimizer)
    report = watched(model, X, LABELS, epochs=1)
    found = [f for f in report.findings if f.evidence.get("momentum")]
    assert bool(found) is told
    if not told:
        return
    assert found[0].evidence["effective_rate"] > 1
    assert found[0].remedies[0].title == "Lower the momentum to 0.9"
    names = {"model": model, "keras": keras}
    exec(found[0].remedies[0].code, names)
    keras.utils.set_random_seed(1)
    model = keras.models.clone_model(names["model"])
    model.compile(
        type(optimizer).from_config(names["model"].optimizer.get_config()),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    logs = watched(model, X, LABELS, epochs=15).trace.logs
    assert logs["accuracy"][-1] > 0.8


def test_steps_of_adadelta_as_it_comes_are_told_before_the_loss_shows():
    model = classifier(optimizer=keras.optimizers.Adadelta())
    report = watched(model, X, LABELS, epochs=30)
    assert kinds(report)[0] == ("update_ratio", "reach")
    assert report.ranked[0].evidence["window"]["last_step"] <= 0.05 * 480


def test_all_layers_whose_biases_start_far_are_named_at_once():
    far = keras.initializers.Constant(-50.0)
    start = keras.Input((6,))
    hidden = layers.Dense(16, "relu", bias_initializer=far, name="one")(start)
    hidden = layers.Dense(16, "relu", bias_initializer=far, name="two")(hidden)
    level = keras.initializers.Constant(40.0)
    end = layers.Dense(1, bias_initializer=level, name="end")(hidden)
    model = keras.Model(start, end)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    report = kgg.check(model, X, SUMS + 40)
    dead = next(f for f in report.findings if f.rule == "dead_relu")
    title = "Start the biases of one, two at zero"
    assert dead.remedies[0].title == title
    report = watched(model, X, SUMS + 40, epochs=4)
    dead = next(f for f in report.findings if f.rule == "dead_relu")
    assert dead.remedies[0].title == title
    names = {"model": model, "keras": keras, "kgg": kgg}
    exec(dead.remedies[0].code, names)
    keras.utils.set_random_seed(1)
    logs = watched(names["model"], X, SUMS + 40, epochs=20).trace.logs
    assert logs["loss"][-1] < 0.2 * np.var(SUMS)
