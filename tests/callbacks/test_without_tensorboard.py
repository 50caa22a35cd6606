"""What is written where TensorBoard is not installed."""

import sys
import warnings

import keras
import pytest

import keras_gradguard as kgg
from tests import models

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def no_tensorboard(monkeypatch):
    for name in ("tensorboard", *sys.modules):
        if name.split(".")[0] == "tensorboard":
            monkeypatch.setitem(sys.modules, name, None)


def fit(callback):
    model = models.mlp(activation="relu")
    model.compile(keras.optimizers.SGD(0.1), models.crossentropy())
    x, y = models.dataset(48)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])


def test_all_but_the_events_is_written_and_told_once(tmp_path):
    monitor = kgg.GradientMonitor(log_dir=tmp_path, verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(monitor)
    (told,) = [w for w in caught if w.category is kgg.GradGuardWarning]
    assert 'pip install "keras-gradguard[tensorboard]"' in str(told.message)
    assert str(tmp_path) in str(told.message)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"trace.npz", "run.json", "epochs.csv", "layers.csv"} <= written
    assert len(kgg.Trace.load(tmp_path)) == len(monitor.trace) == 6
    assert not [name for name in written if name.startswith("events")]


def test_histograms_are_for_tensorboard_alone_so_they_ask_for_it(tmp_path):
    monitor = kgg.GradientMonitor(log_dir=tmp_path, histogram_freq=1, verbose=0)
    with pytest.raises(ImportError, match="keras-gradguard\\[tensorboard"):
        fit(monitor)
