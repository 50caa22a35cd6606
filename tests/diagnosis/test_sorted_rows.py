"""Rows that are sorted by class, and not shuffled."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_gradguard as kgg

# Rules are judged here, and no backend.
pytestmark = pytest.mark.once


def digits():
    images, numbers = load_digits(return_X_y=True)
    return images.astype("float32") / 16, numbers


def halves():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 12)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("float32")


def trained(x, y, rate, shuffle, units=10, epochs=6):
    keras.utils.set_random_seed(1)
    hidden = keras.layers.Dense(32, "relu")
    end = ("softmax", "sparse_categorical_crossentropy")
    end = ("sigmoid", "binary_crossentropy") if units == 1 else end
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), hidden, keras.layers.Dense(units, end[0])]
    )
    model.compile(keras.optimizers.Adam(rate), end[1])
    monitor = kgg.GradientMonitor(verbose=0)
    order = np.argsort(y, kind="stable")
    model.fit(
        x[order],
        y[order],
        epochs=epochs,
        shuffle=shuffle,
        verbose=0,
        callbacks=[monitor],
    )
    return monitor.report()


@pytest.mark.parametrize(
    ("data", "rate", "units", "epochs"),
    [(digits, 0.01, 10, 6), (digits, 0.03, 10, 4), (halves, 0.01, 1, 8)],
)
def test_rows_sorted_by_class_are_named(data, rate, units, epochs):
    report = trained(*data(), rate, False, units, epochs)
    first = report.ranked[0]
    assert (first.rule, first.evidence["kind"]) == (
        "output_mismatch",
        "sorted_rows",
    )
    assert first.evidence["share"] > 0.9
    assert "permutation" in first.remedies[0].code


def test_the_same_rows_in_any_order_are_not():
    report = trained(*digits(), 0.01, True)
    assert report.findings == []
    report = trained(*halves(), 0.01, True, 1, 8)
    kinds = [f.evidence.get("kind") for f in report.findings]
    assert "sorted_rows" not in kinds


def test_check_blames_the_data_where_all_outputs_are_at_one_end():
    """The loss depends on the weights, but has no slope at exactly 0 or 1."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** np.array([3, 2.7, 0, -2, -2.4])
    x = (sizes * rng.lognormal(0, 0.3, size=(200, 5))).astype("float32")
    y = (x[:, 2] > 1).astype("float32")
    told = []
    for seed in range(4):
        keras.utils.set_random_seed(seed)
        hidden = [keras.layers.Dense(16, "relu") for _ in range(2)]
        out = keras.layers.Dense(1, "sigmoid")
        model = keras.Sequential([keras.Input((5,)), *hidden, out])
        model.compile("sgd", "binary_crossentropy")
        told += [f.rule for f in kgg.check(model, x, y).ranked[:1]]
    assert told == ["unscaled_data"] * 4
