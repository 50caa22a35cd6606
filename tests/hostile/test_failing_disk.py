"""A disk that fails at any moment costs reports, not the run."""

import json
import threading
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing import event_file_loader

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard.reporting import reporter
from keras_gradguard.reporting.run_directory import RunWriter
from keras_gradguard.reporting.tensorboard import writer
from keras_gradguard.reporting.tensorboard.event_file import EventFile
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from tests.hostile import budget
from tests.hostile import disks

pytestmark = pytest.mark.pure

WRITERS = (RunWriter, EventWriter)
FOUND = [Finding("frozen_layer", "warning", ["a"], 3, 9, 0, {}, "It stands.")]


def run(folder):
    """What a monitor with a log_dir does over a run, without Keras.

    Returns:
        The trace, or the error with which it would not start.
    """
    reporters = []
    try:
        for make in WRITERS:
            reporters.append(reporter.Guarded(make(folder)))
    except OSError as error:
        for guarded in reporters:
            guarded.abandon()
        return error
    trace = Trace(["a", "b"], ["a/k", "b/k"], [0, 1], meta={"model": "net"})

    def deliver(what, *arguments):
        for guarded in reporters:
            guarded.deliver(what, *arguments)

    for step in range(12):
        trace.append([step], [[1.0, 2.0]], extra={"loss": [0.5]})
        deliver("on_records", trace, step)
    trace.append_epoch(0, 11, {"loss": 0.5})
    trace.append_updates([11], [[1.0, 1.0]], [[0.1, 0.1]])
    deliver("on_findings", FOUND, trace)
    deliver("on_epoch", trace, 0)
    deliver("close", trace, FOUND)
    return trace


def threads():
    return [t for t in threading.enumerate() if t.name == "gradguard-events"]


def operations(folder):
    disk = disks.FailingDisk(folder, None)
    with disk():
        run(folder)
    return disk.operations


def moments(asked):
    """The operations to fail at: all, but of the many small writes into the
    draft of one archive, which are alike, the first, the last and each 20th.
    """
    draft = [at for at, name in enumerate(asked) if name.startswith(".trace")]
    left_out = set(draft[5:-5]) - set(budget.share(draft, len(draft) // 20))
    return [at for at in range(len(asked)) if at not in left_out]


def failing_run(folder, at, once):
    """Run on a failing disk; return the trace and what was warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with disks.FailingDisk(folder, at, once)():
            outcome = run(folder)
    return outcome, [str(w.message) for w in told]


@pytest.mark.parametrize("once", [False, True], ids=["full", "a hiccup"])
def test_the_nth_operation_fails_for_every_n(once, tmp_path):
    whole = run(tmp_path / "whole")
    at_each = moments(operations(tmp_path / "counted"))
    assert len(at_each) > 90
    started = 0
    for at in at_each:
        folder = tmp_path / f"run{at}"
        outcome, told = failing_run(folder, at, once)
        if isinstance(outcome, OSError):
            assert "`log_dir` must be a writable directory" in str(outcome)
        else:
            started += 1
            # Training went on to its end, and the record is complete.
            np.testing.assert_array_equal(
                outcome.get("grad_norm"), whole.get("grad_norm")
            )
            assert len(told) <= len(WRITERS), (at, told)
            assert all("Training goes on" in text for text in told)
            # What is not told is no loss.
            assert told or kinds(folder) == kinds(tmp_path / "whole"), at
        assert threads() == []
        assert disks.open_files(folder) == []
        check_what_is_left(folder)
    assert started > len(at_each) // 2


def test_a_disk_that_fails_before_the_writer_is_made(tmp_path, monkeypatch):
    """The thread writes as soon as there is a file: it may fail first."""

    class Late(writer.TabSeries):
        def __init__(self, file):
            while file._error is None:
                time.sleep(0.001)
            super().__init__(file)

    monkeypatch.setattr(writer, "TabSeries", Late)
    disk = disks.FailingDisk(tmp_path, at=2)  # a folder, a file, no write
    with disk(), pytest.raises(OSError, match="`log_dir` must be a writable"):
        EventWriter(tmp_path)
    assert threads() == []
    assert disks.open_files(tmp_path) == []


def kinds(folder):
    return sorted(
        (path.name.partition(".")[0], path.stat().st_size > 0)
        for path in folder.iterdir()
    )


def check_what_is_left(folder):
    """Each file that is there is whole, or says so by its last line."""
    if not folder.is_dir():
        return
    if (folder / "trace.npz").exists():
        assert len(Trace.load(folder / "trace.npz").layers) == 2
    if (folder / "run.json").exists():
        json.loads((folder / "run.json").read_text())
    for path in folder.glob("events.*"):
        loader = event_file_loader.LegacyEventFileLoader(str(path))
        assert all(event.wall_time > 0 for event in loader.Load())


def test_ten_failed_fits_leave_no_descriptor_and_no_thread(tmp_path):
    for _ in range(10):
        failing_run(tmp_path, 20, once=False)
    assert threads() == []
    assert disks.open_files(tmp_path) == []


def test_a_write_that_takes_a_part_goes_on_with_the_rest(tmp_path):
    file = EventFile(tmp_path)
    file.flush()
    raw, sizes = file._file, []

    class Slow:
        def write(self, data):
            sizes.append(len(data))
            return raw.write(data[:7])

        def close(self):
            raw.close()

    file._file = Slow()
    file.write(lambda: bytes(range(50)))
    file.close()
    assert file.path.read_bytes().endswith(bytes(range(50)))
    assert sizes == [50, 43, 36, 29, 22, 15, 8, 1]


def test_the_next_run_removes_drafts_of_a_killed_one(tmp_path):
    left = [".trace.npz.4711.tmp", ".run.json.1.tmp", ".findings.jsonl.2.tmp"]
    kept = [".trace.npz.tmp", ".mine.npz.4711.tmp", "x.trace.npz.1.tmp"]
    for name in (*left, *kept):
        (tmp_path / name).write_bytes(b"half")
    RunWriter(tmp_path)
    there = {path.name for path in tmp_path.iterdir()}
    assert there & {*left, *kept} == set(kept)


def test_the_trace_is_told_whole_when_the_disk_is_full(tmp_path):
    outcome, told = failing_run(tmp_path, 30, once=False)
    assert len(outcome.steps) == 12
    assert "`monitor.trace` is complete" in told[0]
