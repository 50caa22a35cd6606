"""Keras's own tests, as its wheel ships them, with every `fit` watched.

`python -m tests.keras_own` with `KERAS_BACKEND` set runs them twice, plain and
watched, and compares which pass and what each `fit` leaves: weights, state of
the optimizer and history, bit for bit. Fits that differ are tried a second
time plain: what differs by itself says nothing.

It is a plugin of pytest as well (`-p tests.keras_own`), by which the two runs
seed each test and note what each `fit` left.
"""

import hashlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

FOLDERS = ("trainers", "callbacks", "models", "saving", "distribution")
FOLDERS += ("wrappers",)
NOTES, WATCH = "KERAS_OWN_NOTES", "KERAS_OWN_WATCH"
_notes: dict = {}
_current = None


def digest(model, history):
    """What a fit left, as one hash."""
    import keras
    import numpy as np

    found = hashlib.sha256()
    variables = [*model.variables, *getattr(model.optimizer, "variables", ())]
    for variable in variables:
        try:
            array = np.asarray(keras.ops.convert_to_numpy(variable))
        except Exception:  # of a string, or a generator's state
            continue
        found.update(array.tobytes())
    logs = getattr(history, "history", None) or {}
    found.update(repr(sorted(logs.items(), key=str)).encode())
    return found.hexdigest()


def watched_fit(fit):
    """A `fit` with both callbacks, that notes what it left."""
    import keras

    import keras_gradguard as kgg

    signature = inspect.signature(fit)

    def run(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        if os.environ.get(WATCH) and not isinstance(
            given, keras.callbacks.CallbackList
        ):
            ours = [
                kgg.GradientMonitor(verbose=0),
                kgg.DeadReLUDetector(verbose=0),
            ]
            before = list(given) if isinstance(given, list | tuple) else [given]
            bound.arguments["callbacks"] = [
                *(callback for callback in before if callback is not None),
                *ours,
            ]
        history = fit(*bound.args, **bound.kwargs)
        left = digest(bound.args[0], history)
        _notes.setdefault(_current, []).append(left)
        return history

    return run


def pytest_configure(config):
    """Keras's own marks and settings are not in its wheel."""
    import keras

    def skip_if_backend(name, reason):
        return pytest.mark.skipif(
            keras.backend.backend() == name, reason=reason
        )

    settings = types.ModuleType("conftest")
    settings.skip_if_backend = skip_if_backend
    sys.modules.setdefault("conftest", settings)
    for mark in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", mark)
    trainer = next(c for c in keras.Model.__mro__ if "fit" in vars(c))
    trainer.fit = watched_fit(trainer.fit)


def name_of(test):
    """The name of a test, without places in memory: they differ each time."""
    return re.sub("0x[0-9a-f]+", "0x", test)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Draw the same numbers in all runs."""
    global _current
    import keras

    _current = name_of(item.nodeid)
    keras.utils.set_random_seed(0)


def pytest_runtest_logreport(report):
    """Note how each test ended."""
    if report.when == "call" or report.outcome != "passed":
        _notes.setdefault(name_of(report.nodeid), []).append(report.outcome)


def pytest_sessionfinish():
    """Write all that was noted."""
    Path(os.environ[NOTES]).write_text(json.dumps(_notes))


def files():
    """The test files of the installed Keras."""
    package = Path(importlib.util.find_spec("keras").origin).parent / "src"
    return [
        str(path)
        for folder in FOLDERS
        for path in sorted((package / folder).glob("*_test.py"))
    ]


def run(name, watch, chosen):
    """Run the tests; dict of test to what was noted of it."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        environment = {**os.environ, NOTES: str(notes)}
        if watch:
            environment[WATCH] = "1"
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-p",
                    "tests.keras_own",
                ),
                *("--tb=line", "-W", "ignore", "-p", "no:cacheprovider"),
                # Some need packages that are not installed.
                "--continue-on-collection-errors",
                *("--rootdir", folder, "-c", os.devnull),
                *chosen,
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        last = (done.stdout.strip().splitlines() or [done.stderr])[-1]
        sys.stdout.write(f"{name}: {last}\n")
        sys.stdout.flush()
        return json.loads(notes.read_text())


def main(chosen):
    chosen = chosen or files()
    if not chosen:
        sys.stdout.write("this Keras is installed without its tests\n")
        return 0
    plain, watched = (
        run(name, watch, chosen)
        for name, watch in (("plain", False), ("watched", True))
    )
    differ = [test for test, notes in plain.items() if watched[test] != notes]
    if differ:
        again = run("plain, once more", False, chosen)
        differ = [test for test in differ if again[test] == plain[test]]
    fits = sum(max(0, len(notes) - 1) for notes in plain.values())
    sys.stdout.write(f"{len(plain)} tests, {fits} fits; ")
    sys.stdout.write(f"{len(differ)} differ when watched\n")
    for test in differ:
        sys.stdout.write(f"  {test}: {plain[test][-1]}, {watched[test][-1]}\n")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
