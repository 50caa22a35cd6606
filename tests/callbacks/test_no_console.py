"""Programs without a console, and pipes that are gone."""

import io
import sys
import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests.params import once_but


class Gone(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError("Broken pipe")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def sick():
    """A net with dead units, of which both callbacks speak."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, "relu", name="dead"),
            keras.layers.Dense(1),
        ]
    )
    model.layers[0].bias.assign(np.full(16, -50.0))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return model, x, x[:, :1]


# What a backend does does not depend on the stream.
@pytest.mark.parametrize(
    "stream", once_but(lambda make: make is Gone, [lambda: None, closed, Gone])
)
@pytest.mark.parametrize("alone", once_but(lambda alone: not alone, [0, 1]))
def test_no_training_is_unwatched_for_want_of_a_console(
    stream, alone, monkeypatch
):
    model, x, y = sick()
    monitor = kgg.GradientMonitor(verbose=1)
    detector = kgg.DeadReLUDetector(verbose=1)
    callbacks = [detector] if alone else [monitor, detector]
    monkeypatch.setattr(sys, "stdout", stream())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=40, verbose=0, callbacks=callbacks)
    monkeypatch.undo()
    (units,), (shares,) = (
        detector.dead_units.values(),
        detector.history.values(),
    )
    assert len(units) == 16
    assert len(shares) == 40
    if not alone:
        assert monitor.trace.records_seen == 80
    ours = [str(w.message) for w in told if "GradGuard" in w.category.__name__]
    assert not any("bug" in text for text in ours)
    if stream() is None:
        assert ours == []
    else:
        assert any("printing failed" in text for text in ours)
