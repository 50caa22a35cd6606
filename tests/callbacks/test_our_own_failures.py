"""Whatever fails in our own code, the training goes on and is told of once."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard import GradGuardWarning
from keras_gradguard import _backend
from keras_gradguard.recording.dispatcher import Dispatcher
from keras_gradguard.recording.step.gathering import Gathering
from keras_gradguard.recording.step.gradients import GradientTap
from keras_gradguard.recording.step.packing import Packing
from tests import models


def broken(*args, **kwargs):
    raise ArithmeticError("broken on purpose")


def parts():
    backend = _backend.current()
    return {
        "norms": (backend, "l2_norms"),
        "level": (backend, "level"),
        "write": (backend.Ring, "write"),
        "snapshot": (backend.Ring, "snapshot"),
        "prepare": (GradientTap, "prepare"),
        "pack": (Packing, "pack_activations"),
        "note": (Gathering, "_note_outputs"),
        "deliver": (Dispatcher, "_deliver"),
    }


def trained(callbacks):
    keras.utils.set_random_seed(1)
    model = models.mlp(width=8, depth=1, activation="relu")
    model.compile("adam", models.crossentropy())
    x, y = models.dataset(64)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    return model


@pytest.fixture(scope="module")
def expected():
    """Weights of a training that is not watched."""
    return trained([]).get_weights()


@pytest.mark.parametrize("part", parts())
def test_training_goes_on(part, expected, monkeypatch):
    monkeypatch.setattr(*parts()[part], broken)
    monitor = kgg.GradientMonitor(verbose=0)
    with pytest.warns(GradGuardWarning, match="broken on purpose") as told:
        model = trained([monitor])
    ours = [w for w in told if w.category is GradGuardWarning]
    assert len(ours) == 1
    for weight, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)
    monkeypatch.undo()
    monitor = kgg.GradientMonitor(verbose=0)
    x, y = models.dataset(64)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[monitor])
    assert len(monitor.trace.steps) == 8


def test_a_report_of_a_recording_that_failed_on_the_way_says_so(monkeypatch):
    later = iter(range(100))

    def fails_later(self, *args, **kwargs):
        if next(later) > 2:
            broken()
        return deliver(self, *args, **kwargs)

    deliver = Dispatcher._deliver
    monkeypatch.setattr(Dispatcher, "_deliver", fails_later)
    monitor = kgg.GradientMonitor(verbose=0)
    x, y = models.dataset(80)
    model = models.mlp(width=8, depth=1, activation="relu")
    model.compile("adam", models.crossentropy())
    with pytest.warns(GradGuardWarning, match="recording failed"):
        model.fit(x, y, batch_size=8, epochs=8, verbose=0, callbacks=[monitor])
    report = monitor.report()
    assert 0 < len(monitor.trace.steps) < 80
    assert report.healthy is None
    reason = report.not_judged[0]
    assert reason.startswith("recording failed at step")
    assert "broken on purpose" in reason
    assert reason in str(report)
