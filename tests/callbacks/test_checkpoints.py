"""What is saved during a watched fit is the user's alone."""

import textwrap

import keras
import numpy as np
import pytest

from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import fresh
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

for path in sys.argv[1:]:
    optimizer = keras.models.load_model(path).optimizer
    total = sum(np.abs(keras.ops.convert_to_numpy(v)).sum()
                for v in optimizer.variables)
    print(len(optimizer.variables), int(optimizer.iterations), float(total))
"""
CASES = [
    ("adam", GradientMonitor, {}),
    ("loss scale", GradientMonitor, {}),
    ("adam", GradientMonitor, {"histogram_freq": 1}),
    ("adam", DeadReLUDetector, {}),
]


def optimizers():
    return {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01, momentum=0.9), initial_scale=2.0
        ),
    }


def fit(optimizer, *callbacks, epochs=2):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    model = models.mlp(width=8, depth=1)
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


def load_elsewhere(paths, folder):
    """Load models in a process that cannot import the package."""
    script = folder / "load.py"
    script.write_text(textwrap.dedent(LOAD))
    done = fresh.run(script, *paths, cwd=folder)
    assert done.returncode == 0, done.stderr
    numbers = (line.split() for line in done.stdout.splitlines())
    return [(int(n), int(step), float(total)) for n, step, total in numbers]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """What a process without the package loads, by the name of the file."""
    folder = tmp_path_factory.mktemp("saved")
    for name, make in optimizers().items():
        path = folder / f"plain {name}.keras"
        fit(make(), keras.callbacks.ModelCheckpoint(path))
    for at, (name, watcher, arguments) in enumerate(CASES):
        if arguments:
            arguments = {**arguments, "log_dir": folder / "events"}
        fit(
            optimizers()[name](),
            watcher(verbose=0, **arguments),
            keras.callbacks.ModelCheckpoint(folder / f"watched {at}.keras"),
        )

    class Saves(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.save(folder / "middle.keras")
                self.model.save_weights(folder / "middle.weights.h5")

    fit("adam", GradientMonitor(verbose=0), Saves(), epochs=1)
    paths = sorted(folder.glob("*.keras"))
    loaded = load_elsewhere(paths, folder)
    found = {p.stem: n for p, n in zip(paths, loaded, strict=True)}
    return {**found, "weights": folder / "middle.weights.h5"}


@pytest.mark.optimized
@pytest.mark.parametrize("at", range(len(CASES)))
def test_model_checkpoint_loads_without_the_package(at, saved):
    expected = saved[f"plain {CASES[at][0]}"]
    assert saved[f"watched {at}"] == expected
    assert expected[1] == 8


def test_model_saved_and_weights_saved_in_the_middle_of_a_fit(saved):
    count, iterations, _ = saved["middle"]
    model = fit("adam")
    assert (count, iterations) == (len(model.optimizer.variables), 3)
    model.load_weights(saved["weights"])
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
