"""A trace and a report in a notebook: lengths, items, tables, loops."""

import sys

import numpy as np
import pytest

import keras_gradguard as kgg
from tests.hostile import runs

pytestmark = pytest.mark.pure


def test_length_and_items():
    trace = runs.make("dead", steps=30)
    assert len(trace) == 30
    np.testing.assert_array_equal(trace["grad_norm"], trace.get("grad_norm"))
    with pytest.raises(ValueError, match="`name` must be one of"):
        trace["gradient"]


def test_an_empty_trace_is_not_false():
    trace = kgg.Trace([], [], [])
    assert len(trace) == 0
    assert trace


def test_findings_of_a_report_one_by_one():
    report = kgg.diagnose(runs.make("dead"))
    assert [finding.rule for finding in report] == [
        finding.rule for finding in report.findings
    ]
    assert len(report.findings) >= 1


def test_a_run_directory_stands_for_its_trace(tmp_path):
    trace = runs.make("dead")
    trace.save(tmp_path / "trace.npz")
    assert len(kgg.Trace.load(tmp_path)) == len(trace)
    wanted = kgg.diagnose(trace).to_dict()
    assert kgg.diagnose(tmp_path).to_dict() == wanted
    assert kgg.diagnose(str(tmp_path)).to_dict() == wanted
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no trace\.npz"):
        kgg.diagnose(tmp_path / "empty")


def test_a_report_makes_its_folder(tmp_path):
    path = tmp_path / "a" / "b" / "report.md"
    kgg.diagnose(runs.make()).save(path)
    assert path.read_text().startswith("# GradGuard report")


def test_table_of_pandas():
    pytest.importorskip("pandas")
    trace = runs.make("exploding")
    table = trace.to_dataframe()
    assert table.index.name == "step"
    np.testing.assert_array_equal(table.index, trace.steps)
    for name in ("global_grad_norm", "clipped_grad_norm", "skipped"):
        np.testing.assert_array_equal(table[name], getattr(trace, name))
    np.testing.assert_array_equal(table["loss"], trace.extra["loss"])
    for at, layer in enumerate(trace.layers):
        column = table[f"grad_norm/{layer}"]
        np.testing.assert_array_equal(column, trace["grad_norm"][:, at])


def test_without_pandas_the_pip_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"keras-gradguard\[pandas\]"):
        runs.make().to_dataframe()
