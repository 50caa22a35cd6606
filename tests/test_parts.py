"""`scripts/parts.py` runs two commands at a time, whole, and names failures."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.pure

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "parts.py"
# Until a file is there, at most a minute.
AWAIT = (
    "for i in {{1..6000}}; do [ -e {0} ] && break; sleep .01; done; [ -e {0} ]"
)


def start(folder, *parts):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *parts],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_run_at_once_and_the_third_when_one_has_ended(tmp_path):
    done = start(
        tmp_path,
        f"first=touch 1; {AWAIT.format(2)}; {AWAIT.format(3)}",
        f"second=touch 2; {AWAIT.format(1)}; [ -e 3 ] || echo third waited",
        "third=touch 3",
    )
    out, err = done.communicate()
    assert (done.returncode, err) == (0, "")
    assert "third waited" in out
    assert out.endswith("all passed: first, second, third\n")


def test_each_output_is_whole_and_a_failure_is_named(tmp_path):
    lines = "for i in {1..300}; do echo $0 $i; done".replace
    done = start(
        tmp_path,
        f"one={lines('$0', 'one')}",
        f"two={lines('$0', 'two')}; echo lost >&2; exit 7",
        "three=read line || echo no input",
        "four=exit 2",
    )
    out, err = done.communicate()
    assert (done.returncode, err) == (1, "failed: two, four\n")
    for name in "one", "two":
        whole = "".join(f"{name} {i}\n" for i in range(1, 301))
        assert f"==\n{whole}" in out, name
    assert "two 300\nlost\n" in out
    assert "failed with 7" in out
    assert "no input" in out


# Holds a pipe open as long as it lives, and says so if it lives on.
LIVE = "{ touch $0; sleep 60; echo lived on; } >pipe"


@pytest.fixture
def pipe(tmp_path):
    """What is read to its end once nobody holds it any more."""
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    with open(descriptor) as file:
        yield file


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_behind_an_interrupt(tmp_path, pipe, number):
    part = f"$0=trap 'touch cleared' EXIT; {LIVE}"
    running = start(tmp_path, *(part.replace("$0", n) for n in "abc"))
    subprocess.run(
        ["bash", "-c", f"{AWAIT.format('a')} && {AWAIT.format('b')}"],
        cwd=tmp_path,
        check=True,
    )
    running.send_signal(number)
    running.communicate()
    assert running.returncode == 128 + number
    assert (tmp_path / "cleared").exists()
    assert not (tmp_path / "c").exists()
    assert pipe.read() == ""


def test_what_a_part_leaves_running_ends_with_it(tmp_path, pipe):
    done = start(tmp_path, f"leaves={LIVE.replace('$0', 'a')} & echo started")
    out, _ = done.communicate()
    assert done.returncode == 0
    assert "started" in out
    assert pipe.read() == ""
