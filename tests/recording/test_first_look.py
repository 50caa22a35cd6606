"""The first look at a batch, which runs behind the step it belongs to."""

import pathlib

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard import _backend
from keras_gradguard.recording.step.gradients import GradientTap
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import OUTPUT_STATISTICS

IS_JAX = keras.backend.backend() == "jax"
IS_TF = keras.backend.backend() == "tensorflow"
IS_TORCH = keras.backend.backend() == "torch"
TASKS = pathlib.Path("/proc/self/task")


def batches(count, rows=8):
    """Each batch has targets that are its number."""
    for i in range(count):
        x = np.random.default_rng(i).normal(size=(rows, 5)).astype("float32")
        yield x, np.full((rows, 1), i, "float32")


def watched(steps=6):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(40, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(40, "tanh"),
            keras.layers.Dense(1, kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse")
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    data = batches(steps)
    model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[monitor])
    return monitor.trace


def test_the_batch_is_the_one_of_its_step():
    trace = watched()
    row = list(trace.activation_steps).index(0)
    # The output is 0, so the loss of the step tells which batch it was.
    number = round(float(np.sqrt(trace.extra["loss"][0])))
    batch = list(batches(6))[number][0]
    for name, value in (("input_min", batch.min()), ("input_std", batch.std())):
        assert trace.data(name)[row] == pytest.approx(value, rel=1e-5)
    assert trace.data("target_mean")[row] == number


@pytest.mark.skipif(not IS_JAX, reason="how JAX brings a look to the host")
def test_from_an_accelerator_the_same_comes(monkeypatch):
    from keras_gradguard._backend import jax as backend
    from keras_gradguard._backend.jax import forward
    from keras_gradguard._backend.jax import values

    here = watched()
    monkeypatch.setattr(forward, "is_here", lambda array: False)
    for module in (backend, forward, values):
        monkeypatch.setattr(module, "on_host", lambda tensors: None)
    there = watched()
    for name in ("weight_norm", "update_norm", "zero_fraction"):
        np.testing.assert_allclose(there.get(name), here.get(name), rtol=2e-6)
    for name in DATA_SERIES:
        np.testing.assert_array_equal(there.data(name), here.data(name))
    for name in OUTPUT_STATISTICS:
        np.testing.assert_allclose(
            there.activation(name), here.activation(name), rtol=2e-6
        )


@pytest.mark.skipif(not IS_JAX, reason="how JAX looks behind the step")
def test_what_looks_later_has_copies_of_its_own():
    import jax

    from keras_gradguard._backend.jax.forward import _copies_of

    state = {"w": jax.numpy.ones((3,)), "unused": jax.numpy.ones((2,))}
    kept = jax.numpy.zeros((4,))
    batch = np.arange(3, dtype="float32")
    function = jax.jit(lambda s, b, k: (s["w"] * b).sum() + k.sum())
    arguments = state, batch, kept
    traced = function.trace(*arguments)
    ready = np.full((4,), 2.0, "float32")
    found = _copies_of(traced.jaxpr, arguments, {id(kept): ready})
    batch[:] = 100  # a reader fills it again
    state["w"].delete()  # the step takes it
    assert found[2] is ready
    assert function(*found) == 11.0
    assert found[0]["unused"] is state["unused"]


@pytest.mark.skipif(not IS_JAX, reason="how JAX brings a look to the host")
def test_a_bundle_keeps_each_leaf():
    import jax

    from keras_gradguard._backend.jax.bundle import Bundle

    random = np.random.default_rng(0)
    structure = {
        "many": [random.normal(size=(3, 2)).astype("float32")] * 40,
        "size": 12_582_912,
        "of": {"none": None, "flags": np.asarray([True, False])},
        "odd": np.asarray([np.nan, np.inf, -0.0], "float32"),
    }
    structure["many"] = [a * i for i, a in enumerate(structure["many"])]
    bundle = jax.jit(lambda: Bundle.of(structure))()
    assert len(bundle.arrays) < 6
    found = _backend.current().to_numpy(bundle)
    assert found["of"]["none"] is None
    assert found["size"] == structure["size"]
    for a, b in zip(structure["many"], found["many"], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found["of"]["flags"], [True, False])
    np.testing.assert_array_equal(found["odd"], structure["odd"])


@pytest.mark.skipif(not IS_TORCH, reason="measured beside the step")
@pytest.mark.parametrize("alone", [True, False])
def test_a_detector_alone_copies_no_weights(alone, monkeypatch):
    copied = []
    remember = GradientTap._remember_weights
    monkeypatch.setattr(
        GradientTap,
        "_remember_weights",
        lambda tap: (copied.append(tap), remember(tap)),
    )
    detector = kgg.DeadReLUDetector(verbose=0)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    callbacks = [detector] if alone else [detector, monitor]
    model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=callbacks)
    assert bool(copied) is not alone
    assert len(detector.history) == 1


@pytest.mark.skipif(not IS_TF, reason="how TensorFlow hands a batch on")
@pytest.mark.skipif(not TASKS.exists(), reason="counts threads as Linux does")
def test_a_batch_that_was_looked_at_starts_no_tuning_thread():
    import tensorflow as tf

    from keras_gradguard._backend.tensorflow.forward import _only

    data = tf.ones((4, 2)), tf.zeros((4, 1))
    source = iter(tf.data.Dataset.from_tensors(data))

    def started(make):
        make().get_next()  # what a process starts once
        before, kept = len(list(TASKS.iterdir())), []
        for _ in range(8):
            kept.append(make())
            np.testing.assert_array_equal(kept[-1].get_next()[0], data[0])
        return len(list(TASKS.iterdir())) - before

    ours = started(lambda: _only(data, source.element_spec))
    plain = started(lambda: iter(tf.data.Dataset.from_tensors(data)))
    assert ours <= plain - 8
    assert _only(data, source.element_spec).element_spec == source.element_spec
