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


class EachSecond(Step):
    """Sums the gradients of two batches, and clears them behind an update."""

    batches = 0

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        (loss / 2).backward()
        self.batches += 1
        if self.batches % 2 == 0:
            weights = self.trainable_weights
            self.optimizer.apply([v.value.grad for v in weights], weights)
            self.zero_grad()
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result()}


class Sometimes(Step):
    """May clear gradients, and does not."""

    clears = False

    def train_step(self, data):
        if self.clears:
            self.zero_grad()
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
    kind = Uncleared if len(units) > 1 else Sometimes
    model, x, y = stepwise(kind, optimizer, units)
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
@pytest.mark.parametrize("kind", [Cleared, ClearedByHand, EachSecond])
def test_gradients_that_are_cleared_are_fine(kind):
    model, x, y = stepwise(kind, keras.optimizers.SGD(0.05))
    assert fitted(model, x, y, epochs=15).findings == []


def step_of(finding):
    return finding.evidence["window"]["last_step"]


# The same batch again and again


def wheels(count=480):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8)).astype("float32")
    return x, np.argmax(x[:, :4] + x[:, 4:], axis=1).astype("int32")


def again(x, y, rows=24):
    """A reader that begins anew for each batch."""
    while True:
        yield x[:rows], y[:rows]


def by_reader(loss, units, end):
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(48, "relu"), layers.Dense(units, end)]
    )
    scores = ["accuracy"] if end else []
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=scores)
    return model


@pytest.mark.parametrize("kind", ["classes", "numbers", "yes and no"])
def test_a_reader_that_begins_anew_is_told(kind):
    x, y = wheels()
    if kind == "classes":
        model = by_reader("sparse_categorical_crossentropy", 4, "softmax")
    elif kind == "numbers":
        model = by_reader("mse", 1, None)
        y = (x[:, :1] * x[:, 1:2]).astype("float32")
    else:
        model = by_reader("binary_crossentropy", 1, "sigmoid")
        y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
    heard, report = told(
        model,
        again(x, y),
        None,
        epochs=20,
        steps_per_epoch=15,
        validation_data=(x[240:], y[240:]),
    )
    assert kinds(report)[0] == ("output_mismatch", "one_batch")
    assert step_of(heard[0]) < 150


@pytest.mark.parametrize("kind", ["all rows", "one on purpose", "full batches"])
def test_rows_that_are_meant_so_are_fine(kind):
    x, y = wheels()
    model = by_reader("sparse_categorical_crossentropy", 4, "softmax")
    how = {"epochs": 12, "validation_data": (x[360:], y[360:])}
    if kind == "one on purpose":
        how = {"epochs": 12, "steps_per_epoch": 15}
        heard, _ = told(model, again(x, y), None, **how)
    else:
        rows = 24 if kind == "all rows" else 360
        how |= {"batch_size": rows, "epochs": 12 if rows == 24 else 150}
        heard, _ = told(model, x[:360], y[:360], **how)
    assert heard == []


# Weights far too wide, rates that end, losses without a floor


@pytest.mark.parametrize(
    ("gain", "depth", "activation"),
    [(12, 5, "tanh"), (15, 4, "sigmoid"), (20, 3, "tanh")],
)
def test_kernels_far_too_wide_are_told_before_a_tenth(gain, depth, activation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 9)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
    start = keras.initializers.Orthogonal(gain)
    hidden = [
        layers.Dense(32, activation, kernel_initializer=start)
        for _ in range(depth)
    ]
    model = keras.Sequential(
        [keras.Input((9,)), *hidden, layers.Dense(1, "sigmoid")]
    )
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(optimizer, "binary_crossentropy")
    heard, _ = told(model, x, y, epochs=40, batch_size=32)
    assert heard[0].rule in ("poor_initialization", "saturated_activation")
    assert step_of(heard[0]) <= 80


@pytest.mark.parametrize("factor", [0.1, 0.05, 0.02])
def test_a_callback_that_multiplies_again_is_told_with_the_logs(factor):
    x, y = columns()
    model = keras.Sequential(
        [keras.Input((10,)), layers.Dense(32, "relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    lower = keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: rate * factor**epoch
    )
    heard = []
    monitor = kgg.GradientMonitor(verbose=0, on_finding=heard.append)
    model.fit(x, y, epochs=15, verbose=0, callbacks=[lower, monitor])
    kind = heard[0].evidence["kind"]
    assert (heard[0].rule, kind) == ("update_ratio", "schedule")
    assert step_of(heard[0]) <= 60


def pinball(quantile):
    def loss(true, given):
        left = given - true
        return keras.ops.mean(
            keras.ops.minimum(quantile * left, (quantile - 1) * left)
        )

    return loss


@pytest.mark.parametrize("quantile", [0.9, 0.5, 0.2])
def test_a_loss_without_a_floor_is_told_by_the_first_wide_look(quantile):
    x, y = columns(800)
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "gelu"),
            layers.Dense(32, "gelu"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), pinball(quantile))
    heard, _ = told(model, x, y, epochs=20, batch_size=32)
    assert heard[0].evidence["kind"] == "no_floor"
    assert step_of(heard[0]) <= 80


# What cannot be learnt


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_is_not_told_to_be_learnt_too_slowly(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(960, 8)).astype("float32")
    y = rng.normal(size=(960, 1)).astype("float32")
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, "tanh"), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    report = fitted(model, x, y, epochs=20)
    assert not any("too slowly" in f.message for f in report.findings)
    titles = [r.title for f in report.findings for r in f.remedies]
    assert not any("learning rate" in title for title in titles)
