"""Kinds of faults that an eighth set of programs showed to be missed."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops
from sklearn.datasets import load_digits

import keras_gradguard as kgg
from keras_gradguard.diagnosis.evidence.learning import planned_steps

# Rules are judged here, and no backend.
pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
X = RNG.normal(size=(640, 12, 3)).astype("float32")
Y = (X[:, :, 0].mean(1) > 0).astype("int32") + (X[:, 0, 1] > 0)
Z = (np.tanh(X[:, 0, :1]) + X[:, 1, 1:2]).astype("float32")


# Of sound runs, enough for every rule to be sure.
ENOUGH = 8


def told(model, x, y, optimizer, loss, epochs=20, on_finding="stop", **fit):
    """Return the report of a run, which ends once a finding is confirmed."""
    model.compile(optimizer, loss, **fit.pop("compiled", {}))
    monitor = kgg.GradientMonitor(verbose=0, on_finding=on_finding)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor], **fit)
    return monitor.report()


def first_of(report):
    found = report.ranked[0]
    return found.rule, found.evidence.get("kind")


def kinds_of(report):
    return [finding.evidence.get("kind") for finding in report.findings]


def seen_at(report):
    """The share of the plan by which the first finding was seen."""
    step = report.ranked[0].evidence["window"]["last_step"]
    return (step + 1) / planned_steps(report.trace)


class Over(layers.Layer):
    """Reduces one axis and repeats what is left."""

    def __init__(self, how, axis):
        super().__init__()
        self.how, self.axis = how, axis

    def call(self, x):
        return self.how(x, axis=self.axis, keepdims=True) + 0 * x


def mixing(how, axis, recurrent=False):
    keras.utils.set_random_seed(1)
    first = layers.GRU(16, return_sequences=True)
    return keras.Sequential(
        [
            keras.Input((12, 3)),
            first if recurrent else layers.Conv1D(16, 3, activation="relu"),
            Over(how, axis),
            layers.GlobalAveragePooling1D(),
            layers.Dense(16, "relu"),
            layers.Dense(3, "softmax"),
        ]
    )


@pytest.mark.parametrize(
    ("how", "recurrent"), [(ops.mean, False), (ops.max, True), (ops.sum, False)]
)
def test_rows_that_are_mixed_with_each_other_are_named(how, recurrent):
    loss = "sparse_categorical_crossentropy"
    model = mixing(how, 0, recurrent)
    report = told(model, X, Y, keras.optimizers.Adam(3e-3), loss)
    assert first_of(report) == ("output_mismatch", "mixed_rows")
    assert "axis 0" in report.ranked[0].message
    assert seen_at(report) < 0.05
    model = mixing(how, 1, recurrent)
    report = told(model, X, Y, keras.optimizers.Adam(3e-3), loss, ENOUGH)
    assert "mixed_rows" not in kinds_of(report)


def test_the_code_shown_for_mixed_rows_tells_them(capsys):
    model = mixing(ops.mean, 0)
    loss = "sparse_categorical_crossentropy"
    report = told(model, X, Y, keras.optimizers.Adam(3e-3), loss)
    shown = []
    for net in (model, mixing(ops.mean, 1)):
        exec(report.ranked[0].remedies[0].code, {"model": net, "x": X})
        shown.append(float(capsys.readouterr().out))
    assert shown[0] > 1e-3 > 1e-5 > shown[1]


def test_large_targets_are_no_mixed_rows():
    """Outputs that differ by little beside the targets do differ."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    y = 3e6 * (1 + Z)
    report = told(model, X[:, 0], y, "adam", "mse", ENOUGH, "ignore")
    assert "mixed_rows" not in kinds_of(report)


