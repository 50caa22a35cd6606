"""After a fit, however it ends, model and optimizer are as before."""

import functools
import gc
import weakref

import keras
import numpy as np
import pytest

from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import models


def compiled(optimizer="adam"):
    keras.utils.set_random_seed(5)
    model = models.mlp(width=8, depth=1)
    model.compile(optimizer, models.crossentropy())
    return model


def fit(model, *callbacks, **arguments):
    x, y = models.dataset()
    arguments = {"batch_size": 16, "verbose": 0, **arguments}
    return model.fit(x, y, callbacks=list(callbacks), **arguments)


def fingerprint(model):
    """Attributes, methods and variables that a fit must not change."""
    optimizer = model.optimizer
    return (
        sorted(model.__dict__),
        sorted(optimizer.__dict__),
        [v.path for v in optimizer.variables],
        [v.path for v in model.variables],
        [sorted(layer.__dict__) for layer in model.layers],
    )


class Fails(keras.callbacks.Callback):
    def __init__(self, hook, error):
        super().__init__()
        self.seen = 0

        def fail(*args, **kwargs):
            self.seen += 1
            if self.seen == 2:
                raise error("from a callback")

        setattr(self, hook, fail)


@functools.cache
def expected_fingerprint():
    keras.backend.clear_session()  # the same names again
    model = compiled()
    fit(model)
    return fingerprint(model)


def assert_clean(model):
    assert fingerprint(model) == expected_fingerprint()
    assert type(model.train_function).__name__ != "Dispatcher"


def test_after_a_fit():
    model = compiled()
    fit(model, GradientMonitor(verbose=0))
    assert_clean(model)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "hook",
    ["on_epoch_end", "on_train_batch_begin", "on_train_batch_end"],
)
def test_after_an_exception_in_another_callback(hook, error, backend):
    if hook == "on_train_batch_end" and backend != "tensorflow":
        pytest.skip("Keras runs it in a thread and raises later")
    model = compiled()
    with pytest.raises(error, match="from a callback"):
        fit(
            model,
            GradientMonitor(verbose=0),
            Fails(hook, error),
            epochs=4,
        )
    assert_clean(model)
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor)
    assert len(monitor.trace.steps) == 4
    assert_clean(model)


def test_after_an_exception_in_the_data():
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            if index == 5:
                raise OSError("disk gone")
            x, y = models.dataset(4)
            return x, y

    model = compiled()
    with pytest.raises(Exception, match="disk gone"):
        model.fit(Data(), verbose=0, callbacks=[GradientMonitor(verbose=0)])
    assert_clean(model)


def test_after_an_exception_in_the_train_step(backend, recwarn):
    class Breaks(keras.Model):
        broken = False

        def train_step(self, *args):
            if self.broken:
                raise RuntimeError("no step")
            return super().train_step(*args)

    inputs = keras.Input((8,))
    model = Breaks(inputs, keras.layers.Dense(3)(inputs))
    model.compile("adam", models.crossentropy())
    model.broken = True
    first, detector = GradientMonitor(verbose=0), DeadReLUDetector(verbose=0)
    with pytest.raises(Exception, match="no step"):
        fit(model, first, detector)
    for callback in (first, detector):
        reason = "because RuntimeError ended `fit` in its first step"
        assert reason in str(callback.report())
    patched = {"apply", "_clip_gradients", "_backend_apply_gradients"}
    assert not patched & set(model.optimizer.__dict__)
    assert not [w for w in recwarn if "GradGuard" in w.category.__name__]
    if backend == "jax":
        return  # Keras has lost the state of the model, watched or not
    model.broken = False
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor)
    assert len(monitor.trace.steps) == 4


@pytest.mark.optimized
def test_fits_with_and_without_the_callback_in_any_order():
    plain = compiled()
    keras.backend.clear_session()
    mixed = compiled()
    for _ in range(4):
        fit(plain, shuffle=False)
    first = GradientMonitor(verbose=0)
    fit(mixed, first, shuffle=False)
    fit(mixed, shuffle=False)
    second = GradientMonitor(verbose=0)
    fit(mixed, second, shuffle=False)
    fit(mixed, first, shuffle=False)
    assert second.trace.steps.tolist() == [8, 9, 10, 11]
    assert first.trace.steps.tolist() == [12, 13, 14, 15]
    for a, b in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_clean(mixed)


def test_two_callbacks_share_one_recording():
    model = compiled()
    first, second = GradientMonitor(verbose=0), GradientMonitor(verbose=0)
    fit(model, first, second)
    np.testing.assert_array_equal(
        first.trace.get("grad_norm"), second.trace.get("grad_norm")
    )
    assert len(first.trace.steps) == 4
    assert_clean(model)


def test_a_loop_of_fits_compiles_once(backend):
    if backend == "torch":
        pytest.skip("torch compiles nothing")
    traces = []

    class Counts(keras.Model):
        def train_step(self, *args):
            traces.append(1)
            return super().train_step(*args)

    inputs = keras.Input((8,))
    model = Counts(inputs, keras.layers.Dense(3)(inputs))
    model.compile("adam", models.crossentropy())
    for _ in range(2):
        fit(model, GradientMonitor(verbose=0), epochs=2)
    once = len(traces)
    for _ in range(3):
        fit(model, GradientMonitor(verbose=0), epochs=2)
    assert len(traces) == once


def test_recompiling_between_fits_is_noticed():
    model = compiled()
    fit(model, GradientMonitor(verbose=0))
    model.compile(keras.optimizers.SGD(0.1), models.crossentropy())
    monitor = GradientMonitor(verbose=0)
    fit(model, monitor)
    assert monitor.trace.steps.tolist() == [0, 1, 2, 3]


def test_recompiling_inside_a_fit_is_noticed():
    class Recompiles(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.compile(
                    keras.optimizers.SGD(0.1), models.crossentropy()
                )
                self.model.make_train_function()

    if keras.backend.backend() == "jax":
        pytest.skip("Keras on JAX does not build a new optimizer mid-fit")
    model = compiled()
    monitor = GradientMonitor(verbose=0)
    fit(model, Recompiles(), monitor, epochs=3)
    assert monitor.trace.steps.tolist() == [*range(4), *range(8)]


def test_a_model_is_freed():
    model = compiled()
    fit(model, GradientMonitor(verbose=0))
    reference = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert reference() is None
