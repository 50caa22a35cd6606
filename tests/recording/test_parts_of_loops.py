"""What fails in a loop of the user's own fails in part, as in `fit`."""

import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard import GradGuardWarning
from keras_gradguard.recording import loop
from keras_gradguard.recording import parts as lib
from keras_gradguard.recording.step import batch_statistics
from keras_gradguard.recording.step import packing
from keras_gradguard.recording.step.gathering import Gathering
from keras_gradguard.recording.step.gradients import GradientTap
from tests import models

STEPS, LATER = 18, 5
READERS = {
    lib.GRADIENTS: (GradientTap, "_record_gradients"),
    lib.WEIGHTS: (GradientTap, "_remember_weights"),
    lib.ACTIVATIONS: (Gathering, "_note_outputs"),
    lib.DATA: (batch_statistics, "pack"),
    lib.LOSS: (GradientTap, "_loss"),
}
# Weights and the loss come in one row with the gradients.
DRAINS = {
    lib.GRADIENTS: (loop, "read_part"),
    lib.ACTIVATIONS: (packing.Packing, "activations_of"),
    lib.DATA: (packing, "data_of"),
}
CASES = [
    *((part, READERS[part], at) for part in READERS for at in (0, LATER)),
    *((part, place, "drain") for part, place in DRAINS.items()),
]


def broken(*args, **kwargs):
    raise ArithmeticError("broken on purpose")


def run(break_at=None, place=None):
    """Series by part, our warnings, and the weights, of a short loop."""
    keras.utils.set_random_seed(1)
    model = models.mlp(activation="relu")
    model.compile("adam", models.crossentropy())
    model.optimizer.build(model.trainable_variables)
    x, y = models.dataset(8 * STEPS)
    patch = pytest.MonkeyPatch()
    with warnings.catch_warnings(record=True) as told, patch.context() as patch:
        warnings.simplefilter("always")
        with kgg.watch(model, verbose=0) as monitor:
            for i in range(STEPS):
                if i == break_at:
                    patch.setattr(*place, broken)
                # From there on a compiled step is traced anew.
                rows = slice(8 * i, 8 * i + (8 if i < LATER else 7))
                model.train_on_batch(x[rows], y[rows])
    told = [str(w.message) for w in told if w.category is GradGuardWarning]
    trace = monitor.trace
    steps, updates = trace.measured("update_norm", by="variable")
    series = {
        lib.GRADIENTS: [trace.steps, trace.get("grad_norm")],
        lib.WEIGHTS: [steps, updates],
        lib.ACTIVATIONS: [trace.activation("mean"), trace.activation("std")],
        lib.DATA: [trace.data("input_mean")],
        lib.LOSS: [trace.extra.get("loss")],
    }
    return series, told, model.get_weights()


@pytest.fixture(scope="module")
def unharmed():
    return run()


@pytest.mark.parametrize(("part", "place", "moment"), CASES)
def test_the_other_parts_go_on(part, place, moment, unharmed):
    expected, silence, plain = unharmed
    assert silence == []
    at = 0 if moment == "drain" else moment
    series, told, weights = run(at, place)
    assert len(told) == 1, told
    what, _, rest = told[0].partition(" What goes on: ")
    assert "broken on purpose" in what
    # In a loop they come in one row.
    of_gradients = {lib.GRADIENTS, lib.WEIGHTS, lib.LOSS}
    lost = of_gradients if part == lib.GRADIENTS else {part}
    for other, arrays in expected.items():
        if other not in lost:
            # Before the first one comes, nobody knows of a loss.
            assert other in rest or other == lib.LOSS
            for given, right in zip(series[other], arrays, strict=True):
                np.testing.assert_allclose(
                    given, right, rtol=1e-6, atol=1e-7, err_msg=other
                )
    for weight, right in zip(weights, plain, strict=True):
        np.testing.assert_allclose(weight, right, rtol=1e-4, atol=1e-6)
