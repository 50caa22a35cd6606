"""What is saved during a watched fit is the user's alone."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import models

LOAD = """
import sys, warnings
warnings.simplefilter("error", UserWarning)

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "keras_gradguard":
            raise ImportError("not installed here")
sys.meta_path.insert(0, Blocked())

import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
optimizer = model.optimizer
print(len(optimizer.variables), int(optimizer.iterations))
print(float(sum(np.abs(keras.ops.convert_to_numpy(v)).sum()
                for v in optimizer.variables)))
"""


def optimizers():
    return {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01, momentum=0.9), initial_scale=2.0
        ),
    }


def fit(optimizer, *callbacks, epochs=2):
    keras.backend.clear_session()
    keras.utils.set_random_seed(2)
    model = models.mlp()
    model.compile(optimizer, models.crossentropy())
    x, y = models.dataset()
    model.fit(
        x,
        y,
        batch_size=16,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def load_elsewhere(path, tmp_path):
    """Load a model in a process that cannot import the package."""
    script = tmp_path / "load.py"
    script.write_text(textwrap.dedent(LOAD))
    done = subprocess.run(
        [sys.executable, str(script), str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, iterations, total = done.stdout.split()
    return int(count), int(iterations), float(total)


@pytest.mark.parametrize(
    ("name", "watcher", "arguments"),
    [
        ("adam", GradientMonitor, {}),
        ("loss scale", GradientMonitor, {}),
        ("adam", GradientMonitor, {"histogram_freq": 1}),
        ("adam", DeadReLUDetector, {}),
    ],
)
def test_model_checkpoint_loads_without_the_package(
    name, watcher, arguments, tmp_path
):
    plain, watched = tmp_path / "plain.keras", tmp_path / "watched.keras"
    make = optimizers()[name]
    if arguments:
        arguments = {**arguments, "log_dir": tmp_path / "events"}
    fit(make(), keras.callbacks.ModelCheckpoint(plain))
    fit(
        make(),
        watcher(verbose=0, **arguments),
        keras.callbacks.ModelCheckpoint(watched),
    )
    expected = load_elsewhere(plain, tmp_path)
    assert load_elsewhere(watched, tmp_path) == expected
    assert expected[1] == 8


def test_model_saved_and_weights_saved_in_the_middle_of_a_fit(tmp_path):
    class Saves(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.save(tmp_path / "middle.keras")
                self.model.save_weights(tmp_path / "middle.weights.h5")

    fit("adam", GradientMonitor(verbose=0), Saves(), epochs=1)
    count, iterations, _ = load_elsewhere(tmp_path / "middle.keras", tmp_path)
    model = fit("adam")
    assert (count, iterations) == (len(model.optimizer.variables), 3)
    model.load_weights(tmp_path / "middle.weights.h5")
    assert int(model.optimizer.iterations) == 3


def test_backup_and_restore_goes_on_where_it_stopped(tmp_path):
    class Stops(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("power cut")

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole = fit("adam", epochs=4)
    with pytest.raises(RuntimeError, match="power cut"):
        fit("adam", GradientMonitor(verbose=0), backup(), Stops(), epochs=4)
    monitor = GradientMonitor(verbose=0)
    resumed = fit("adam", backup(), monitor, epochs=4)
    assert int(resumed.optimizer.iterations) == 16
    assert monitor.trace.steps[-1] == 15
    assert len(resumed.optimizer.variables) == len(whole.optimizer.variables)


def test_a_deep_copy_of_the_optimizer_config_is_plain():
    monitor = GradientMonitor(verbose=0)
    model = fit("adam", monitor)
    again = keras.optimizers.deserialize(
        keras.optimizers.serialize(model.optimizer)
    )
    assert type(again) is type(model.optimizer)
    assert np.isfinite(monitor.trace.global_grad_norm).all()
