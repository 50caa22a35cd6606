"""Where TensorFlow is installed and not used, nothing of ours imports it."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
# A fit and a check of each kind; prints the first that imports TensorFlow.
PROGRAM = """\
import os
import sys
import keras
import numpy as np
import keras_gradguard as kgg

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x[:, :1]
log_dir = sys.argv[1]


def sequential(optimizer="adam", **arguments):
    model = keras.Sequential(
        [keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse", **arguments)
    return model


def functional(optimizer="adam"):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, "relu", kernel_initializer="he_normal")(
        inputs
    )
    outputs = [keras.layers.Dense(1, name=n)(hidden) for n in "ab"]
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer, ["mse", keras.losses.Huber()], loss_weights=[1.0, 0.5],
        metrics=[["mae"], []],
    )
    return model


def fit(model, *callbacks):
    target = y if isinstance(model, keras.Sequential) else [y, y]
    model.fit(x, target, epochs=2, verbose=0, callbacks=list(callbacks))
    return model


def scheduled():
    decay = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    return keras.optimizers.SGD(decay, momentum=0.9)


def report():
    monitor = kgg.GradientMonitor(verbose=0)
    fit(sequential(), monitor)
    monitor.report().save(os.path.join(log_dir, "report.html"))
    monitor.trace.save(os.path.join(log_dir, "trace.npz"))
    kgg.Trace.load(os.path.join(log_dir, "trace.npz"))


def built():
    return functional(scheduled())


steps = {
    "plain": lambda: fit(sequential()),
    "monitor": lambda: fit(sequential(), kgg.GradientMonitor(verbose=0)),
    "monitor of a graph": lambda: fit(
        functional(scheduled()), kgg.GradientMonitor(verbose=0)
    ),
    "detector": lambda: fit(
        functional(), kgg.DeadReLUDetector(revive=True, verbose=0)
    ),
    "AutoClip": lambda: fit(functional(kgg.AutoClip(scheduled()))),
    "report": report,
    "log_dir": lambda: fit(
        functional(kgg.AutoClip("adam")),
        kgg.GradientMonitor(log_dir, verbose=0, histogram_freq=1),
        kgg.DeadReLUDetector(log_dir=log_dir + "/units", verbose=0),
    ),
    "check": lambda: kgg.check(sequential(), x, y),
    "check of a graph": lambda: kgg.check(built(), x, [y, y]),
    "check after training": lambda: kgg.check(fit(built()), x, [y, y]),
    "presets": lambda: kgg.presets.convert(built(), "lecun_selu"),
    "heal": lambda: kgg.heal(fit(sequential("sgd")), x=100 * x, y=y, epochs=1),
}
for name, step in steps.items():
    step()
    if "tensorflow" in sys.modules:
        raise SystemExit(f"TensorFlow came with: {name}")
print(len(steps), "steps")
"""


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow is in use."
)
def test_tensorflow_is_not_imported(tmp_path):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed.")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=600,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert done.stdout.splitlines()[-1] == "12 steps"
    assert list(tmp_path.rglob("events.out.tfevents.*"))
