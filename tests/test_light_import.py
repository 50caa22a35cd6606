"""Importing the package costs nothing and drags nothing in."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = "{'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'tensorboard'}"


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, keras_gradguard; print({HEAVY} & set(sys.modules))"
    assert run(code) == "set()"


def test_a_trace_is_read_and_judged_with_keras_blocked(tmp_path):
    trace = kgg.Trace(["a"], ["a/kernel"], [0])
    trace.append(np.arange(50), np.ones((50, 1)))
    trace.save(tmp_path / "trace.npz")
    code = (
        "import sys\n"
        f"for name in {HEAVY}: sys.modules[name] = None\n"
        "import keras_gradguard as kgg\n"
        "trace = kgg.Trace.load(sys.argv[1])\n"
        "report = kgg.diagnose(trace)\n"
        "for end in ('html', 'md', 'json'): report.save(f'r.{end}')\n"
        "print(len(trace.steps), report.healthy)\n"
    )
    code = f"import os; os.chdir({str(tmp_path)!r})\n{code}"
    assert run(code, str(tmp_path / "trace.npz")) == "50 None"
    assert (tmp_path / "r.html").stat().st_size


def test_the_monitor_imports_no_second_backend():
    # Keras itself imports some of them; we add nothing to those.
    code = (
        "import sys, keras\n"
        f"names = {HEAVY}\n"
        "before = names & set(sys.modules)\n"
        "from keras_gradguard import GradientMonitor\n"
        "GradientMonitor()\n"
        "print(sorted(names & set(sys.modules) - before))\n"
    )
    assert run(code) == "[]"
