"""A fit that is killed, and what goes on from what it left.

`train FOLDER BATCH PAUSE` trains, watched, and tells of each batch; the system
kills it so many seconds after that batch, wherever it is then. `resume FOLDER
...` resumes each unwatched and watched, from copies of the same backup, and
prints a line of JSON for each.
"""

import json
import pathlib
import shutil
import signal
import sys
import time

import keras
import numpy as np

import keras_gradguard as kgg

EPOCHS, BATCHES, BATCH = 8, 8, 16


class Tell(keras.callbacks.Callback):
    """Tells of each batch, gives time to be killed in, and sets the clock.

    No code of Python handles the signal: it ends the process as `kill` does.
    """

    def __init__(self, batch, pause):
        super().__init__()
        self.left, self.pause = batch, pause

    def on_train_batch_end(self, batch, logs=None):
        sys.stdout.write("batch\n")
        sys.stdout.flush()
        self.left -= 1
        if not self.left:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(self.pause, 1e-6))
        time.sleep(0.01)


def fit(folder, watched, *tell):
    """Train or go on; return the weights and the optimizer's variables."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(BATCHES * BATCH, 6)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    x[5] = np.nan  # a batch that is skipped in each epoch
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, "relu", name="hidden"),
            keras.layers.Dense(1, name="output"),
        ]
    )
    inner = keras.optimizers.Adam(0.01)
    # torch refuses NaN as a probability.
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(kgg.AutoClip(inner, percentile=50), loss)
    callbacks = [keras.callbacks.BackupAndRestore(str(folder / "backup"))]
    if watched:
        callbacks += [
            kgg.GradientMonitor(
                folder / "log", verbose=0, on_finding="ignore", histogram_freq=1
            ),
            kgg.DeadReLUDetector(verbose=0),
        ]
    if tell:
        callbacks.append(Tell(*tell))
    model.fit(
        *(x, y),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    variables = [*model.weights, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def equal(first, second):
    """Whether two fits ended with the same bits."""
    return len(first) == len(second) and all(
        a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True)
    )


def tried(*arguments):
    """The result of a fit, or the words of the error that it ended in."""
    try:
        return fit(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


def resume(folder, whole):
    """Go on from a killed fit, unwatched and watched."""
    other = folder.with_name(folder.name + "_unwatched")
    shutil.copytree(folder, other)
    ends = tried(other, False), tried(folder, True)
    told = {"folder": folder.name, "resumed": isinstance(ends[0], list)}
    if told["resumed"] and isinstance(ends[1], list):
        told["equal"] = equal(*ends)
        told["as_if_never_killed"] = equal(ends[0], whole)
    else:
        # Keras's own backup may be cut: then neither can go on.
        told["equal"] = ends[0] == ends[1]
        told["why"] = [e for e in ends if isinstance(e, str)]
    log = folder / "log"
    told["drafts"] = [path.name for path in log.glob(".*.tmp")]
    told["records"] = len(kgg.Trace.load(log).steps)
    return told


def main(mode, *arguments):
    """Train in a folder, or go on in each of some."""
    if mode == "train":
        folder, batch, pause = arguments
        fit(pathlib.Path(folder), True, int(batch), float(pause))
        return
    folders = [pathlib.Path(folder) for folder in arguments]
    whole = fit(folders[0].with_name(f"{folders[0].name}_whole"), False)
    for folder in folders:
        sys.stdout.write(json.dumps(resume(folder, whole)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
