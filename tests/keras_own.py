"""Keras's own tests, as its wheel ships them, with every `fit` watched.

`python -m tests.keras_own` with `KERAS_BACKEND` set runs them twice, plain and
watched, and compares which pass and what each `fit` leaves: weights, state of
the optimizer and history, bit for bit. Fits that differ are tried a second
time plain: what differs by itself says nothing.

It is a plugin of pytest as well (`-p tests.keras_own`), by which the two runs
seed each test and note what each `fit` left. Tests of distribution run in a
process of their own: they want more than one device, and some clear the
environment.
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
# What a backend's own folder has of them.
OF_BACKEND = ("*trainer*", "*distribut*", "saved_model*")
JAX_TRAINER = ("jax", "trainer_test.py")
DEVICES = "--xla_force_host_platform_device_count=8"
NOTES, WATCH = "KERAS_OWN_NOTES", "KERAS_OWN_WATCH"
# Fits with updates of which something was recorded, and nothing.
RECORDED, DEAF = "recorded", "deaf"
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


def updates_of(model):
    """How many updates the optimizer of a model has made."""
    optimizer = getattr(model, "optimizer", None)
    counted = getattr(optimizer, "iterations", None)
    return 0 if counted is None else int(counted)


def watched_fit(fit):
    """A `fit` with both callbacks, that notes what it left."""
    import keras

    import keras_gradguard as kgg

    signature = inspect.signature(fit)

    def run(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        watched = os.environ.get(WATCH) and not isinstance(
            given, keras.callbacks.CallbackList
        )
        if watched:
            ours = [
                kgg.GradientMonitor(verbose=0),
                kgg.DeadReLUDetector(verbose=0),
            ]
            before = list(given) if isinstance(given, list | tuple) else [given]
            bound.arguments["callbacks"] = [
                *(callback for callback in before if callback is not None),
                *ours,
            ]
        model, before = bound.args[0], updates_of(bound.args[0])
        history = fit(*bound.args, **bound.kwargs)
        _notes.setdefault(_current, []).append(digest(model, history))
        monitor = bound.arguments["callbacks"][-2] if watched else None
        if watched and updates_of(model) > before:
            seen = monitor.trace.records_seen
            _notes.setdefault(RECORDED if seen else DEAF, []).append(_current)
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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    """Undo what a test does to the environment: some clear it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


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
    own = package / "backend" / os.environ["KERAS_BACKEND"]
    found = [
        path
        for folder in FOLDERS
        for path in sorted((package / folder).glob("*_test.py"))
    ]
    for kind in OF_BACKEND:
        found += sorted(own.glob(f"{kind}_test.py"))
    return [str(path) for path in found]


def is_of_many_devices(name):
    """Whether a test file wants more than one device."""
    path = Path(name.partition("::")[0])
    return "distribut" in path.name or path.parts[-2:] == JAX_TRAINER


def lots(chosen):
    """Test files by the environment that they need: list of both."""
    many = [name for name in chosen if is_of_many_devices(name)]
    rest = [name for name in chosen if name not in many]
    return [
        (names, flags)
        for names, flags in ((rest, {}), (many, {"XLA_FLAGS": DEVICES}))
        if names
    ]


def run(name, watch, chosen):
    """Run the tests; dict of test to what was noted of it."""
    found = {}
    for names, flags in lots(chosen):
        for test, notes in run_lot(name, watch, names, flags).items():
            found.setdefault(test, []).extend(notes)
    return found


def run_lot(name, watch, chosen, flags):
    """Run the tests of one process."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        environment = {**os.environ, **flags, NOTES: str(notes)}
        if watch:
            environment[WATCH] = "1"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q"),
                *("-p", "tests.keras_own", "--tb=line", "-W", "ignore"),
                *("-p", "no:cacheprovider"),
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
        if not notes.exists():
            said = f"{done.stdout}\n{done.stderr}"[-2000:]
            raise SystemExit(f"the process ended early:\n{said}")
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
    recorded, deaf = (watched.pop(kind, []) for kind in (RECORDED, DEAF))
    differ = [
        test for test, notes in plain.items() if watched.get(test) != notes
    ]
    if differ:
        again = run("plain, once more", False, chosen)
        differ = [test for test in differ if again.get(test) == plain[test]]
    fits = sum(max(0, len(notes) - 1) for notes in plain.values())
    sys.stdout.write(f"{len(plain)} tests, {fits} fits; ")
    sys.stdout.write(f"{len(differ)} differ when watched\n")
    sys.stdout.write(f"{len(recorded)} fits with updates were recorded; ")
    sys.stdout.write(f"{len(deaf)} were not\n")
    for test in sorted(set(deaf)):
        sys.stdout.write(f"  not recorded: {test}\n")
    for test in differ:
        ends = plain[test][-1], watched.get(test, ["not run"])[-1]
        sys.stdout.write(f"  {test}: {ends[0]}, {ends[1]}\n")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
