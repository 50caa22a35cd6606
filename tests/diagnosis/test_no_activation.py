"""Hidden layers with no activation between them are one linear layer."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits
from sklearn.datasets import make_circles

import keras_gradguard as kgg
from keras_gradguard.models.linear import linear_layers

# Rules are judged here, and no backend.
pytestmark = pytest.mark.once


def circles():
    x, y = make_circles(600, noise=0.05, factor=0.5, random_state=1)
    return x, y, "sigmoid", "binary_crossentropy"


def squares():
    x = np.random.default_rng(0).normal(size=(600, 3)).astype("float32")
    return x, (x**2).sum(1, keepdims=True), None, "mse"


def planes():
    x = np.random.default_rng(0).normal(size=(600, 3)).astype("float32")
    noise = np.random.default_rng(1).normal(size=(600, 1))
    return x, x[:, :1] - x[:, 1:2] + 2 * noise, None, "mse"


def told(data, activation=None, rate=0.01, epochs=20, hidden=2):
    keras.utils.set_random_seed(1)
    x, y, last, loss = data()
    deep = [layers.Dense(16, activation) for _ in range(hidden)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *deep])
    model.add(layers.Dense(1, last))
    model.compile(keras.optimizers.Adam(rate), loss)
    monitor = kgg.GradientMonitor(verbose=0)
    fit = {"epochs": epochs, "verbose": 0, "callbacks": [monitor]}
    model.fit(x, y, **fit)
    return model, x, y, monitor.report()


@pytest.mark.parametrize("hidden", [1, 2, 4])
@pytest.mark.parametrize("data", [circles, squares])
def test_a_model_that_is_one_line_is_named(data, hidden):
    model, x, y, report = told(data, hidden=hidden)
    first = report.ranked[0]
    assert (first.rule, first.evidence["kind"]) == (
        "poor_initialization",
        "no_activation",
    )
    assert len(first.layers) == hidden
    healed = {"model": model}
    exec(first.remedies[0].code, healed)
    model = healed["model"]
    loss = model.loss
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert not any("no activation" in n for n in kgg.check(model, x, y).notes)


def test_what_a_line_can_tell_is_learnt():
    *_, report = told(planes)
    assert report.findings == []
    *_, report = told(circles, "relu", epochs=40)
    assert report.findings == []


def test_a_rate_that_is_too_low_is_told_as_that():
    *_, report = told(squares, rate=1e-6)
    kinds = [f.evidence.get("kind") for f in report.findings]
    assert report.findings
    assert "no_activation" not in kinds


@pytest.mark.parametrize(
    ("between", "found"),
    [
        (lambda: [layers.Dropout(0.5)], 2),
        (lambda: [layers.BatchNormalization()], 2),
        (lambda: [layers.ReLU()], 0),
        (lambda: [layers.Dense(3, "softmax")], 0),
        (lambda: [layers.LayerNormalization()], 0),
        (lambda: [layers.Lambda(lambda x: x * x)], 0),
    ],
)
def test_layers_between_which_nothing_bends_the_signal(between, found):
    hidden = [layers.Dense(4), *between(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2)])
    assert len(linear_layers(model)) == found


def test_nothing_is_hidden_in_one_layer():
    assert (
        linear_layers(keras.Sequential([keras.Input((6,)), layers.Dense(2)]))
        == []
    )


def test_operations_of_a_graph_bend_it():
    given = keras.Input((4,))
    bent = keras.ops.relu(layers.Dense(5)(given))
    model = keras.Model(given, layers.Dense(1)(layers.Dense(3)(bent)))
    assert linear_layers(model) == []


def test_check_says_it_in_a_note():
    x, numbers = load_digits(return_X_y=True)
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(32), layers.Dense(10, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    report = kgg.check(model, x / 16, numbers)
    assert report.findings == []
    assert any("no activation" in note for note in report.notes)
