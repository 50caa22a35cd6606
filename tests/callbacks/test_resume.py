"""A training that was broken off goes on in the files of its log_dir."""

import csv

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models

ROWS, BATCH, EPOCHS = 32, 8, 4
STEPS = ROWS // BATCH


class Stops(keras.callbacks.Callback):
    """The power goes in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 2 * STEPS + 2:
            raise RuntimeError("power cut")


def dying():
    """A net whose first hidden units are dead."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    model = models.mlp(activation="relu")
    model.layers[0].bias.assign(np.full(16, -100.0))
    model.compile("adam", models.crossentropy())
    return model


def fit(model, *callbacks, **arguments):
    x, y = models.dataset(ROWS)
    model.fit(
        x,
        y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **{"epochs": EPOCHS, **arguments},
    )
    return model


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def broken_off(folder, backup):
    def callbacks():
        # After the monitor: it has written what there is by then.
        kept = keras.callbacks.BackupAndRestore(backup)
        return kept, kgg.GradientMonitor(folder, verbose=0)

    with pytest.raises(RuntimeError, match="power cut"):
        fit(dying(), *callbacks(), Stops())
    fit(dying(), *callbacks())


def in_two_fits(folder, backup):
    model = dying()
    fit(model, kgg.GradientMonitor(folder, verbose=0), epochs=2)
    monitor = kgg.GradientMonitor(folder, verbose=0)
    fit(model, monitor, initial_epoch=2)


@pytest.mark.once
@pytest.mark.parametrize("way", [broken_off, in_two_fits])
def test_the_files_go_on_at_the_optimizers_step(way, tmp_path):
    whole = kgg.GradientMonitor(tmp_path / "whole", verbose=0)
    fit(dying(), whole)
    way(tmp_path / "run", tmp_path / "backup")
    trace = kgg.Trace.load(tmp_path / "run")
    assert trace.steps.tolist() == list(range(EPOCHS * STEPS))
    assert trace.epochs.tolist() == list(range(EPOCHS))
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        whole.trace.get("grad_norm", by="variable"),
        rtol=1e-5,
        atol=1e-9,
    )
    np.testing.assert_allclose(
        trace.logs["loss"], whole.trace.logs["loss"], rtol=1e-5
    )
    assert (np.diff(trace.update_steps) >= 0).all()
    found, wanted = (
        rows(tmp_path / name / "epochs.csv") for name in ("run", "whole")
    )
    assert [row["epoch"] for row in found] == [row["epoch"] for row in wanted]
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    layers = rows(tmp_path / "run" / "layers.csv")
    assert sorted({row["epoch"] for row in layers}) == list("0123")


@pytest.mark.once
def test_another_model_or_a_fit_from_the_start_takes_the_files_over(tmp_path):
    fit(dying(), kgg.GradientMonitor(tmp_path, verbose=0))
    fit(dying(), kgg.GradientMonitor(tmp_path, verbose=0), epochs=1)
    assert len(kgg.Trace.load(tmp_path).steps) == STEPS
    assert len(rows(tmp_path / "epochs.csv")) == 1
    model = models.mlp(width=4)
    model.compile("sgd", models.crossentropy())
    fit(model, epochs=1)
    fit(model, kgg.GradientMonitor(tmp_path, verbose=0), epochs=1)
    assert kgg.Trace.load(tmp_path).steps.tolist() == [4, 5, 6, 7]
