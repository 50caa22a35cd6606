"""The series of three small runs, as they were when all was measured inside.

The files in `golden` were written by the release before the measurements
moved beside the train step: run this file with `KERAS_BACKEND` set and
`GRADGUARD_WRITE_GOLDEN=1` to write them anew.
"""

import os
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard import GradientMonitor
from tests import models

GOLDEN = pathlib.Path(__file__).parent / "golden"
BATCH, ROWS, EPOCHS = 16, 160, 2
# The activation series that every site has, and those of the batch.
_OF_SITES = ("mean", "std", "zero_fraction", "saturated_fraction")
_OF_DATA = (
    "loss",
    "input_min",
    "input_max",
    "input_mean",
    "input_std",
    "feature_scale_min",
    "feature_scale_max",
    "target_min",
    "target_max",
    "target_mean",
    "target_std",
    "target_fraction",
    "output_min",
    "output_max",
    "output_mean",
    "output_std",
    "output_spread",
    "samples",
    "output_correlation",
)


def dense():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(24, "relu"),
            layers.BatchNormalization(),
            layers.Dense(16, "tanh"),
            layers.Dropout(0.25, seed=5),
            layers.Dense(16, "sigmoid"),
            layers.Dense(3),
        ]
    )


def convolutional():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def attention():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(inputs)
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(x + attended)
    x = layers.Dense(12, "gelu")(x)
    x = layers.SimpleRNN(8)(x)
    return keras.Model(inputs, layers.Dense(3)(x))


RUNS = {
    "dense": (dense, models.dataset, lambda: keras.optimizers.SGD(0.05)),
    "convolutional": (
        convolutional,
        models.images,
        lambda: keras.optimizers.Adam(1e-3, clipnorm=1.0),
    ),
    "attention": (
        attention,
        models.tokens,
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
}


def series_of(name):
    """Train and return the series, by name."""
    make, data, optimizer = RUNS[name]
    keras.utils.set_random_seed(11)
    model = make()
    numbers = np.random.default_rng(3)
    for variable in model.trainable_variables:
        scale = 1.0 / np.sqrt(max(1, variable.shape[0]))
        if len(variable.shape) > 1:
            values = scale * numbers.normal(size=variable.shape)
            variable.assign(values.astype("float32"))
    model.compile(optimizer(), models.crossentropy())
    monitor = GradientMonitor(verbose=0, on_finding="ignore")
    model.fit(
        *data(ROWS),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    trace = monitor.trace
    found = {
        "steps": trace.steps,
        "activation_steps": trace.activation_steps,
        "measured_steps": np.flatnonzero(
            np.isfinite(trace.get("update_ratio", by="variable")).any(axis=1)
        ),
    }
    for series in ("grad_norm", "weight_norm", "update_ratio"):
        found[series] = trace.get(series, by="variable")
    for series in _OF_SITES:
        found[f"activation_{series}"] = trace.activation(series)
    for series in _OF_DATA:
        found[f"data_{series}"] = trace.data(series)
    return {key: np.asarray(value) for key, value in found.items()}


@pytest.mark.parametrize("name", RUNS)
def test_the_series_are_what_they_were(name, backend):
    found = series_of(name)
    file = GOLDEN / f"{backend}_{name}.npz"
    if os.environ.get("GRADGUARD_WRITE_GOLDEN"):
        np.savez_compressed(file, **found)
    with np.load(file) as golden:
        assert set(golden) == set(found)
        for series in golden:
            expected, given = golden[series], found[series]
            assert given.shape == expected.shape, series
            finite = expected[np.isfinite(expected)]
            largest = np.abs(finite).max(initial=0.0)
            np.testing.assert_allclose(
                given,
                expected,
                rtol=1e-5,
                atol=1e-6 * largest + 1e-12,
                err_msg=series,
            )
