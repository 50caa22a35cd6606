"""A watched step is compiled once: what else is measured is beside it."""

import contextlib

import keras
import numpy as np
import pytest

from keras_gradguard import GradGuardWarning
from keras_gradguard import GradientMonitor
from tests import models


class Counts(keras.layers.Layer):
    """Counts how often it is traced."""

    traces = 0

    def call(self, inputs):
        self.traces += 1
        return keras.ops.relu(inputs)


class Spare(keras.Model):
    """Has a layer that nothing calls, which stays unbuilt."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.spare = keras.layers.Dense(3)


def fit(callbacks, model_class=keras.Model, optimizer="adam"):
    keras.utils.set_random_seed(4)
    inputs = keras.Input((8,))
    counts = Counts()
    outputs = keras.layers.Dense(3)(counts(keras.layers.Dense(5)(inputs)))
    model = model_class(inputs, outputs)
    model.compile(optimizer, models.crossentropy())
    counts.traces = 0
    x, y = models.dataset(80)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    return model, counts.traces


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [(keras.Model, "adam"), (keras.Model, "sgd"), (Spare, "adam")],
)
def test_a_layer_is_traced_for_the_step_and_for_one_look(
    backend, kind, optimizer
):
    # TensorFlow traces a step twice that makes variables, as Adam does. What
    # we make in it must not count: a step of SGD has one trace.
    if backend == "torch":
        pytest.skip("nothing is compiled")
    if backend == "tensorflow" and kind is Spare:
        pytest.skip("its step builds what it may need, also in the first fit")
    monitor = GradientMonitor(verbose=0)
    plain, traces = fit([], kind, optimizer)
    watched, with_look = fit([monitor], kind, optimizer)
    assert with_look == traces + 1
    assert monitor.trace.steps.tolist() == list(range(20))
    assert len(monitor.trace.activation_steps) > 2
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_data_of_a_step_of_ones_own_are_seen(backend):
    if backend != "tensorflow":
        pytest.skip("there all of such a step is traced, or runs")
    tf = pytest.importorskip("tensorflow")

    class Own(keras.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    shown = []
    for kind in (keras.Model, Own):
        monitor = GradientMonitor(verbose=0)
        fit([monitor], kind)
        shown.append(monitor.trace)
    for series in ("loss", "input_mean", "target_max", "output_std"):
        expected, found = (trace.data(series) for trace in shown)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("one_device", [False, True])
def test_random_numbers_of_tensorflow_go_on_in_the_next_fit(
    backend, one_device
):
    # The last batch of an epoch is smaller. Keras after 3.15 traces the step
    # anew for it, with random states of its own.
    if backend != "tensorflow":
        pytest.skip("elsewhere no compiled step holds a generator")
    tf = pytest.importorskip("tensorflow")

    class Noise(keras.layers.Layer):
        def call(self, inputs):
            return inputs + tf.random.normal(tf.shape(inputs))

    def strategy():
        return tf.distribute.OneDeviceStrategy("cpu:0")

    def two_fits(watch):
        keras.utils.set_random_seed(4)
        with strategy().scope() if one_device else contextlib.nullcontext():
            layers = [keras.Input((8,)), Noise(), keras.layers.Dense(3)]
            model = keras.Sequential(layers)
            model.compile("adam", models.crossentropy())
        for _ in range(2):
            with watch() as callbacks:
                model.fit(*models.dataset(80), verbose=0, callbacks=callbacks)
        return model.get_weights()

    @contextlib.contextmanager
    def watched():
        # Each fit is told what is missing.
        with pytest.warns(GradGuardWarning, match="RandomStandardNormal"):
            yield [GradientMonitor(verbose=0)]

    plain = two_fits(contextlib.nullcontext)
    for ours, theirs in zip(two_fits(watched), plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)
