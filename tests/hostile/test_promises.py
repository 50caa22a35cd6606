"""What SECURITY.md promises, watched by Python's own audit of a process."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("tensorboard")

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
wrong = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        inside = str(path).startswith((str(folder), os.devnull))
        if isinstance(path, str) and flags & writes and not inside:
            wrong.append(f"writes {path}")
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo",
                   "pickle.find_class", "subprocess.Popen", "os.system",
                   "os.exec", "os.posix_spawn", "urllib.Request"):
        wrong.append(f"{event} {arguments[:2]}")

import keras_gradguard as kgg
from keras_gradguard.reporting.tensorboard import writer
from tests.hostile import readers, runs, streams
sys.addaudithook(watch)
for kind in runs.KINDS:
    path = folder / f"{kind}.npz"
    runs.make(kind).save(path)
    assert readers.outcome_of_trace(path) == "right"
    outcome, _ = readers.outcome_of_stream(
        streams.packed(streams.whole(kind)))
    assert outcome == "right"
sys.stdout.write("\\n".join(wrong) + "|end")
"""


def test_no_pickle_no_network_nothing_outside_the_log_directory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "|end", done.stdout
    assert (tmp_path / "run" / "run.json").is_file()


def test_the_audit_would_tell(tmp_path):
    program = PROGRAM.replace(
        "for kind in runs.KINDS:",
        "open(folder.parent / 'x', 'w').close()\nimport pickle\n"
        "pickle.loads(pickle.dumps(pathlib.Path))\nfor kind in ():",
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path / "in")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "writes" in done.stdout, done.stderr
    assert "pickle.find_class" in done.stdout
