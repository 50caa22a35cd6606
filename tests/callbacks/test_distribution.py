"""Two virtual devices: the gradient is that of the whole batch."""

import keras
import numpy as np
import pytest

from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import models
from tests import reference


def make(optimizer):
    keras.utils.set_random_seed(4)
    model = models.mlp()
    model.compile(optimizer, models.crossentropy())
    return model


def fit(model, *callbacks):
    x, y = models.dataset(64)
    return model.fit(
        x,
        y,
        batch_size=16,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def expected_norms():
    return reference.train(
        make(keras.optimizers.SGD(0.1)), *models.dataset(64), 16
    )


@pytest.fixture
def strategy(backend):
    if backend != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    import tensorflow as tf

    # Collective keys of several strategies in one process collide.
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )


def test_mirrored_replicas_give_the_norm_of_the_reduced_gradient(strategy):
    expected = expected_norms()
    with strategy.scope():
        model = make(keras.optimizers.SGD(0.1))
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor)
    trace = monitor.trace
    assert trace.steps.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=1e-5,
    )
    ratios = trace.get("update_ratio", by="variable")[:2, ::2]
    np.testing.assert_allclose(
        ratios,
        (expected["update_norm"] / np.maximum(expected["weight_norm"], 1e-9))[
            :2, ::2
        ],
        rtol=1e-3,
    )


def test_mirrored_replicas_with_clipping(strategy):
    expected = expected_norms()
    with strategy.scope():
        model = make(keras.optimizers.SGD(0.1, clipvalue=0.01))
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor)
    trace = monitor.trace
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable")[0],
        expected["grad_norm"][0],
        rtol=1e-5,
    )
    # What is applied is the reduced clipped gradient: its update tells.
    update = trace.get("update_norm")[0]
    applied = np.sqrt((update.astype("float64") ** 2).sum()) / 0.1
    assert trace.clipped_grad_norm[0] == pytest.approx(applied, rel=1e-4)


def test_watching_mirrored_replicas_changes_nothing(strategy):
    weights = []
    for callbacks in ([], [GradientMonitor(verbose=0)]):
        with strategy.scope():
            model = make(keras.optimizers.Adam(0.01))
        fit(model, *callbacks)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_data_parallel_on_jax(backend):
    if backend != "jax":
        pytest.skip("keras.distribution runs on JAX")
    import jax

    expected = expected_norms()
    before = keras.distribution.distribution()
    devices = [f"cpu:{i}" for i in range(len(jax.devices()))]
    assert len(devices) == 2
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    try:
        weights = []
        monitor = GradientMonitor(verbose=0)
        for callbacks in ([], [monitor]):
            model = make(keras.optimizers.SGD(0.1))
            fit(model, *callbacks)
            weights.append(model.get_weights())
    finally:
        keras.distribution.set_distribution(before)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        monitor.trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=1e-5,
    )


@pytest.mark.parametrize("method", ["activation", "gradient"])
def test_units_are_dead_only_if_dead_on_all_replicas(strategy, method):
    with strategy.scope():
        inputs = keras.Input((2,))
        hidden = keras.layers.Dense(3, activation="relu", name="hidden")
        model = keras.Model(inputs, keras.layers.Dense(1)(hidden(inputs)))
        model.compile(keras.optimizers.SGD(0.0), "mse")
    hidden.kernel.assign([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    hidden.bias.assign([-1.0, 0.0, 0.0])
    # Of each batch of four, one replica gets the negative half.
    x = np.tile([[-1.0, 0], [-2, 0], [1, 0], [2, 0]], (6, 1))
    detector = DeadReLUDetector(method=method, verbose=0)
    model.fit(
        x.astype("float32"),
        np.ones((24, 1)),
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=[detector],
    )
    np.testing.assert_array_equal(detector.dead_units["hidden"], [0])
    if method == "activation":
        np.testing.assert_allclose(detector.share["hidden"], [0, 0.5, 0.5])
