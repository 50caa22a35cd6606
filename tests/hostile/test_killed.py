"""A fit that is killed at any moment goes on, watched or not, to equal bits.

`scripts/test-hostile` kills at twenty moments on each backend.
"""

import json
import pathlib
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing import event_file_loader

from keras_gradguard import Trace
from tests import fresh
from tests.hostile import budget

# Starts processes with backends of their own: once is enough.
pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "hostile" / "killed_fit.py"
KILLS = 1 if budget.SCALE == 1 else 20
FIRST, LAST = 9, 8 * 8 - 2


def killed(backend, folder, batch, pause):
    """Train until so many batches are told and a moment longer."""
    folder.mkdir()
    done = fresh.run(
        PROGRAM, "train", folder, batch, pause, cwd=ROOT, backend=backend
    )
    assert done.returncode == -signal.SIGALRM, done.stderr[-3000:]
    assert done.stdout.count("batch\n") >= batch


def check_log(log):
    """What a killed run left can be read."""
    if (log / "trace.npz").exists():
        assert len(Trace.load(log).layers) == 2
    if (log / "run.json").exists():
        assert json.loads((log / "run.json").read_text())["state"] == "running"
    for path in log.glob("events.*"):
        loader = event_file_loader.LegacyEventFileLoader(str(path))
        assert all(event.wall_time > 0 for event in loader.Load())


@pytest.mark.skipif(not fresh.HAS_FORK, reason="no clock that kills here")
@pytest.mark.optimized
@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_a_killed_fit_goes_on_watched_as_unwatched(backend, tmp_path):
    pytest.importorskip(backend)
    rng = np.random.default_rng(5)
    folders = [tmp_path / f"run{at}" for at in range(KILLS)]
    drafts = 0
    for folder in folders:
        batch = int(rng.integers(FIRST, LAST))
        killed(backend, folder, batch, rng.uniform(0, 0.02))
        check_log(folder / "log")
        drafts += len(list((folder / "log").glob(".*.tmp")))
    told = []
    for at in range(0, KILLS, 10):
        done = fresh.run(
            *(PROGRAM, "resume", *folders[at : at + 10]),
            cwd=ROOT,
            backend=backend,
        )
        assert not done.returncode, done.stderr[-3000:]
        told += map(json.loads, done.stdout.splitlines())
    assert len(told) == KILLS
    assert all(one["equal"] for one in told), told
    assert all(one["drafts"] == [] for one in told), told
    whole = sum(one.get("as_if_never_killed", False) for one in told)
    sys.stdout.write(
        f"{backend}: {KILLS} kills, {drafts} drafts left and removed, "
        f"{sum(one['resumed'] for one in told)} resumed, watched and "
        f"unwatched equal {len(told)}, equal to the run that was never "
        f"killed {whole}\n"
    )
    resumed = [one for one in told if one["resumed"]]
    assert all(one["records"] > 0 for one in resumed)
    assert all(one["as_if_never_killed"] for one in resumed), told