def sorted_digits(rate, shuffle):
    images, numbers = load_digits(return_X_y=True)
    order = np.argsort(numbers, kind="stable")
    x = (images[order] / 16).astype("float32")
    y = keras.utils.to_categorical(numbers[order], 10)
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(32, "relu") for _ in range(2)]
    end = layers.Dense(10, "softmax")
    model = keras.Sequential([keras.Input((64,)), *hidden, end])
    sgd = keras.optimizers.SGD(rate, momentum=0.9)
    loss = "categorical_crossentropy"
    return told(model, x, y, sgd, loss, 8, "ignore", shuffle=shuffle)


def test_sorted_rows_under_one_hot_targets_are_named():
    report = sorted_digits(0.2, False)
    assert first_of(report) == ("output_mismatch", "sorted_rows")
    assert report.ranked[0].evidence["share"] > 0.9
    assert "sorted_rows" not in kinds_of(sorted_digits(0.05, True))


def test_a_class_that_is_nearly_all_is_no_sorted_row():
    y = np.zeros((640, 3))
    y[:, 0], y[::100] = 1, [0, 1, 0]
    hidden = [layers.Dense(16, "relu") for _ in range(3)]
    end = layers.Dense(3, "softmax")
    model = keras.Sequential([keras.Input((3,)), *hidden, end])
    adam = keras.optimizers.Adam(0.05)
    loss = "categorical_crossentropy"
    report = told(model, X[:, 0], y, adam, loss, ENOUGH, "ignore")
    assert "sorted_rows" not in kinds_of(report)


@pytest.mark.parametrize("rows", [[3], [3, 400], [0, 9, 600]])
def test_outliers_in_the_first_batch_are_named(rows):
    y = Z.copy()
    y[rows] = 1e6
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(32, "relu"), layers.Dense(1)]
    )
    adam = keras.optimizers.Adam(1e-3)
    report = told(model, X[:, 0], y, adam, "mse", shuffle=False)
    assert first_of(report) == ("unscaled_data", "outliers")
    assert seen_at(report) < 0.05


class Power(keras.losses.Loss):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) ** self.power, -1)


@pytest.mark.parametrize(
    ("power", "kind", "rate"),
    [(2, "relu", 3e-3), (1.5, "tanh", 5e-3), (2, "elu", 2e-3)],
)
def test_flat_targets_in_a_class_of_ones_own_are_named(power, kind, rate):
    def net():
        keras.utils.set_random_seed(1)
        hidden = [layers.Dense(32, kind) for _ in range(2)]
        return keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(1)])

    flat, x = Z[:, 0], np.concatenate([X[:, 0, :1], X[:, 1, 1:]], -1)
    adam = keras.optimizers.Adam
    report = told(net(), x, flat, adam(rate), Power(power))
    assert first_of(report) == ("output_mismatch", "broadcast")
    report = told(net(), x, Z, adam(rate), Power(power), ENOUGH)
    assert report.findings == []
    # Keras brings both to one rank before a function.
    call = Power(power).call
    report = told(net(), x, flat, adam(rate), lambda t, p: call(t, p), ENOUGH)
    assert report.findings == []


@functools.cache
def beside(factor, offset=0.0, join=None):
    keras.utils.set_random_seed(1)
    series, table = keras.Input((12, 3)), keras.Input((3,))
    a = layers.Conv1D(8, 3, activation="relu")(series)
    a = layers.GlobalAveragePooling1D()(a)
    b = layers.Dense(8, join)(table)
    h = layers.Dense(16, "relu")(layers.Concatenate()([a, b]))
    model = keras.Model([series, table], layers.Dense(1)(h))
    x = [X, factor * X[:, 1] + offset]
    return told(model, x, Z, keras.optimizers.Adam(3e-3), "mse")


@pytest.mark.parametrize(
    ("factor", "offset", "join"),
    [(1e5, 0, None), (3e4, 1e4, "relu"), (1e6, 0, "tanh")],
)
def test_a_second_input_that_is_far_too_large_is_named(factor, offset, join):
    report = beside(factor, offset, join)
    assert first_of(report) == ("unscaled_data", "large")
    assert "one of the inputs" in report.ranked[0].message
    assert beside(1.0).findings == []


