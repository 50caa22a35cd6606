"""A lock that outlived its process is taken over, if it is known to be dead."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest

from keras_gradguard.reporting import claim

pytestmark = pytest.mark.pure
fcntl = pytest.importorskip("fcntl")


@pytest.fixture
def dead():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@contextlib.contextmanager
def held(folder, host, pid):
    """The lock of a directory, held as by a child of a process."""
    with open(folder / claim.LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"pid": pid, "host": host, "since": 0.0}, file)
        file.flush()
        yield


def claimed(folder):
    return claim.Claim(folder, "GradientMonitor", None, lambda: True, None)


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, dead):
    with held(tmp_path, socket.gethostname(), dead):
        mine = claimed(tmp_path)
        told = json.loads((tmp_path / claim.LOCK).read_text())
        assert told["pid"] == os.getpid()
        mine.release()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_that_of_a_process_that_may_live_is_not(tmp_path, dead, where):
    # Which numbers another machine has in use is not known here.
    host, pid = socket.gethostname(), os.getpid()
    if where == "elsewhere":
        host, pid = "another-machine", dead
    said = f"process {pid} on {host}"
    with (
        held(tmp_path, host, pid),
        pytest.raises(claim.Taken, match=said),
    ):
        claimed(tmp_path)
    claimed(tmp_path).release()
