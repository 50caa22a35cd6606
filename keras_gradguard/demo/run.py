"""Trains the cases of the demo and prints what was found."""

import os
import shutil
import sys
import time
from pathlib import Path

import keras

from keras_gradguard.callbacks.gradient_monitor import GradientMonitor
from keras_gradguard.demo.cases import CASES


def run(cases, log_dir, epochs=None, seed=1):
    """Train the cases, sick and healed, each under a `GradientMonitor`.

    Args:
        cases: List of keys of `CASES`.
        log_dir: Str or path. Each network gets a directory in it.
        epochs: Int. Train for at most so many epochs. Defaults to what each
            case needs.
        seed: Int. Seed of all random numbers. Defaults to 1.

    Returns:
        List of (`Case`, `GradientMonitor`), in the order of training.
    """
    print(
        f"keras_gradguard demo, Keras {keras.__version__} on "
        f"{keras.backend.backend()}: small networks that cannot learn, and "
        "what heals them.\nSick ones stop as soon as they are diagnosed."
    )
    begin, done, rows = time.perf_counter(), [], []
    for case in [case for name in cases for case in CASES[name]]:
        limit = case.epochs if epochs is None else min(epochs, case.epochs)
        print(f"\n=== {case.title} ===", flush=True)
        monitor, history = _train(case, Path(log_dir), limit, seed)
        last = {name: series[-1] for name, series in history.history.items()}
        found = ", ".join(f.rule for f in monitor.findings) or "healthy"
        rows.append(
            f"{case.name:18} {len(history.epoch):4} of {limit:<4} "
            f"{last['loss']:6.3f} {last['accuracy']:9.2f}   {found}"
        )
        done.append((case, monitor))
    print(
        f"\n{'Network':18} {'Epochs':>12} {'Loss':>6} {'Accuracy':>9}   Found"
    )
    print("\n".join(rows))
    print(f"\nDone in {time.perf_counter() - begin:.0f} s. Have a look:")
    programs = _programs()
    print(f"  {programs}python -m keras_gradguard report {log_dir}")
    print(
        f"  {programs}tensorboard --logdir {log_dir}    "
        "then open http://localhost:6006/#keras_gradguard"
    )
    return done


def _programs():
    """Return what leads to the programs of this environment: "" if on PATH."""
    folder = os.path.dirname(sys.executable)
    found = shutil.which("python")
    # A link in a virtual environment leads out of it: it is not followed.
    if found and os.path.dirname(os.path.abspath(found)) == folder:
        return ""
    near = os.path.relpath(folder)
    return f"{folder if near.startswith('..') else near}{os.sep}"


def _train(case, log_dir, epochs, seed):
    folder = log_dir / case.name
    # TensorBoard would draw the curves of earlier demos over these.
    for old in folder.glob("events.out.tfevents.*.gradguard"):
        old.unlink()
    keras.utils.set_random_seed(seed)
    x, y = case.data()
    monitor = GradientMonitor(
        log_dir=folder, on_finding="stop" if case.sick else "warn"
    )
    history = case.build().fit(
        x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[monitor]
    )
    return monitor, history
