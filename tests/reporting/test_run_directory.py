"""The directory of a run."""

import csv
import dataclasses
import json
import shutil
import warnings

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import GradGuardWarning
from keras_gradguard import Trace
from keras_gradguard.commands import load_report
from keras_gradguard.reporting import reporter
from keras_gradguard.reporting.run_directory import RunWriter

pytestmark = pytest.mark.pure


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_finished_run_is_whole(tmp_path, sick):
    trace, findings = sick
    writer = RunWriter(tmp_path / "new" / "run")
    writer.on_findings(findings, trace)
    writer.on_epoch(trace, 0)
    writer.close(trace, findings)
    folder = writer.log_dir
    assert sorted(path.name for path in folder.iterdir()) == [
        "epochs.csv",
        "findings.jsonl",
        "layers.csv",
        "run.json",
        "trace.npz",
    ]
    again = Trace.load(folder / "trace.npz")
    assert again.to_dict() == trace.to_dict()
    lines = (folder / "findings.jsonl").read_text().splitlines()
    assert [Finding.from_dict(json.loads(line)) for line in lines] == findings
    run = json.loads((folder / "run.json").read_text())
    assert run["state"] == "finished"
    assert run["findings"] == ["vanishing_gradient"]


def test_a_killed_run_knows_what_became_of_findings(tmp_path, sick):
    trace, findings = sick
    writer = RunWriter(tmp_path)
    raised = dataclasses.replace(findings[0], rule="own", status="raised")
    other = dataclasses.replace(raised, rule="other")
    writer.on_findings([raised, other], trace)
    gone = dataclasses.replace(raised, status="resolved", resolved_step=90)
    sure = dataclasses.replace(other, status="confirmed")
    for _ in range(2):
        writer.on_judged([sure], [gone, sure], trace)
    trace.save(tmp_path / "trace.npz")
    lines = (tmp_path / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == [
        "raised",
        "raised",
        "resolved",
        "confirmed",
    ]
    report = load_report(tmp_path)
    states = {f.rule: f.status for f in report.findings}
    assert states["other"] == "confirmed"
    assert "own" not in states
    assert "Resolved at step 90: own since step 0" in str(report)
    (told,) = [f for f in report.to_dict()["gone"] if f["rule"] == "own"]
    assert told["status"] == "resolved"
    for name in ("a.html", "a.md"):
        report.save(tmp_path / name)
        text = (tmp_path / name).read_text()
        assert "Resolved at step 90: own since" in text
        assert "warning, confirmed" in text


def test_tables_hold_epochs_and_layers(tmp_path, sick):
    trace, findings = sick
    writer = RunWriter(tmp_path)
    writer.on_epoch(trace, 0)
    trace.append_epoch(10, 205, {"loss": 0.6, "accuracy": 0.5})
    writer.close(trace, findings)
    epochs = rows(tmp_path / "epochs.csv")
    assert [row["epoch"] for row in epochs] == [str(i) for i in range(11)]
    assert epochs[0]["loss"] == "0.7"
    norms = trace.global_grad_norm
    assert float(epochs[1]["grad_norm"]) == pytest.approx(
        norms[20:40].mean(), rel=1e-5
    )
    layers = rows(tmp_path / "layers.csv")
    assert len(layers) == 10 * 7
    third = [row for row in layers if row["layer"] == "dense_2"][2]
    assert float(third["weight_norm"]) == pytest.approx(1.1**3, rel=1e-5)
    assert float(third["percent_change"]) == pytest.approx(10, rel=1e-5)
    assert float(third["since_start"]) == pytest.approx(
        (1.1**3 - 1) / 1.1, rel=1e-5
    )
    assert float(third["zero_fraction"]) == 0.25
    assert third["epoch_change"] == ""


def test_a_killed_run_is_readable(tmp_path, sick):
    trace, findings = sick
    writer = RunWriter(tmp_path)
    writer.on_findings(findings, trace)
    writer.on_epoch(trace, 9)
    assert len(Trace.load(tmp_path / "trace.npz").steps) == 200
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "running"
    assert len(rows(tmp_path / "epochs.csv")) == 10


def test_new_log_keys_begin_the_table_anew(tmp_path, healthy):
    trace, findings = healthy
    writer = RunWriter(tmp_path)
    writer.on_epoch(trace, 9)
    trace.append_epoch(10, 220, {"loss": 0.1, "val_loss": 0.2})
    writer.close(trace, findings)
    epochs = rows(tmp_path / "epochs.csv")
    assert len(epochs) == 11
    assert epochs[0]["val_loss"] == ""
    assert epochs[10]["val_loss"] == "0.2"


def test_unwritable_directory_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="`log_dir` must be a writable directory"):
        RunWriter(tmp_path / "file" / "run")


def test_vanished_directory_costs_one_warning(tmp_path, sick):
    trace, findings = sick
    guarded = reporter.Guarded(RunWriter(tmp_path / "run"))
    shutil.rmtree(tmp_path / "run")
    told = "GradientMonitor: writing into `log_dir` failed.*Training goes on"
    with pytest.warns(GradGuardWarning, match=told):
        guarded.deliver("on_epoch", trace, 0)
    assert guarded.failed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guarded.deliver("on_findings", findings, trace)
        guarded.deliver("on_records", trace, 0)
        guarded.deliver("close", trace, findings)


def test_infinite_and_missing_values_are_json(tmp_path, broken):
    trace, findings = broken
    writer = RunWriter(tmp_path)
    writer.on_findings(findings, trace)
    writer.close(trace, findings)
    line = (tmp_path / "findings.jsonl").read_text()
    assert "NaN," not in line
    assert json.loads(line)["first_step"] == 120
    assert not np.isnan(trace.steps).any()
