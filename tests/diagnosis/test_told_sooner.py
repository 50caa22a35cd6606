"""Mistakes that were told late, and are told as soon as they show."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted
from tests.diagnosis.test_told_of_first_mistakes import columns

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def told(model, x, y, **fit):
    """Return the findings in the order in which they were raised."""
    heard = []
    monitor = kgg.GradientMonitor(verbose=0, on_finding=heard.append)
    model.fit(x, y, **{"verbose": 0, **fit}, callbacks=[monitor])
    return heard, monitor.report()


class Step(keras.Model):
    """A train step of one's own, as tutorials for torch have it."""

    def __init__(self, units=(32, 32)):
        super().__init__()
        self.hidden = [layers.Dense(n, "silu") for n in units]
        self.end = layers.Dense(1)

    def call(self, x):
        for layer in self.hidden:
            x = layer(x)
        return self.end(x)

    def learn(self, data):
        x, y = data
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        weights = self.trainable_weights
        self.optimizer.apply([v.value.grad for v in weights], weights)
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result()}


class Uncleared(Step):
    def train_step(self, data):
        return self.learn(data)


class Cleared(Step):
    def train_step(self, data):
        self.zero_grad()
        return self.learn(data)


class ClearedByHand(Step):
    def forget(self):
        for variable in self.trainable_weights:
            variable.value.grad = None

    def train_step(self, data):
        self.forget()
        return self.learn(data)


def stepwise(kind, optimizer, units=(32, 32)):
    x, y = columns()
    model = kind(units)
    model.compile(optimizer, "mse")
    return model, x, y


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Only there gradients add up."
)
@pytest.mark.parametrize(
    ("optimizer", "units"),
    [
        (keras.optimizers.SGD(0.05), (32, 32)),
        (keras.optimizers.SGD(0.01, momentum=0.9), (16,)),
        (keras.optimizers.Adam(0.003), (32, 32, 32)),
    ],
)
def test_gradients_that_are_never_cleared_are_told(optimizer, units):
    model, x, y = stepwise(Uncleared, optimizer, units)
    heard, _ = told(model, x, y, epochs=15)
    first = heard[0]
    assert (first.rule, first.evidence["kind"]) == ("update_ratio", "uncleared")
    assert first.evidence["window"]["last_step"] < 10
    rate = float(optimizer.learning_rate)
    model, x, y = stepwise(Uncleared, type(optimizer)(rate), units)
    exec(first.remedies[0].code, {"model": model})
    losses = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Only there gradients add up."
)
@pytest.mark.parametrize("kind", [Cleared, ClearedByHand])
def test_gradients_that_are_cleared_are_fine(kind):
    model, x, y = stepwise(kind, keras.optimizers.SGD(0.05))
    assert fitted(model, x, y, epochs=15).findings == []
