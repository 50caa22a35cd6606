"""A trace and a report in a notebook: lengths, items, tables, loops."""

import sys

import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.trace.through_time import TIMES
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


def measured_run():
    """A trace, and its layers' weights and updates by NumPy in float64."""
    rng = np.random.default_rng(3)
    owners = np.array([0, 0, 1])
    trace = kgg.Trace(["a", "b"], ["a/kernel", "a/bias", "b/kernel"], owners)
    norms, weights, updates = rng.random((3, 6, 3)) + 0.1
    trace.append(np.arange(6), norms)
    trace.append_updates([1, 4], weights[[1, 4]], updates[[1, 4]])
    by_layer = [
        np.sqrt(
            np.stack([(v[:, owners == at] ** 2).sum(1) for at in (0, 1)], 1)
        )
        for v in (norms, weights, updates)
    ]
    return trace, *by_layer


def test_table_has_weights_and_updates_of_each_layer():
    pytest.importorskip("pandas")
    trace, norms, weights, updates = measured_run()
    table = trace.to_dataframe()
    there = np.array([False, True, False, False, True, False])
    for at, layer in enumerate("ab"):
        wanted = {
            "grad_norm": norms[:, at],
            "weight_norm": np.where(there, weights[:, at], np.nan),
            "update_norm": np.where(there, updates[:, at], np.nan),
            "update_ratio": np.where(there, (updates / weights)[:, at], np.nan),
        }
        for name, values in wanted.items():
            got = table[f"{name}/{layer}"]
            np.testing.assert_allclose(got, values, rtol=1e-6)


def test_long_table_has_each_number_once():
    pytest.importorskip("pandas")
    trace, norms, weights, updates = measured_run()
    trace.append_activations(4, ["relu"], {"mean": [0.25]}, {"loss": 2.0})
    trace.append_time_gradients(2, ["gru"], [2], _row(0.5, 0.75))
    trace.append_time_gradients(4, ["gru"], [3], _row(3, 4, 5))
    table = trace.to_dataframe(long=True)
    assert list(table) == ["step", "series", "layer", "time_step", "value"]

    def rows(series, layer):
        of = table[(table.series == series) & (table.layer == layer)]
        return of.step.tolist(), of.time_step.tolist(), of.value.to_numpy()

    for at, layer in enumerate("ab"):
        for name, steps, values in (
            ("grad_norm", range(6), norms[:, at]),
            ("weight_norm", (1, 4), weights[[1, 4], at]),
            ("update_ratio", (1, 4), (updates / weights)[[1, 4], at]),
        ):
            got = rows(name, layer)
            assert got[:2] == (list(steps), [-1] * len(steps))
            np.testing.assert_allclose(got[2], values, rtol=1e-6)
    assert rows("mean", "relu") == ([4], [-1], [0.25])
    assert rows("data/loss", "") == ([4], [-1], [2.0])
    steps, times, values = rows("time_gradient", "gru")
    assert (steps, times) == ([2, 2, 4, 4, 4], [0, 1, 0, 1, 2])
    np.testing.assert_array_equal(values, [0.5, 0.75, 3, 4, 5])


@pytest.mark.parametrize("long", [False, True])
def test_table_of_an_empty_trace(long):
    pytest.importorskip("pandas")
    assert len(kgg.Trace(["a"], ["a/kernel"], [0]).to_dataframe(long)) == 0
    assert len(kgg.Trace([], [], []).to_dataframe(long)) == 0


def _row(*values):
    norms = np.full((1, TIMES), np.nan)
    norms[0, : len(values)] = values
    return norms


def test_without_pandas_the_pip_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"keras-gradguard\[pandas\]"):
        runs.make().to_dataframe()
