"""What is measured of batches and activations, against NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard import GradientMonitor
from keras_gradguard.models import activations as sites
from tests import models
from tests import params

BATCH, ROWS = 16, 48


def watched(model, x, y, loss, **arguments):
    """Train with steps of nothing, so that every batch meets one model."""
    model.compile(keras.optimizers.SGD(0.0), loss)
    monitor = GradientMonitor(verbose=0)
    model.fit(
        *(x, y),
        batch_size=BATCH,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
        **arguments,
    )
    return monitor.trace


def batches(trace, *arrays):
    """Yield the index of each measurement and the batch it was of."""
    per_epoch = ROWS // BATCH
    for at, step in enumerate(trace.activation_steps):
        part = int(step) % per_epoch
        rows = slice(part * BATCH, (part + 1) * BATCH)
        yield at, *(np.asarray(a[rows], np.float64) for a in arrays)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def assert_range(trace, at, part, values):
    seen = [
        trace.data(f"{part}_{n}")[at] for n in ("min", "max", "mean", "std")
    ]
    close(seen, [values.min(), values.max(), values.mean(), values.std()])


def spread(values):
    """Standard deviation over the batch of each entry of the last axis."""
    return values.reshape(-1, values.shape[-1]).std(axis=0)


def correlation(targets, outputs):
    targets, outputs = (v - v.mean(axis=0) for v in (targets, outputs))
    return (targets * outputs).sum() / np.sqrt(
        (targets**2).sum() * (outputs**2).sum()
    )


def assert_batches(trace, model, x, y, columns, loss):
    """Check all series of `Trace.data`.

    Args:
        columns: The targets as columns, one for each output.
        loss: Function of float64 columns and outputs.
    """
    outputs = model.predict(x, verbose=0)
    assert len(trace.activation_steps) >= 3
    for at, xs, ys, wanted, given in batches(trace, x, y, columns, outputs):
        assert_range(trace, at, "input", xs)
        scales = spread(xs)
        close(trace.data("feature_scale_min")[at], scales[scales > 0].min())
        close(trace.data("feature_scale_max")[at], scales.max())
        assert_range(trace, at, "target", ys)
        close(trace.data("target_fraction")[at], (ys != np.round(ys)).mean())
        if ys.ndim > 1 and ys.shape[-1] > 1:
            off = abs(ys.sum(axis=-1) - 1).max()
            close(trace.data("target_row_sum")[at], off)
        else:
            assert np.isnan(trace.data("target_row_sum")[at])
        assert_range(trace, at, "output", given)
        close(trace.data("output_spread")[at], spread(given).max())
        assert trace.data("samples")[at] == BATCH
        seen = trace.data("output_correlation")[at]
        np.testing.assert_allclose(seen, correlation(wanted, given), atol=1e-4)
        close(trace.data("loss")[at], loss(wanted, given))


def squared(targets, outputs):
    return np.mean((targets - outputs) ** 2)


def crossentropy(targets, outputs):
    return -np.mean((targets * np.log(outputs)).sum(axis=-1))


def numbers(shape, scale=3.0, shift=1.0, seed=0):
    random = np.random.default_rng(seed)
    return (shift + scale * random.normal(size=shape)).astype("float32")


def test_of_a_regression():
    keras.utils.set_random_seed(0)
    x, y = numbers((ROWS, 5)), numbers((ROWS, 2), seed=1)
    x[:, 3] = 2.0  # constant, so it has no scale
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(2)]
    )
    trace = watched(model, x, y, "mse")
    assert_batches(trace, model, x, y, y, squared)
    facts = trace.meta["data"]
    assert facts["input_shape"] == [5]
    assert facts["target_shape"] == facts["output_shape"] == [2]
    assert facts["weighted"] is False
    assert trace.meta["loss_weight"] == 1.0


@pytest.mark.parametrize("sparse", [False, True])
def test_of_classes(sparse):
    keras.utils.set_random_seed(0)
    x, y = models.dataset(ROWS)
    columns = np.eye(3, dtype="float32")[y]
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(8, "relu"),
            layers.Dense(3, "softmax"),
        ]
    )
    targets = y if sparse else columns
    kind = "sparse_categorical" if sparse else "categorical"
    trace = watched(model, x, targets, f"{kind}_crossentropy")
    assert_batches(trace, model, x, targets, columns, crossentropy)


def test_what_enters_recurrent_layers():
    keras.utils.set_random_seed(0)
    x, y = numbers((ROWS, 7, 3), scale=500.0), numbers((ROWS, 1), seed=1)
    inputs = keras.Input((7, 3))
    found = [
        layers.SimpleRNN(6)(inputs),
        layers.GRU(6)(inputs),
        layers.Bidirectional(layers.LSTM(6))(inputs),
        layers.RNN([layers.LSTMCell(4), layers.LSTMCell(6)])(inputs),
    ]
    outputs = layers.Dense(1)(layers.Concatenate()(found))
    model = keras.Model(inputs, outputs)
    trace = watched(model, x, y, "mse")
    assert_batches(trace, model, x, y, y, squared)
    assert trace.meta["data"]["input_shape"] == [7, 3]


def test_each_place_of_an_image_is_a_column():
    # A mean image for every input passed for something that was learnt.
    keras.utils.set_random_seed(0)
    x, y = numbers((ROWS, 6)), numbers((ROWS, 3, 4, 2), scale=0.5, seed=1)
    y += np.linspace(0, 9, 24, dtype="float32").reshape(3, 4, 2)
    last = layers.Dense(24, name="last")
    model = keras.Sequential(
        [keras.Input((6,)), last, layers.Reshape((3, 4, 2))]
    )
    for kernel in (0.05, 0.0):
        drawn = kernel * np.random.default_rng(2).normal(size=(6, 24))
        last.set_weights([drawn, y.mean(axis=0).ravel()])
        trace = watched(model, x, y, "mse")
        given = model.predict(x, verbose=0)
        for at, ys, outputs in batches(trace, y, given):
            ys, outputs = ys.reshape(BATCH, -1), outputs.reshape(BATCH, -1)
            scales = np.sqrt((ys.std(axis=0) ** 2).mean())
            close(trace.data("target_spread")[at], scales)
            spreads = outputs.std(axis=0).max()
            seen = trace.data("output_spread")[at]
            np.testing.assert_allclose(seen, spreads, rtol=1e-5, atol=1e-5)
            if kernel:
                follows = trace.data("output_correlation")[at]
                expected = correlation(ys, outputs)
                np.testing.assert_allclose(follows, expected, atol=1e-4)


def test_weights_of_the_loss_are_noted():
    x, y = numbers((ROWS, 5)), numbers((ROWS, 1), seed=1)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    trace = watched(model, x, y, "mse", sample_weight=np.full(ROWS, 100.0))
    assert trace.meta["data"]["weighted"] is True
    for weights in (100.0, [100.0]):
        model.compile("sgd", "mse", loss_weights=weights)
        monitor = GradientMonitor(verbose=0)
        model.fit(x, y, verbose=0, callbacks=[monitor])
        assert monitor.trace.meta["loss_weight"] == 100.0


def test_of_activations():
    keras.utils.set_random_seed(0)
    x, y = numbers((ROWS, 6, 6, 2), shift=-0.5), numbers((ROWS, 1), seed=1)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(5, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(9, "tanh", name="flat"),
            layers.Dense(7, name="plain"),
            layers.ReLU(name="relu"),
            layers.Dense(1, name="out"),
        ]
    )
    # Some units that are never active, and some always at their ends.
    kernel, bias = model.get_layer("plain").get_weights()
    bias[:3] = -1e3
    model.get_layer("plain").set_weights([kernel, bias])
    trace = watched(model, x, y, "mse")
    named = list(trace.sites)
    shown = keras.Model(
        model.inputs,
        {
            n: model.get_layer(n).output
            for n in ("conv", "flat", "plain", "relu")
        },
    ).predict(x, verbose=0)
    for name, values in shown.items():
        (column,) = [i for i, path in enumerate(named) if path.endswith(name)]
        low, high = sites._BOUNDS["tanh"]
        for at, part in batches(trace, values):
            seen = {
                series: trace.activation(series)[at, column]
                for series in ("mean", "std", "zero_fraction")
            }
            close(seen["mean"], part.mean())
            close(seen["std"], part.std())
            close(seen["zero_fraction"], (part == 0).mean())
            share = trace.activation("saturated_fraction")[at, column]
            if name == "flat":
                close(share, ((part < low) | (part > high)).mean())
            else:
                assert np.isnan(share)
            idle = trace.activation("inactive_fraction")[at, column]
            if name in ("conv", "relu"):
                units = part.reshape(-1, part.shape[-1])
                close(idle, (units == 0).all(axis=0).mean())
            else:
                assert np.isnan(idle)
    column = next(i for i, path in enumerate(named) if path.endswith("relu"))
    for at, part in batches(trace, shown["plain"]):
        close(trace.activation("input_std")[at, column], part.std())
    assert trace.activation("inactive_fraction")[0, column] > 3 / 7 - 1e-6


@pytest.mark.parametrize(
    "of",
    params.once_but(
        lambda of: of in ("one_hot", "places"),
        ["rows", "columns", "one_hot", "places", "wide"],
    ),
)
def test_what_targets_of_either_side_weigh(of):
    rng = np.random.default_rng(3)
    shape = (ROWS, 5) if of == "places" else (ROWS,)
    classes = rng.integers(0, 4, shape)
    classes[BATCH : 2 * BATCH] = 2  # none is above the mean
    weights = rng.uniform(0.1, 3.0, shape).astype("float32")
    if of == "places":
        model = keras.Sequential(
            [keras.Input((5, 3)), layers.Dense(4, activation="softmax")]
        )
        x = rng.normal(size=(ROWS, 5, 3)).astype("float32")
    else:
        model = models.mlp(6, 1, 3, 4)
        x = rng.normal(size=(ROWS, 3)).astype("float32")
    y = classes[:, None] if of == "columns" else classes
    loss = "sparse_categorical_crossentropy"
    if of == "one_hot":
        y, loss = keras.utils.to_categorical(classes, 4), loss[7:]
    given = weights[:, None] if of == "wide" else weights
    trace = watched(model, x, y, loss, sample_weight=given)
    for at, numbers, weigh in batches(trace, classes, weights):
        high = numbers > numbers.mean()
        names = ("weight_of_low", "weight_of_high", "share_of_high")
        expected = [
            weigh[~high].mean(),
            weigh[high].mean() if high.any() else np.nan,
            high.mean(),
        ]
        close([trace.data(name)[at] for name in names], expected)
    assert len(trace.activation_steps) > 2


def test_without_weights_nothing_is_said_of_them():
    x, y = np.zeros((ROWS, 3), "float32"), np.zeros(ROWS)
    model = models.mlp(6, 1, 3, 4)
    trace = watched(model, x, y, "sparse_categorical_crossentropy")
    assert np.isnan(trace.data("share_of_high")).all()
