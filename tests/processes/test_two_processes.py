"""Two real processes that train one model: as one, and with one voice."""

import json
import socket
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import fresh
from tests.processes import worker

pytestmark = pytest.mark.optimized

ROOT = Path(__file__).parents[2]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def run_job(folder):
    """Run both processes; their folder and what each of them wrote down."""
    done = fresh.run(
        ROOT / "tests" / "processes" / "worker.py",
        folder,
        PORTS=",".join(map(str, free_ports(worker.WORKERS))),
        XLA_FLAGS="",  # one device each
    )
    errors = [
        (folder / f"rank{rank}.txt").read_text("utf-8")
        for rank in range(worker.WORKERS)
    ]
    assert done.returncode == 0, "\n".join(error[-2000:] for error in errors)
    ranks = []
    for rank in range(worker.WORKERS):
        with np.load(folder / f"rank{rank}.npz") as file:
            arrays = {name: file[name] for name in file.files}
        told = json.loads((folder / f"rank{rank}.json").read_text())
        ranks.append((arrays, told, errors[rank]))
    return folder, ranks


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """What two processes wrote down, and their folder."""
    if keras.backend.backend() == "torch" and not hasattr(
        keras.Model(), "ddp_model"
    ):
        pytest.skip("Keras up to 3.15 has no fit over several torch processes")
    return run_job(tmp_path_factory.mktemp("job"))


def test_watching_changes_no_bit_in_any_process(job):
    _, ranks = job
    for arrays, told, _ in ranks:
        assert told["records"][0] == worker.STEPS * worker.EPOCHS
        for i in range(told["records"][1]):
            np.testing.assert_array_equal(
                arrays[f"plain{i}"], arrays[f"watched{i}"]
            )


def test_all_processes_record_the_same(job):
    _, ((first, _, _), (second, _, _)) = job
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_records_are_those_of_one_process_with_the_whole_batch(job):
    _, ((arrays, _, _), _) = job
    x, y = (part.reshape(-1, part.shape[-1]) for part in worker.data())
    model = worker.make_model(worker.clipped_adam)
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    model.fit(
        x,
        y,
        batch_size=worker.BATCH,
        epochs=worker.EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[monitor, detector],
    )
    first = slice(0, 1)  # later ones follow from weights that differ by a bit
    # On TensorFlow and torch each sees a share of the batch: a spread is the
    # mean of theirs, and so is a share of units without any active sample.
    replicas = keras.backend.backend() != "jax"
    means = {"std", "input_std", "inactive_fraction", "dead_fraction"}
    for name, expected in worker.series(monitor.trace).items():
        if replicas and name in means:
            continue
        expected = np.asarray(expected)
        found = arrays[name]
        assert found.shape == expected.shape, name
        np.testing.assert_allclose(
            found[first], expected[first], rtol=1e-6, atol=1e-7, err_msg=name
        )
        np.testing.assert_allclose(
            found, expected, rtol=1e-4, atol=1e-6, err_msg=name
        )
    assert 3 in arrays["dead"]
    np.testing.assert_array_equal(arrays["dead"], detector.dead_units["net/a"])
    np.testing.assert_allclose(
        arrays["dead_share"], detector.share["net/b"], rtol=1e-6
    )


def test_one_set_of_files_and_one_voice(job):
    folder, ((_, chief, error), (_, other, other_error)) = job
    files = sorted(path.name for path in (folder / "logs").iterdir())
    events = [name for name in files if name.startswith("events")]
    assert len(events) == 1
    assert sorted(set(files) - set(events)) == [
        "epochs.csv",
        "findings.jsonl",
        "layers.csv",
        "run.json",
        "trace.npz",
    ]
    rows = (folder / "logs" / "epochs.csv").read_text().splitlines()
    assert len(rows) == 1 + worker.EPOCHS
    trace = kgg.Trace.load(folder / "logs" / "trace.npz")
    assert np.isfinite(trace.activation("dead_fraction")).any()
    assert "GradGuard" in chief["said"]
    assert other["said"] == ""
    for text in (error, other_error):
        assert "GradGuardWarning" not in text
    # No capsule of several processes can be replayed: the first says so.
    (warned,) = chief["warned"]
    assert "no `capsule` is kept, because training runs in several" in warned
    assert other["warned"] == []
    assert not list((folder / "capsule").iterdir())


def test_a_finding_stops_all_processes_at_the_same_step(job):
    _, ((_, first, _), (_, second, _)) = job
    assert first["findings"]
    assert first["findings"] == second["findings"]
    assert first["batches"] == second["batches"]
    assert first["batches"] < 40 * worker.STEPS
