"""Two virtual devices: the gradient is that of the whole batch."""

import functools

import keras
import numpy as np
import pytest

from keras_gradguard import AutoClip
from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import models
from tests import reference


def make(optimizer):
    keras.utils.set_random_seed(4)
    # Shallow: every layer is traced once more for each replica.
    model = models.mlp(width=8, depth=1)
    model.compile(optimizer, models.crossentropy())
    return model


def adam():
    return keras.optimizers.Adam(0.01)


def fit(model, *callbacks, data=None):
    x, y = data or models.dataset(64)
    return model.fit(
        x,
        y,
        batch_size=16,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


@functools.cache
def expected_norms():
    return reference.train(make(adam()), *models.dataset(64), 16)


def check_logs(history, expected):
    """The epoch's logs are those of the norms of the whole batch."""
    norms = np.sqrt((expected["grad_norm"].astype("float64") ** 2).sum(1))
    assert history["grad_norm"] == [pytest.approx(norms.mean(), rel=1e-5)]
    assert 0 < history["update_ratio"][0] < 1
    assert history["skipped_steps"] == [0.0]


@pytest.fixture
def strategy(backend):
    if backend != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    import tensorflow as tf

    # Collective keys of several strategies in one process collide.
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )


@pytest.mark.optimized
def test_mirrored_replicas_give_the_norm_of_the_reduced_gradient(strategy):
    expected = expected_norms()
    with strategy.scope():
        trace, _, history = watched(adam, *models.dataset(64), logs=True)
    check_logs(history, expected)
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


@pytest.mark.optimized
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
        monitor = GradientMonitor(verbose=0, log_metrics=True)
        for callbacks in ([], [monitor]):
            model = make(adam())
            history = fit(model, *callbacks).history
            weights.append(model.get_weights())
    finally:
        keras.distribution.set_distribution(before)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    check_logs(history, expected)
    np.testing.assert_allclose(
        monitor.trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=1e-5,
    )


