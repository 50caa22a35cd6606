"""A run directory has one writer, and a second one is told."""

import json
import os
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.reporting.claim import LOCK
from tests import models

pytestmark = pytest.mark.once


def fit(*callbacks, epochs=2, **kwargs):
    model = models.mlp(activation="relu")
    model.compile(keras.optimizers.SGD(0.1), models.crossentropy())
    x, y = models.dataset(48)
    model.fit(
        x,
        y,
        batch_size=16,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
        **kwargs,
    )


def events(folder):
    return sorted(p.name for p in folder.glob("events*"))


def assert_one_run(folder, epochs=2):
    assert len(events(folder)) == 1
    rows = (folder / "epochs.csv").read_text().splitlines()
    assert len(rows) == 1 + epochs
    assert not (folder / LOCK).exists()


def test_a_second_monitor_of_a_fit_is_told(tmp_path):
    first, second = (
        kgg.GradientMonitor(log_dir=tmp_path, verbose=0) for _ in range(2)
    )
    with pytest.warns(kgg.GradGuardWarning, match="another GradientMonitor"):
        fit(first, second)
    assert_one_run(tmp_path)
    assert second.trace.records_seen == first.trace.records_seen == 6


@pytest.mark.parametrize("first", ["monitor", "detector"])
def test_a_detector_leaves_the_directory_to_the_monitor(tmp_path, first):
    monitor = kgg.GradientMonitor(log_dir=tmp_path, verbose=0)
    detector = kgg.DeadReLUDetector(log_dir=tmp_path, verbose=0)
    both = [monitor, detector]
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        fit(*(both if first == "monitor" else both[::-1]))
    assert_one_run(tmp_path)
    # Whoever comes first: each step is recorded.
    assert monitor.trace.steps.tolist() == list(range(6))


def test_a_detector_alone_writes_and_fits_follow_each_other(tmp_path):
    detector = kgg.DeadReLUDetector(log_dir=tmp_path, verbose=0)
    monitor = kgg.GradientMonitor(log_dir=tmp_path / "m", verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        fit(detector)
        fit(detector)
        fit(monitor)
        fit(kgg.GradientMonitor(log_dir=tmp_path / "m", verbose=0))
    assert len(events(tmp_path)) == 2
    assert len(events(tmp_path / "m")) == 2


class Interrupted(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_does_not_keep_the_directory(tmp_path):
    left = kgg.GradientMonitor(log_dir=tmp_path, verbose=0)
    # The traceback keeps the whole fit alive, as a notebook does.
    with pytest.raises(KeyboardInterrupt) as kept:
        fit(left, Interrupted())
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        fit(kgg.GradientMonitor(log_dir=tmp_path, verbose=0))
    assert kept.value is not None
    assert not (tmp_path / LOCK).exists()
    trace = kgg.Trace.load(tmp_path / "trace.npz")
    assert trace.records_seen == 6


_HOLDER = """
import os, sys, time
from keras_gradguard.reporting.claim import Claim
claim = Claim(sys.argv[1], "GradientMonitor", None, lambda: True, None)
child = os.fork() if len(sys.argv) > 2 else None
if child == 0:
    time.sleep(60)
print(child or 0, flush=True)
time.sleep(60)
"""


def holder(folder, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    return process, int(process.stdout.readline())


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
@pytest.mark.parametrize("forks", [False, True])
def test_another_process_holds_it_until_it_dies(tmp_path, forks):
    process, child = holder(tmp_path, *(["fork"] if forks else []))
    try:
        monitor = kgg.GradientMonitor(log_dir=tmp_path, verbose=0)
        match = f"process {process.pid} .*Choose another directory"
        with pytest.warns(kgg.GradGuardWarning, match=match):
            fit(monitor)
        assert not events(tmp_path)
        assert monitor.trace.records_seen == 6
        assert np.isfinite(monitor.trace.global_grad_norm).all()
        told = json.loads((tmp_path / LOCK).read_text())
        assert told["pid"] == process.pid
        process.kill()
        process.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error", kgg.GradGuardWarning)
            fit(kgg.GradientMonitor(log_dir=tmp_path, verbose=0))
        assert_one_run(tmp_path)
    finally:
        process.kill()
        if child:
            os.kill(child, signal.SIGKILL)
