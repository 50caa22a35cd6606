"""A train step that applies optimizers of its own, as that of a GAN."""

import warnings

import keras
import numpy as np
import pytest

from keras_gradguard import GradGuardWarning
from keras_gradguard import GradientMonitor
from tests import models

LAYERS = [
    "generator/g_hidden",
    "generator/g_out",
    "discriminator/d_hidden",
    "discriminator/d_out",
]


@pytest.fixture(autouse=True)
def _not_on_jax(backend):
    if backend == "jax":
        pytest.skip("Keras on JAX carries the state of one optimizer")


def fitted(callbacks, rates=(0.05, 0.1), epochs=1, **kwargs):
    keras.utils.set_random_seed(1)
    model = models.gan(**kwargs)
    model.compile(*(keras.optimizers.SGD(rate) for rate in rates))
    x, _ = models.dataset(160)
    model.fit(
        x,
        batch_size=16,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    return model


def watched(**kwargs):
    monitor = GradientMonitor(verbose=0)
    model = fitted([monitor], **kwargs)
    return model, monitor


def test_each_layer_is_recorded_with_the_optimizer_that_moves_it():
    _, monitor = watched()
    trace = monitor.trace
    assert trace.layers.tolist() == LAYERS
    assert trace.steps.tolist() == list(range(10))
    assert np.isfinite(trace.get("grad_norm")).all()
    update = trace.get("update_ratio") * trace.get("weight_norm")
    measured = np.isfinite(update).all(axis=1)
    assert measured.sum() >= 4
    rates = np.array([0.1, 0.1, 0.05, 0.05])  # plain SGD
    np.testing.assert_allclose(
        update[measured], rates * trace.get("grad_norm")[measured], rtol=1e-3
    )
    assert monitor.findings == []


def test_a_model_without_a_call_is_no_bug():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watched()
    said = " ".join(
        str(w.message)
        for w in caught
        if issubclass(w.category, GradGuardWarning)
    )
    assert "bug" not in said
    if keras.backend.backend() == "tensorflow":
        # There the pass is a call of the model, which a GAN has not.
        assert "cannot be measured, because the model has a train step" in said
        assert "What goes on: gradients" in said
    else:
        assert not said


@pytest.mark.optimized
def test_watching_two_optimizers_changes_nothing():
    plain = fitted([])
    model, _ = watched()
    for a, b in zip(
        models.to_numpy(plain.weights),
        models.to_numpy(model.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    for optimizer in (model.d_optimizer, model.g_optimizer, model.optimizer):
        assert "apply" not in vars(optimizer)


@pytest.mark.parametrize("critic_steps", [2, 5])
def test_steps_are_those_of_the_executions_where_the_critic_takes_more(
    critic_steps,
):
    model, monitor = watched(critic_steps=critic_steps, epochs=3)
    assert int(model.d_optimizer.iterations) == 30 * critic_steps
    trace = monitor.trace
    assert trace.steps.tolist() == list(range(30))
    assert np.isfinite(trace.get("grad_norm")).all()
    assert set(trace.update_steps[1:].tolist()) <= set(range(30))


def test_the_second_fit_goes_on_counting():
    model, _ = watched()
    monitor = GradientMonitor(verbose=0)
    x, _ = models.dataset(64)
    model.fit(x, batch_size=16, verbose=0, callbacks=[monitor])
    assert monitor.trace.steps.tolist() == [10, 11, 12, 13]


def test_a_gradient_that_is_nan_in_one_network_is_found_there():
    monitor = GradientMonitor(verbose=0)
    keras.utils.set_random_seed(1)
    model = models.gan()
    model.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.1))
    x, _ = models.dataset(160)
    x[100:] = np.nan
    model.fit(
        x,
        batch_size=16,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    (finding,) = [f for f in monitor.findings if f.rule == "nonfinite_gradient"]
    assert finding.first_step == 6
    assert finding.layers[0].startswith("discriminator/")


def test_every_third_step():
    monitor = GradientMonitor(update_freq=3, verbose=0)
    fitted([monitor])
    assert monitor.trace.steps.tolist() == [0, 3, 6, 9]


def test_nobody_judges_the_rate_of_an_optimizer_that_is_not_used():
    monitor = GradientMonitor(verbose=0)
    fitted([monitor], rates=(0.05, 0.1))
    assert monitor.trace.meta["optimizer"] == {"class": "SGD"}
    assert monitor.trace.meta["learning_rate"] is None
