"""Layers behind the probabilities, and percentages of zero."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import keras_gradguard as kgg

# Rules are judged here, and no backend.
pytestmark = pytest.mark.once

KIND = "output_mismatch"


def digits():
    images, numbers = load_digits(return_X_y=True)
    return images.astype("float32")[:900] / 16, numbers[:900]


def told(model, x, y, epochs=6):
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor.report().ranked, kgg.check(model, x, y).ranked


def of(*last, shape=(64,)):
    keras.utils.set_random_seed(1)
    hidden = layers.Dense(32, "relu")
    return keras.Sequential([keras.Input(shape), hidden, *last])


@pytest.mark.parametrize(
    ("behind", "kind"),
    [
        (lambda: layers.Dropout(0.5), "dropped_output"),
        (lambda: layers.GaussianNoise(0.3), "dropped_output"),
        (lambda: layers.BatchNormalization(), "normalized_output"),
        (lambda: layers.LayerNormalization(), "normalized_output"),
    ],
)
def test_what_comes_behind_probabilities_is_named(behind, kind):
    x, y = digits()
    model = of(layers.Dense(10, "softmax"), behind())
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy"
    )
    found = kgg.check(model, x, y).ranked[0]
    assert (found.rule, found.evidence["kind"]) == (KIND, kind)
    ranked, _ = told(model, x, y)
    if kind == "dropped_output":
        assert ranked[0].evidence["kind"] == kind
    healed = {"model": model}
    exec(found.remedies[0].code, healed)
    ranked, _ = told(healed["model"], x, y, epochs=12)
    assert ranked == []


def test_before_the_probabilities_they_are_usual():
    x, y = digits()
    loss = keras.losses.SparseCategoricalCrossentropy
    ends = [
        ([layers.Dense(10), layers.BatchNormalization(), layers.Softmax()], 0),
        ([layers.Dropout(0.2), layers.Dense(10, "softmax")], 0),
        ([layers.Dense(10), layers.BatchNormalization()], 1),
    ]
    for last, logits in ends:
        model = of(*last)
        model.compile("adam", loss(from_logits=bool(logits)))
        assert kgg.check(model, x, y).findings == []


def test_a_percentage_of_zero():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype("float32")
    for y, kinds in (
        (np.maximum(0, x[:, :1]), ["percentage_of_zero"]),
        (2 + np.abs(x[:, :1]), []),
    ):
        model = of(layers.Dense(1), shape=(6,))
        model.compile("adam", "mape")
        for ranked in told(model, x, y):
            got = [f.evidence.get("kind") for f in ranked if f.rule == KIND]
            assert got == kinds
