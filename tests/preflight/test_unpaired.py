"""Losses of the user's own that do not see which target is whose."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = (2 * X[:, 0] + np.abs(X[:, 1])).astype("float32")


class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.log(ops.cosh(y_true - y_pred)))


class OwnModel(keras.Model):
    def __init__(self, change):
        super().__init__()
        self.change = change
        self.hidden = layers.Dense(16, "tanh")
        self.drop = layers.Dropout(0.2)
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(self.drop(self.hidden(x)))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return ops.mean(ops.square(self.change(y, y_pred)))


def told(model, y, loss=None):
    keras.utils.set_random_seed(1)
    model.compile("adam", loss)
    report = kgg.check(model, X, y)
    return report, [f.evidence.get("kind") for f in report.findings]


def plain():
    hidden = layers.Dense(16, "relu")
    return keras.Sequential([keras.Input((4,)), hidden, layers.Dense(1)])


def test_a_loss_of_the_model_that_pairs_all_with_all_is_told():
    report, kinds = told(OwnModel(lambda y, p: y - p), Y)
    assert kinds == ["broadcast"]
    assert "change places" in report.findings[0].message
    names = {"y": Y}
    exec(report.findings[0].remedies[0].code, names)
    _, kinds = told(OwnModel(lambda y, p: y - p), names["y"])
    assert kinds == []


def test_a_loss_class_that_pairs_all_with_all_is_told():
    assert told(plain(), Y, OwnLoss())[1] == ["broadcast"]
    assert told(plain(), Y[:, None], OwnLoss())[1] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda y, p: y - p[:, 0],
        lambda y, p: ops.reshape(y, (-1, 1)) - p,
        # One that looks at no target sees no order of them.
        lambda y, p: p - 1,
    ],
)
def test_a_loss_that_sees_whose_a_target_is_is_silent(change):
    assert told(OwnModel(change), Y)[1] == []


def test_keras_brings_functions_to_one_shape_by_itself():
    def absolute(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred))

    assert told(plain(), Y, absolute)[1] == []
    assert told(plain(), Y, keras.losses.MeanSquaredError())[1] == []
