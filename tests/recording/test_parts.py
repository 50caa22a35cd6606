"""What fails in the recording fails in part, is told once, and no more."""

import warnings

import keras
import numpy as np
import pytest

pytest.importorskip("tensorboard")

import keras_gradguard as kgg
from keras_gradguard import GradGuardWarning
from keras_gradguard import _backend
from keras_gradguard.recording import beside
from keras_gradguard.recording import drain
from keras_gradguard.recording import parts as lib
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import gradients
from keras_gradguard.recording.step import packing
from keras_gradguard.recording.step.gathering import Gathering
from keras_gradguard.recording.step.gradients import GradientTap
from keras_gradguard.recording.step.histograms import HistogramRequests
from keras_gradguard.recording.updates import Updates
from tests import models

STEPS, EPOCHS = 16, 2
# From here on batches are smaller, at which JAX traces each step anew.
LATER = 5
# What reads a part, in the step or beside it, and what reads it on the host.
READERS = {
    lib.GRADIENTS: (GradientTap, "_record_gradients"),
    lib.WEIGHTS: (None, "_remember"),
    lib.ACTIVATIONS: (Gathering, "_note_outputs"),
    lib.DATA: (batch_statistics, "pack"),
    lib.LOSS: (GradientTap, "_loss"),
    lib.HISTOGRAMS: (gradients, "octave_counts"),
    lib.UNITS: (packing.Packing, "pack_counts"),
}
DRAINS = {
    lib.GRADIENTS: (drain, "read_part"),
    lib.WEIGHTS: (Updates, "read"),
    lib.ACTIVATIONS: (packing.Packing, "activations_of"),
    lib.DATA: (packing, "data_of"),
    lib.HISTOGRAMS: (HistogramRequests, "read"),
    lib.UNITS: (packing.Packing, "counts"),
}


def reader(part, moment):
    if moment == "drain":
        return DRAINS[part]
    owner, name = READERS[part]
    if owner is not None:
        return owner, name
    if not _backend.current().compiles_steps():
        return GradientTap, "_remember_weights"
    return beside.Beside, name


class Breaks(keras.callbacks.Callback):
    """From a step on, a reader raises; its step is traced anew there."""

    def __init__(self, monkeypatch, at, owner, name):
        super().__init__()
        self.patch, self.at = monkeypatch, at
        self.place, self.batch = (owner, name), 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.batch == self.at:
            self.patch.setattr(*self.place, broken)
        self.batch += 1


def broken(*args, **kwargs):
    raise ArithmeticError("broken on purpose")


def run(log_dir, *callbacks):
    """Series by part, our warnings, and the model, of a short fit."""
    keras.utils.set_random_seed(1)
    model = models.mlp(depth=1, activation="relu")
    # Its step makes no variables: TensorFlow would trace it twice.
    model.compile(keras.optimizers.SGD(0.05), models.crossentropy())
    x, y = models.dataset(8 * STEPS)

    def batches():
        for i in range(STEPS):
            rows = slice(8 * i, 8 * i + (8 if i < LATER else 7))
            yield x[rows], y[rows]

    monitor = kgg.GradientMonitor(
        log_dir, histogram_freq=1, update_freq=1, verbose=0
    )
    detector = kgg.DeadReLUDetector(method="activation", verbose=0)
    histograms = []
    monitor.on_histogram = histograms.append
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(
            batches(),
            steps_per_epoch=STEPS // EPOCHS,
            epochs=EPOCHS,
            verbose=0,
            callbacks=[*callbacks, monitor, detector],
        )
    told = [str(w.message) for w in told if w.category is GradGuardWarning]
    trace = monitor.trace
    # A step with a histogram is measured in full, and would not be without.
    measured, updates = trace.measured("update_norm", by="variable")
    at = measured != STEPS // EPOCHS
    seen = trace.activation_steps != STEPS // EPOCHS
    series = {
        lib.GRADIENTS: [trace.steps, trace.get("grad_norm")],
        lib.WEIGHTS: [measured[at], updates[at]],
        lib.ACTIVATIONS: [
            trace.activation("mean")[seen],
            trace.activation("std")[seen],
        ],
        lib.DATA: [trace.data("input_mean")[seen]],
        lib.LOSS: [trace.extra.get("loss")],
        lib.HISTOGRAMS: [h.positive for h in histograms],
        lib.UNITS: list(detector.history.values()),
    }
    return series, told, model


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unharmed"))


def breaks_later():
    """Parts that break when steps have run; what is traced is dear to trace.

    What TensorFlow has traced for any batch breaks no more: one part shows it.
    """
    some = {
        "jax": [lib.GRADIENTS, lib.WEIGHTS, lib.UNITS],
        "tensorflow": [lib.GRADIENTS, lib.WEIGHTS],
    }
    return some.get(keras.backend.backend(), READERS)


@pytest.mark.parametrize(
    ("part", "moment"),
    [
        *((part, 0) for part in READERS),
        *((part, LATER) for part in breaks_later()),
        # The loss of a step comes in one row with its gradients.
        *((part, "drain") for part in DRAINS),
    ],
)
def test_the_other_parts_go_on(part, moment, unharmed, monkeypatch, tmp_path):
    expected, silence, plain = unharmed
    lost = {part, lib.LOSS} if part == lib.GRADIENTS else {part}
    assert silence == []
    place = reader(part, moment)
    at = 0 if moment == "drain" else moment
    series, told, model = run(tmp_path, Breaks(monkeypatch, at, *place))
    # What TensorFlow has compiled for any batch does not fail any more.
    compiled = keras.backend.backend() == "tensorflow" and moment == LATER
    if not compiled or part == lib.WEIGHTS:
        assert len(told) == 1, told
    for message in told:
        what, _, rest = message.partition(" What goes on: ")
        assert "failed with ArithmeticError: broken on purpose" in what
        assert all(one in what and one not in rest for one in lost)
        assert all(other in rest for other in expected if other not in lost)
    assert len(told) <= 1
    for other, arrays in expected.items():
        if other not in lost or not told:
            assert len(arrays)
            for given, right in zip(series[other], arrays, strict=True):
                np.testing.assert_allclose(given, right, rtol=1e-5, atol=1e-7)
    for weight, right in zip(
        model.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_allclose(weight, right, rtol=1e-4, atol=1e-6)