@functools.cache
def price_and_more(heavy, rate):
    weights = {"again": heavy, "price": 1.0}
    keras.utils.set_random_seed(1)
    given = keras.Input((3,))
    h = layers.Dense(4, "tanh")(given)
    ends = {"again": layers.Dense(3, name="again")(h)}
    h = layers.Dense(16, "relu")(h)
    ends["price"] = layers.Dense(1, name="price")(h)
    y = {"again": X[:, 0], "price": Z}
    loss, compiled = {"again": "mse", "price": "mse"}, {"loss_weights": weights}
    model = keras.Model(given, ends)
    sgd = keras.optimizers.SGD(rate, momentum=0.9)
    report = told(model, X[:, 0], y, sgd, loss, 20, compiled=compiled)
    return model, report


@pytest.mark.parametrize("heavy", [1e4, 3e5])
def test_an_output_that_counts_for_nothing_is_named(heavy):
    model, report = price_and_more(heavy, 1e-2 / heavy)
    assert first_of(report) == ("update_ratio", "outvoted")
    found = report.ranked[0]
    assert found.evidence["output"] == "price"
    assert found.layers == ["price"]
    exec(found.remedies[0].code, {"model": model, "keras": keras})
    told_anew = found.remedies[0].code.rpartition('"again": ')[2]
    assert 0.1 < float(told_anew.partition(",")[0]) < 10
    _, report = price_and_more(1.0, 0.01)
    assert "outvoted" not in kinds_of(report)


class FarBelow(layers.Layer):
    """A rectifier of one's own that may start where it gives nothing."""

    def __init__(self, start, kind, **kwargs):
        super().__init__(**kwargs)
        self.start, self.kind = start, kind

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], 32), name="kernel")
        start = keras.initializers.Constant(self.start)
        self.bias = self.add_weight((32,), start, name="bias")

    def call(self, x):
        return self.kind(ops.matmul(x, self.kernel) + self.bias)


@pytest.mark.parametrize(
    ("start", "kind", "front", "then"),
    [
        (-9.0, ops.relu, False, "relu"),
        (-20.0, ops.relu6, True, "tanh"),
        (-500.0, ops.sigmoid, False, "relu"),
    ],
)
def test_an_own_layer_that_gives_nothing_is_drawn_anew(
    start, kind, front, then
):
    x = np.concatenate([X[:, 0, :1], X[:, 1, 1:]], -1)
    keras.utils.set_random_seed(1)
    first = [layers.Dense(16, "tanh")] if front else []
    own = FarBelow(start, kind, name="below")
    rest = [layers.Dense(16, then), layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *first, own, *rest])
    adam = keras.optimizers.Adam
    report = told(model, x, Z, adam(0.01), "mse")
    assert first_of(report) == ("frozen_layer", "gives_nothing")
    found = report.ranked[0]
    assert found.layers[0].endswith("below")
    assert seen_at(report) < 0.1
    exec(found.remedies[0].code, {"model": model, "keras": keras})
    assert told(model, x, Z, adam(0.01), "mse", ENOUGH).findings == []


def test_a_decay_of_a_few_percent_a_step_is_told_at_once():
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(32, "relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(1)])
    nadam = keras.optimizers.Nadam(3e-3, weight_decay=20.0)
    report = told(model, X[:, 0], Z, nadam, "mse")
    assert first_of(report) == ("update_ratio", "decay")
    assert seen_at(report) < 0.05


def test_dropout_that_needs_no_run_is_told_soon():
    keras.utils.set_random_seed(1)
    stack = [layers.Dense(32, "relu"), layers.Dropout(0.95)]
    end = layers.Dense(3, "softmax")
    model = keras.Sequential([keras.Input((3,)), *stack, end])
    loss = "sparse_categorical_crossentropy"
    report = told(model, X[:, 0], Y, "adam", loss)
    assert first_of(report) == ("update_ratio", "dropout")
    assert seen_at(report) < 0.2