def test_units_are_dead_only_if_dead_on_all_replicas(strategy):
    with strategy.scope():
        inputs = keras.Input((2,))
        hidden = keras.layers.Dense(3, activation="relu", name="hidden")
        model = keras.Model(inputs, keras.layers.Dense(1)(hidden(inputs)))
        model.compile(keras.optimizers.SGD(0.0), "mse")
    hidden.kernel.assign([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    hidden.bias.assign([-1.0, 0.0, 0.0])
    # Of each batch of four, one replica gets the negative half.
    x = np.tile([[-1.0, 0], [-2, 0], [1, 0], [2, 0]], (6, 1))
    detectors = [
        DeadReLUDetector(method=method, verbose=0)
        for method in ("activation", "gradient")
    ]
    model.fit(
        x.astype("float32"),
        np.ones((24, 1)),
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=detectors,
    )
    for detector in detectors:
        np.testing.assert_array_equal(detector.dead_units["hidden"], [0])
    np.testing.assert_allclose(detectors[0].share["hidden"], [0, 0.5, 0.5])


def only_watched(make_optimizer, x, y, prepare=lambda model: None):
    """Trace of a watched fit; test_monitor_auto_clip.py has its plain twin."""
    monitor = GradientMonitor(verbose=0, on_finding="ignore")
    model = make(make_optimizer())
    prepare(model)
    fit(model, monitor, data=(x, y))
    return monitor.trace, model.optimizer


def watched(make_optimizer, x, y, prepare=lambda model: None, logs=False):
    """Trace of a watched fit, once it is seen to equal an unwatched one."""
    found = []
    monitor = GradientMonitor(verbose=0, on_finding="ignore", log_metrics=logs)
    for callbacks in ([], [monitor]):
        model = make(make_optimizer())
        prepare(model)
        history = fit(model, *callbacks, data=(x, y)).history
        found.append(
            [
                keras.ops.convert_to_numpy(v)
                for v in [*model.variables, *model.optimizer.variables]
            ]
        )
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    return monitor.trace, model.optimizer, history


def assert_same_record(trace, expected):
    """Replicas record what one device does, skipped steps as well."""
    np.testing.assert_array_equal(trace.steps, expected.steps)
    np.testing.assert_array_equal(trace.skipped, expected.skipped)
    for name in ("grad_norm", "weight_norm"):
        np.testing.assert_allclose(
            trace.get(name, by="variable"),
            expected.get(name, by="variable"),
            rtol=1e-5,
        )
    np.testing.assert_allclose(
        trace.clipped_grad_norm, expected.clipped_grad_norm, rtol=1e-5
    )
    np.testing.assert_allclose(
        trace.data("loss"), expected.data("loss"), rtol=1e-5
    )
    for name in ("loss", "clip_threshold"):
        if name in expected.extra:
            np.testing.assert_allclose(
                trace.extra[name], expected.extra[name], rtol=1e-5
            )


def test_mirrored_replicas_with_auto_clip(strategy):
    x, y = models.dataset(96)
    x[16 * 3 + 9] = np.nan  # a batch of which the second replica gets the NaN

    def optimizer():
        return AutoClip(keras.optimizers.SGD(0.1), percentile=40)

    one_device, _ = only_watched(optimizer, x, y)
    twin = reference.train(make(optimizer()), x, y, 16)
    with strategy.scope():
        trace, optimizer, _ = watched(optimizer, x, y)
    assert trace.steps.tolist() == [0, 1, 2, 3, 3, 4]
    assert trace.skipped.tolist() == [False, False, False, True, False, False]
    assert optimizer.skipped_steps == 1
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"), twin["grad_norm"], rtol=1e-5
    )
    applied = ~trace.skipped
    norms = trace.global_grad_norm[applied]
    thresholds = [np.percentile(norms[: i + 1], 40) for i in range(len(norms))]
    recorded = trace.extra["clip_threshold"]
    np.testing.assert_allclose(recorded[applied], thresholds, rtol=1e-5)
    assert recorded[-1] == pytest.approx(optimizer.threshold)
    assert trace.global_grad_norm[-1] == pytest.approx(
        optimizer.last_norm, rel=1e-5
    )
    np.testing.assert_allclose(
        trace.clipped_grad_norm[applied],
        np.minimum(norms, thresholds),
        rtol=1e-5,
    )
    assert_same_record(trace, one_device)


@pytest.mark.parametrize("clipper", ["unitwise", "value"])
def test_mirrored_replicas_with_every_way_to_clip(strategy, clipper):
    x, y = models.dataset(64)

    def optimizer():
        return AutoClip(keras.optimizers.SGD(0.1), clipper)

    one_device, _ = only_watched(optimizer, x, y)
    with strategy.scope():
        trace, _ = only_watched(optimizer, x, y)
    assert_same_record(trace, one_device)


@pytest.mark.parametrize("clips", [False, True])
def test_mirrored_replicas_with_an_overflowing_step(strategy, clips):
    x, y = models.dataset(64)
    # With a first kernel of zeros, its gradient is all that gets too large.
    # Keras asks the first replica alone whether gradients are finite.
    x[1, 3] = 3e38

    def zero_kernel(model):
        kernel = model.trainable_variables[0]
        kernel.assign(np.zeros(kernel.shape))

    def optimizer():
        inner = keras.optimizers.SGD(0.1)
        return keras.optimizers.LossScaleOptimizer(
            AutoClip(inner) if clips else inner,
            initial_scale=1024.0,
            dynamic_growth_steps=2,
        )

    one_device, _ = only_watched(optimizer, x, y, zero_kernel)
    with strategy.scope():
        how = watched if clips else only_watched
        trace, optimizer = how(optimizer, x, y, zero_kernel)[:2]
    assert trace.steps.tolist() == [0, 0, 1, 2]
    assert trace.skipped.tolist() == [True, False, False, False]
    finite = np.isfinite(trace.get("grad_norm", by="variable"))
    assert finite[0].tolist() == [False] + [True] * 3
    assert finite[1:].all()
    assert keras.ops.convert_to_numpy(optimizer.iterations) == 3
    assert_same_record(trace, one_device)


@pytest.mark.parametrize("clip", ["keras", "auto"])
def test_mirrored_replicas_with_an_embedding(strategy, clip):
    x, y = models.tokens(64)

    def build():
        if clip == "keras":
            optimizer = keras.optimizers.SGD(0.1, clipvalue=0.05)
        else:
            optimizer = AutoClip(keras.optimizers.SGD(0.1), percentile=40)
        keras.utils.set_random_seed(4)
        model = models.embedding()
        model.compile(optimizer, models.crossentropy())
        return model

    twin = reference.train(build(), x, y, 16)
    with strategy.scope():
        model = build()
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor, data=(x, y))
    # The first update clips each replica's share where Keras clips.
    steps = 1 if clip == "keras" else 4
    np.testing.assert_allclose(
        monitor.trace.get("grad_norm", by="variable")[:steps],
        twin["grad_norm"][:steps],
        rtol=1e-5,
    )
