"""Rows that were shuffled apart, losses turned round, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once

SPARSE = "sparse_categorical_crossentropy"


def seen(stack, loss, x, y, epochs, rate=3e-3):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack])
    metrics = ["accuracy"] if loss == SPARSE else []
    model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="stop")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor.report()


def kinds(report):
    return [finding.evidence.get("kind") for finding in report.ranked]


# Rows of x and y that were shuffled apart


def waves():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 4, 512)
    time = (y[:, None] + 1) * np.arange(24) / 24 + rng.random((512, 1))
    x = np.sin(2 * np.pi * time) + 0.3 * rng.normal(size=(512, 24))
    stack = [
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(16, "relu"),
        layers.Dense(4, "softmax"),
    ]
    return x[..., None].astype("float32"), y, stack, SPARSE


def stripes():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 512)
    place = np.arange(10)
    down, along = np.broadcast_arrays(place[:, None], place[None])
    x = np.stack([down, along, down + along])[y]
    x = np.sin(1.3 * x + 6 * rng.random((512, 1, 1)))
    x = x + 0.3 * rng.normal(size=x.shape)
    stack = [
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(8, "relu"),
        layers.Dense(3, "softmax"),
    ]
    return x[..., None].astype("float32"), y, stack, SPARSE


@pytest.mark.parametrize("data", [waves, stripes])
@pytest.mark.parametrize("apart", [True, False])
def test_rows_that_were_shuffled_apart_are_told(data, apart):
    x, y, stack, loss = data()
    if apart:
        y = np.random.default_rng(5).permutation(y)
    report = seen(stack, loss, x, y, 24, 5e-3)
    assert ("unrelated" in kinds(report)) == apart
    assert (report.healthy is False) == apart
    if apart:
        assert "shuffled or sorted apart" in report.ranked[0].message


def faint_numbers():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1024, 8))
    y = np.sin(1.5 * x[:, :1]) + 2.5 * rng.normal(size=(1024, 1))
    stack = [layers.Dense(24, "relu"), layers.Dense(12, "relu")]
    return x.astype("float32"), y, [*stack, layers.Dense(1)], "mse"


def clicks():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1024, 12))
    likely = 1 / (1 + np.exp(0.3 * (x[:, 1] - x[:, 0])))
    y = (rng.random(1024) < likely).astype("float32")
    stack = [layers.Dense(32, "relu"), layers.Dense(1, "sigmoid")]
    return x.astype("float32"), y, stack, "binary_crossentropy"


@pytest.mark.parametrize("data", [faint_numbers, clicks])
def test_what_is_told_faintly_is_left_alone(data):
    x, y, stack, loss = data()
    report = seen(stack, loss, x, y, 16, 2e-3)
    assert report.findings == []


# A loss that is small where outputs and targets are least alike


def masks():
    rng = np.random.default_rng(4)
    x = 0.3 * rng.normal(size=(256, 10, 10, 1))
    y = np.zeros_like(x)
    for mask, (row, column) in zip(
        y, rng.integers(0, 6, (256, 2)), strict=True
    ):
        mask[row : row + 4, column : column + 4] = 1
    stack = [
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    ]
    return (x + y).astype("float32"), y.astype("float32"), stack


def shares():
    rng = np.random.default_rng(4)
    code = rng.random((512, 3))
    x = np.clip(code @ rng.random((3, 24)) / 2 - 0.2, 0, 1).astype("float32")
    stack = [layers.Dense(16, "relu"), layers.Dense(24, "sigmoid")]
    return x, x, stack


def overlap(t, p):
    axes = tuple(range(1, len(p.shape)))
    both = 2 * ops.sum(t * p, axes) + 1
    return ops.mean(both / (ops.sum(t, axes) + ops.sum(p, axes) + 1))


def likeness(t, p):
    t, p = t - 0.3, p - 0.3
    size = ops.sqrt(ops.sum(t * t, -1) * ops.sum(p * p, -1) + 1e-6)
    return ops.mean(ops.sum(t * p, -1) / size)


@pytest.mark.parametrize(
    ("data", "alike"), [(masks, overlap), (shares, likeness)]
)
@pytest.mark.parametrize("turned", [True, False])
def test_a_likeness_that_is_made_small_is_told(data, alike, turned):
    x, y, stack = data()

    def loss(t, p):
        return alike(t, p) if turned else 1 - alike(t, p)

    # A sound one is trained for as many steps as any rule needs.
    epochs = 40 if turned else 16
    report = seen(stack, loss, x, y, epochs, rate=1e-2)
    assert ("turned_round" in kinds(report)) == turned
    assert (report.healthy is False) == turned


def test_the_advice_for_a_turned_loss_makes_it_learn():
    x, y, stack = masks()
    report = seen(stack, lambda t, p: overlap(t, p), x, y, 40, rate=1e-2)
    model = keras.Sequential([keras.Input(x.shape[1:]), *masks()[2]])
    model.compile(keras.optimizers.Adam(1e-2), overlap)
    exec(report.ranked[0].remedies[0].code, {"model": model, "keras": keras})
    model.fit(x, y, epochs=20, verbose=0)
    given = model.predict(x, verbose=0)
    assert np.corrcoef(given.ravel(), y.ravel())[0, 1] > 0.8


def test_shares_of_what_costs_least_go_against_the_costs():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(512, 6)).astype("float32")
    costs = np.abs(x @ rng.normal(size=(6, 4))).astype("float32")
    costs /= costs.max()
    stack = [layers.Dense(24, "relu"), layers.Dense(4, "softmax")]
    report = seen(stack, lambda t, p: ops.sum(t * p, -1), x, costs, 12)
    assert report.ranked == []


# Distances go beyond 1, and against targets of 1 for what is alike


def test_a_distance_is_no_output_without_bounds():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 2, 6))
    y = rng.integers(0, 2, (600, 1))
    x[:, 1] = np.where(y == 1, x[:, 0], x[:, 1]) + 0.2 * x[:, 1]
    one, other = keras.Input((6,)), keras.Input((6,))
    body = keras.Sequential([layers.Dense(24, "relu"), layers.Dense(8)])

    def apart(both):
        gap = ops.square(both[0] - both[1])
        return ops.sqrt(ops.sum(gap, -1, keepdims=True) + 1e-6)

    def contrast(t, p):
        far = ops.square(ops.relu(2 - p))
        return ops.mean(t * p * p + (1 - t) * far)

    keras.utils.set_random_seed(3)
    far = layers.Lambda(apart, output_shape=(1,))
    model = keras.Model([one, other], far([body(one), body(other)]))
    model.compile(keras.optimizers.Adam(1e-3), contrast)
    monitor = kgg.GradientMonitor(verbose=0)
    data = [x[:, 0].astype("float32"), x[:, 1].astype("float32")]
    model.fit(
        data, y.astype("float32"), epochs=20, verbose=0, callbacks=[monitor]
    )
    assert monitor.report().ranked == []
