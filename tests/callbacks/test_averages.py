"""What a fit learns and its predictions do not show is not called healthy."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard import GradientMonitor


def fit(momentum, scale=0.1, epochs=15, before=0, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 8)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, use_bias=False),
            layers.BatchNormalization(momentum=momentum, name="norm"),
            layers.ReLU(),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy"
    )
    if before:
        model.fit(scale * x, y, epochs=before, verbose=0)
    monitor = GradientMonitor(verbose=0)
    model.fit(
        scale * x, y, epochs=epochs, verbose=0, callbacks=[monitor], **more
    )
    return monitor.report()


def test_averages_far_from_the_data_are_not_called_healthy():
    report = fit(0.99)
    assert report.healthy is None
    (why,) = report.not_judged
    assert "norm that are up to" in why
    assert "30 % of their start is left" in why
    # Measured, not assumed: the start's share of a variance of 0.01 is most.
    (times,) = report.trace.meta["averages"].values()
    assert 10 < times < 100


@pytest.mark.once
@pytest.mark.parametrize(
    ("momentum", "scale", "more"),
    [
        (0.9, 0.1, {}),  # they have followed
        (0.99, 1.0, {}),  # the data vary as the start has it
        (0.99, 0.1, {"before": 60}),  # they had followed before
        (0.99, 0.1, {"validation_split": 0.2, "epochs": 18}),  # shown
    ],
)
def test_averages_near_the_data_or_validated_are_no_reason(
    momentum, scale, more
):
    report = fit(momentum, scale, **more)
    assert not any("averages" in why for why in report.not_judged)
