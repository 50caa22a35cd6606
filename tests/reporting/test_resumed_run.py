"""A run that was broken off goes on in the files of its directory."""

import csv
import json

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.run_directory import RunWriter
from keras_gradguard.trace.resuming import joined

pytestmark = pytest.mark.pure

PER_EPOCH = 4
NORMS = np.random.default_rng(0).lognormal(size=(100, 2)).astype("float32")


def part(first, last, layers=("a", "b"), numbered_from=0):
    """What a monitor records from step `first` up to before `last`."""
    paths = [f"{layer}/kernel" for layer in layers]
    trace = Trace(list(layers), paths, range(len(layers)))
    one = np.ones((1, len(layers)))
    trace.append_updates([first], one, distance=0 * one, epoch_change=0 * one)
    for step in range(first, last):
        norms = NORMS[step : step + 1, : len(layers)]
        trace.append([step], norms, extra={"loss": [1 / (step + 1)]})
        if step % 4 == 1:
            trace.append_activations(
                step, ["a"], {"mean": np.full(1, step)}, {"loss": step}
            )
        if step % PER_EPOCH == PER_EPOCH - 1:
            epoch = step // PER_EPOCH - numbered_from
            trace.append_epoch(epoch, step, {"loss": 1 / (step + 1)})
            trace.append_updates(
                [step], step * one, distance=one, epoch_change=one
            )
    return trace


def write(folder, trace, findings=()):
    writer = RunWriter(folder)
    writer.on_epoch(trace, 0)
    writer.close(trace, list(findings))


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(path, name):
    return [row[name] for row in rows(path)]


def test_the_files_are_those_of_one_run(tmp_path):
    write(tmp_path / "whole", part(0, 16))
    # It died in the third epoch, and its steps 8 and 9 are made again.
    write(tmp_path / "run", part(0, 10))
    write(tmp_path / "run", part(8, 16))
    trace, whole = (Trace.load(tmp_path / name) for name in ("run", "whole"))
    for name in ("steps", "epochs", "update_steps", "activation_steps"):
        found, wanted = getattr(trace, name), getattr(whole, name)
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(trace["grad_norm"], whole["grad_norm"])
    np.testing.assert_array_equal(
        trace.activation("mean"), whole.activation("mean")
    )
    np.testing.assert_array_equal(trace.extra["loss"], whole.extra["loss"])
    for name in ("epoch", "step", "loss"):
        found, wanted = (
            column(tmp_path / run / "epochs.csv", name)
            for run in ("run", "whole")
        )
        assert found == wanted
    assert column(tmp_path / "run" / "layers.csv", "epoch") == list("00112233")
    # Where the weights began is not known behind the break.
    since = column(tmp_path / "run" / "layers.csv", "since_start")
    assert [bool(value) for value in since] == [True] * 4 + [False] * 4
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["records"], run["epochs"]) == (16, 4)
    assert diagnose(tmp_path / "run").trace.records_seen == 16


def test_a_second_fit_that_counts_epochs_anew(tmp_path):
    write(tmp_path, part(0, 8))
    writer = RunWriter(tmp_path)
    writer.on_epoch(part(8, 12, numbered_from=2), 0)
    writer.close(part(8, 16, numbered_from=2), [])
    assert column(tmp_path / "epochs.csv", "epoch") == list("0101")
    assert column(tmp_path / "epochs.csv", "step") == ["3", "7", "11", "15"]


def test_findings_of_before_stay(tmp_path):
    def finding(step):
        return Finding("dead_relu", "warning", ["a"], step, step, 0, {}, "", [])

    write(tmp_path, part(0, 8), [finding(3), finding(7)])
    write(tmp_path, part(6, 12), [finding(9)])
    lines = (tmp_path / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["first_step"] for line in lines] == [3, 9]


@pytest.mark.parametrize(
    "trace", [part(0, 4), part(8, 12, ("a", "c")), part(8, 12, ("a",))]
)
def test_another_run_takes_the_directory_over(tmp_path, trace):
    write(tmp_path, part(0, 8))
    write(tmp_path, trace)
    loaded = Trace.load(tmp_path)
    assert loaded.to_dict() == trace.to_dict()
    assert len(rows(tmp_path / "epochs.csv")) == 1


def test_a_damaged_file_is_replaced(tmp_path):
    write(tmp_path, part(0, 8))
    (tmp_path / "trace.npz").write_bytes(b"PK\x03\x04 and no more")
    write(tmp_path, part(8, 12))
    assert Trace.load(tmp_path).steps.tolist() == list(range(8, 12))


def test_what_was_thinned_out_counts_as_seen(tmp_path):
    long = Trace(["a"], ["a/kernel"], [0], capacity_bytes=20_000)
    for first in range(0, 3000, 100):
        long.append(np.arange(first, first + 100), np.ones((100, 1)))
    assert long.thinned
    later = Trace(["a"], ["a/kernel"], [0])
    later.append(np.arange(3000, 3050), np.ones((50, 1)))
    whole = joined(long, later)
    assert whole.thinned
    assert whole.records_seen == 3050
    assert whole.steps[-1] == 3049
    whole.save(tmp_path / "trace.npz")
    assert Trace.load(tmp_path / "trace.npz").to_dict() == whole.to_dict()


def test_findings_of_steps_that_are_made_again_are_those_of_the_new_part():
    earlier, later = part(0, 12), part(8, 16)
    for trace, steps in ((earlier, (2, 9)), (later, (10,))):
        trace.remember(
            [
                Finding("frozen_layer", "warning", ["a"], at, at, 0, {}, "Now.")
                for at in steps
            ]
        )
    whole = joined(earlier, later)
    assert [found["first_step"] for found in whole.found] == [2, 10]


def test_a_gradient_of_either_part_is_one_of_the_run():
    earlier, later = part(0, 8), part(8, 16)
    earlier.set_has_gradient([True, False])
    later.set_has_gradient([False, True])
    assert joined(earlier, later).has_gradient.tolist() == [True, True]
