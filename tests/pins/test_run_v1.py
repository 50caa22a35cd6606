"""A run directory of the first release: it loads, is judged, and is shown.

`run_v1.tar.xz` was written by it on torch: 8 sigmoid layers, one of ReLU and
the output, 4 epochs of 10 steps, `histogram_freq=2`, in which the gradient
vanishes and one unit of "net/r" never was active.
"""

import csv
import json
import tarfile

import numpy as np
import pytest

pytest.importorskip("tensorboard")

import keras_gradguard as kgg
from keras_gradguard import commands
from tests.pins import stored
from tests.tensorboard_plugin.conftest import Client
from tests.tensorboard_plugin.test_plugin import cells

pytestmark = pytest.mark.pure

LAYERS = [*(f"net/h{i}" for i in range(8)), "net/r", "net/out"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    with tarfile.open(stored.HERE / "run_v1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "run_v1"


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_trace_holds_what_its_tables_say(run):
    trace = kgg.Trace.load(run)
    assert trace.steps.tolist() == list(range(40))
    assert list(trace.layers) == LAYERS
    for epoch, row in enumerate(table(run / "epochs.csv")):
        rows = slice(10 * epoch, 10 * epoch + 10)
        mean = trace.global_grad_norm[rows].mean()
        assert mean == pytest.approx(float(row["grad_norm"]), rel=1e-5)
        assert trace.logs["val_loss"][epoch] == pytest.approx(
            float(row["val_loss"]), rel=1e-5
        )
    # Units that are dead were measured, and so were weights and updates.
    for values in (
        trace.activation("dead_fraction"),
        trace.get("update_ratio"),
        trace.get("weight_norm"),
        trace.extra["loss"],
    ):
        assert np.isfinite(values).any()


def test_it_is_diagnosed_and_told_as_it_was(run, tmp_path):
    (then,) = [
        json.loads(line)
        for line in (run / "findings.jsonl").read_text().splitlines()
    ]
    report = kgg.diagnose(run)
    assert report.healthy is False
    (finding,) = [f for f in report.findings if f.rule == then["rule"]]
    assert finding.layers == then["layers"]
    assert finding.severity == then["severity"]
    assert finding.remedies
    for name in ("report.html", "report.md", "report.json"):
        report.save(tmp_path / name)
        text = (tmp_path / name).read_text("utf-8")
        assert "vanishing_gradient" in text.replace("\\", "")


def test_the_command_reports_on_it(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert commands.main(["report", str(run), "--output", str(page)]) == 0
    assert "vanishing_gradient" in page.read_text("utf-8")
    assert commands.main(["report", str(run), "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told[told.index("{") :])["healthy"] is False


def test_two_runs_are_compared(run):
    assert kgg.compare(run, run).differ == []


def test_the_tab_shows_it(run):
    client = Client(run.parent)
    assert [r["run"] for r in client.json("/runs")["runs"]] == ["run_v1"]
    told = client.json("/overview", run="run_v1")
    assert told["layers"] == LAYERS
    assert (told["first_step"], told["last_step"]) == (0, 39)
    assert told["left_out"]["parts"] == 0
    assert [f["rule"] for f in told["findings"]] == ["vanishing_gradient"]
    trace = kgg.Trace.load(run)
    np.testing.assert_allclose(
        told["series"]["global_grad_norm"]["mean"],
        trace.global_grad_norm,
        rtol=1e-5,
    )
    assert [epoch[:2] for epoch in told["epochs"]] == [
        [0, 9],
        [1, 19],
        [2, 29],
        [3, 39],
    ]
    for metric in told["metrics"]:
        shown = client.json("/matrix", run="run_v1", metric=metric)
        assert len(shown["rows"]), metric
        assert np.isfinite(cells(shown, len(shown["rows"]))).any(), metric
    norms = client.json("/matrix", run="run_v1", metric="grad_norm")
    np.testing.assert_allclose(
        cells(norms, len(LAYERS)), trace.get("grad_norm"), rtol=1e-5
    )
    assert "dead_share" in told["metrics"]
    (summary,) = client.json("/summaries")["runs"]
    assert summary["run"] == "run_v1"
