"""A callback of the user's own sets the learning rate, and logs nothing."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard.diagnosis.evidence.rates import rates_of

X = np.random.default_rng(0).uniform(-1, 1, (128, 4)).astype("float32")
Y = (X[:, :1] + X[:, 1:2] * X[:, 2:3]).astype("float32")


class Sets(keras.callbacks.Callback):
    def __init__(self, rates):
        super().__init__()
        self.rates = rates

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.rates:
            self.model.optimizer.learning_rate = self.rates[epoch]


def watched(callbacks, epochs, rate=0.01):
    keras.utils.set_random_seed(1)
    stack = [layers.Dense(16, "relu"), layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *stack])
    model.compile(keras.optimizers.Adam(rate), "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    history = model.fit(
        X, Y, epochs=epochs, verbose=0, callbacks=[*callbacks, monitor]
    )
    return monitor, history.history


def test_the_trace_has_the_rate_from_when_it_first_was_another():
    monitor, history = watched([Sets({2: 0.5, 3: 0.01})], 5)
    assert list(history) == ["loss"]
    np.testing.assert_allclose(
        monitor.trace.logs["learning_rate"],
        [np.nan, np.nan, 0.5, 0.01, 0.01],
        rtol=1e-6,
    )
    _, rates = rates_of(monitor.trace)
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.5, 0.01, 0.01], 1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    "callback",
    [
        Sets({}),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
    ],
    ids=["none", "Keras"],
)
def test_it_is_not_told_twice_nor_where_nobody_sets_it(callback):
    monitor, history = watched([callback], 3)
    logged = monitor.trace.logs.get("learning_rate")
    assert (logged is None) == ("learning_rate" not in history)
    if logged is not None:
        np.testing.assert_array_equal(logged, history["learning_rate"])


@pytest.mark.once
def test_the_callback_that_raises_it_is_to_be_left_out():
    monitor, _ = watched([Sets({10: 30.0})], 40)
    first = next(f for f in monitor.report().ranked if f.cause is None)
    code = first.remedies[0].code
    assert "learning_rate = 0.01" in code, first
    assert "without the callback" in code
