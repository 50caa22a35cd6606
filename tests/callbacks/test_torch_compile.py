"""A step compiled by `torch.compile` is left alone, and the user told so."""

import functools

import keras
import numpy as np
import pytest

from keras_gradguard import AutoClip
from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradGuardWarning
from keras_gradguard import GradientMonitor
from tests import models

torch = pytest.importorskip("torch")
if keras.backend.backend() != "torch":
    pytest.skip("torch.compile", allow_module_level=True)


@pytest.fixture
def _without_kernels(monkeypatch):
    """Trace as `jit_compile=True` does, but run the graphs as they are.

    Kernels would take a C++ compiler and a minute.
    """
    compiler = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compiler)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def fit(jit_compile, *callbacks):
    """Variables of model and optimizer after a fit, and the history."""
    keras.utils.set_random_seed(3)
    model = models.mlp(depth=1, activation="relu")
    # One frame of `torch.compile` holds the whole update of this one.
    optimizer = AutoClip(keras.optimizers.SGD(0.1), percentile=10)
    model.compile(optimizer, models.crossentropy(), jit_compile=jit_compile)
    x, y = models.dataset(64)
    x[20] = np.nan  # the second batch is skipped
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    variables = [*model.variables, *optimizer.variables]
    values = [keras.ops.convert_to_numpy(v) for v in variables]
    assert optimizer.skipped_steps == 2
    assert optimizer.clipped_fraction > 0
    return values, history.history


@pytest.mark.skipif(
    keras.__version__.startswith("3.10."),
    reason="torch 2.13 compiles no fit of Keras 3.10, watched or not",
)
@pytest.mark.usefixtures("_without_kernels")
def test_a_compiled_step_is_left_alone_and_the_user_told():
    plain, history = fit(True)
    monitor = GradientMonitor(verbose=0)
    detector = DeadReLUDetector(verbose=0)
    with pytest.warns(GradGuardWarning) as told:
        watched, watched_history = fit(True, monitor, detector)
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_equal(watched_history, history)  # NaN equals NaN
    messages = [str(w.message) for w in told if w.category is GradGuardWarning]
    owners = [message.partition(":")[0] for message in messages]
    assert owners == ["GradientMonitor", "DeadReLUDetector"]
    for message in messages:
        assert "no gradient can be recorded, because torch.compile" in message
        assert "without `jit_compile=True`" in message
    assert not len(monitor.trace.steps)
    assert "Nothing was recorded" in str(monitor.report())
    assert "nothing was seen" in detector.summary()
    assert len(monitor.trace.logs["loss"]) == 2
    # `AutoClip` is part of the step and does what it does without a compiler.
    for a, b in zip(plain, fit(False)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
