"""A batch of one row says little of the others."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard import GradientMonitor


def fit(x, y, epochs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(8, "tanh"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    monitor = GradientMonitor(verbose=0)
    model.fit(
        x,
        y,
        batch_size=1,
        shuffle=False,
        epochs=epochs,
        verbose=0,
        callbacks=[monitor],
    )
    return [f.evidence.get("kind") for f in monitor.findings]


@pytest.mark.once
def test_a_first_row_of_zeros_is_not_all_of_the_data():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    assert "constant" not in fit(x, y, 60)
    assert "constant" not in fit(x[:, :1] + 0.58, y, 60)


@pytest.mark.once
def test_rows_that_are_all_zeros_are_told():
    x, y = np.zeros((8, 2), "float32"), np.tile([[0.0], [1.0]], (4, 1))
    assert "constant" in fit(x, y, 30)
