"""A loop of the user's own that calls the callbacks itself is told why.

Keras's train step never runs there, so the callbacks see nothing.
"""

import pickle

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models
from tests.callbacks.test_watch import STEP

STEPS = 6


def parts():
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    model = models.mlp(width=8, depth=1, activation="relu")
    model.compile("adam", models.crossentropy())
    optimizer = keras.optimizers.Adam(0.01)
    return model, STEP[keras.backend.backend()](model, optimizer, "compiled")


def train(callbacks, epochs=2, batches="both", step_of=lambda m, step: step):
    """Drive callbacks as `fit` does, around steps that are not Keras's."""
    model, step = parts()
    step = step_of(model, step)
    x, y = models.dataset(8 * STEPS)
    for epoch in range(epochs):
        if batches != "only":
            callbacks(model).on_epoch_begin(epoch)
        for i in range(STEPS):
            if batches == "both":
                callbacks(model).on_train_batch_begin(i)
            step(x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8])
            if batches != "none":
                callbacks(model).on_train_batch_end(i, {"loss": 1.0})
        if batches != "only":
            callbacks(model).on_epoch_end(epoch, {"loss": 1.0})
    callbacks(model).on_train_end()
    getattr(step, "finish", lambda: None)()
    return model


class Driven:
    """A `CallbackList`, or one callback, made when the model is there."""

    def __init__(self, *callbacks, alone=False):
        self.callbacks, self.alone, self.made = callbacks, alone, None

    def __call__(self, model):
        if self.made is None:
            if self.alone:
                (self.made,) = self.callbacks
                self.made.set_model(model)
            else:
                self.made = keras.callbacks.CallbackList(
                    list(self.callbacks), model=model, epochs=2, steps=STEPS
                )
            self.made.on_train_begin()
        return self.made


def told(warnings):
    return [
        str(w.message) for w in warnings if w.category is kgg.GradGuardWarning
    ]


def test_both_callbacks_say_once_why_they_saw_nothing(recwarn, backend):
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    watched = train(Driven(monitor, detector))
    first, second = sorted(told(recwarn))
    assert first.startswith("DeadReLUDetector: ")
    assert second.startswith("GradientMonitor: ")
    for text in (first, second):
        assert f"saw {STEPS} batches, but Keras's train step never" in text
        assert "kgg.watch(model)" in text
    for callback in (monitor, pickle.loads(pickle.dumps(monitor)), detector):
        report = callback.report()
        assert report.healthy is None
        assert f"saw {STEPS} batches" in report.not_judged[0]
    assert f"saw {STEPS} batches" in str(monitor.report())
    plain = train(Driven(keras.callbacks.Callback()))
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # The model is as before, and the next fit is recorded.
    x, y = models.dataset(8 * STEPS)
    watched.fit(x, y, batch_size=8, verbose=0, callbacks=[monitor])
    assert len(monitor.trace.steps) == STEPS
    assert "saw" not in str(monitor.report())


@pytest.mark.parametrize(
    "callback", [kgg.GradientMonitor, kgg.DeadReLUDetector]
)
@pytest.mark.parametrize("batches", ["both", "end", "only"])
def test_a_callback_alone_says_it(callback, batches, recwarn):
    made = callback(verbose=0)
    train(Driven(made, alone=True), epochs=1, batches=batches)
    (text,) = told(recwarn)
    assert f"saw {STEPS} batches" in text
    assert made.report().healthy is None


@pytest.mark.once
def test_the_reason_stands_in_the_run(tmp_path):
    with pytest.warns(kgg.GradGuardWarning, match="never ran"):
        train(Driven(kgg.GradientMonitor(tmp_path, verbose=0)))
    assert "never ran" in kgg.diagnose(tmp_path).not_judged[0]


def test_steps_of_keras_in_such_a_loop_are_recorded(recwarn):
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    train(
        Driven(monitor, detector),
        step_of=lambda model, step: model.train_on_batch,
    )
    assert not told(recwarn)
    assert len(monitor.trace.steps) == 2 * STEPS
    assert detector.dead_fraction


def test_a_fit_without_a_batch_says_nothing(recwarn):
    model, _ = parts()
    x, y = models.dataset(16)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, epochs=0, verbose=0, callbacks=[monitor])
    assert not told(recwarn)
    assert monitor.report().not_judged == ["nothing was recorded"]
