"""What a notebook shows, in cells of a real one."""

import dataclasses
import re

import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.reporting.notebook import run_html
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady
from tests.reporting.conftest import with_weights

pytestmark = pytest.mark.once


def test_reports_findings_and_traces_show_themselves(sick):
    trace, findings = sick
    report = kgg.diagnose(trace)
    shown = report._repr_html_()
    assert report.verdict in shown
    assert "vanishing_gradient" in shown
    assert "<svg" in shown
    (finding,) = findings
    shown = finding._repr_html_()
    assert finding.remedies[0].title in shown
    # Lines wrap: nothing is wider than the cell.
    assert "white-space:pre-wrap" in shown
    shown = trace._repr_html_()
    assert "Trace: 200 records of 7 layers, 10 epochs" in shown
    assert shown.count('class="bars"') == 7
    assert "Nothing" not in shown


def test_what_is_shown_is_escaped():
    norms = steady(np.array([1e-9, 1, 1]))
    trace = make_trace(norms, np.full(200, 0.7))
    trace.layers[0] = "<b>net</b>"
    for shown in (trace._repr_html_(), kgg.diagnose(trace)._repr_html_()):
        assert "<b>net" not in shown
        assert "&lt;b&gt;net" in shown


def test_many_layers_are_folded():
    trace = with_weights(make_trace(steady(np.ones(60)), np.full(200, 0.7)))
    assert "40 more layers" in trace._repr_html_()


def test_nothing_recorded_is_said():
    trace = kgg.Trace([], [], [])
    assert "0 records" in trace._repr_html_()
    assert "nothing was recorded yet" in run_html(trace, [])


def test_a_run_that_is_not_judged_yet_is_not_green():
    trace = make_trace(steady(np.ones(3)), np.full(200, 0.7))
    assert 'class="verdict good"' in run_html(trace, [])
    trace.meta["not_judged"] = ["20 steps are too few"]
    shown = run_html(trace, [])
    assert 'class="verdict dim"' in shown
    assert "20 steps are too few" in shown


def test_a_run_shows_causes_first_as_a_report_does(sick):
    trace, (cause,) = sick
    effect = dataclasses.replace(
        cause, rule="loss_plateau", first_step=0, cause=cause.rule
    )
    shown = run_html(trace, [effect, cause])
    assert shown.index(cause.rule) < shown.index("loss_plateau")


_CELLS = (
    """
import keras, numpy as np
import keras_gradguard as kgg
keras.utils.set_random_seed(0)
deep = [keras.layers.Dense(8, "sigmoid") for _ in range(10)]
model = keras.Sequential([keras.Input((4,)), *deep, keras.layers.Dense(1)])
model.compile("adam", "mse")
x = np.random.default_rng(0).normal(size=(640, 4))
monitor, detector = kgg.GradientMonitor(verbose="auto"), None
""",
    """
told = []
show = kgg.reporting.live.LiveReporter._draw
def draw(self, trace):
    show(self, trace)
    told.append(len(trace.steps))
kgg.reporting.live.LiveReporter._draw = draw
kgg.reporting.live._SECONDS = 0.0
fitted = model.fit(x, x[:, 0], epochs=4, verbose=0, callbacks=[monitor])
""",
    "monitor",
    "detector = kgg.DeadReLUDetector(verbose=0); detector",
    "print(len(told), told[0] < told[-1])",
)


@pytest.mark.slow
def test_a_cell_follows_the_run_in_a_real_notebook(monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(code) for code in _CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(notebook, timeout=300)
    client.execute()
    live, of_monitor, of_detector, count = notebook.cells[1:]
    # One cell, that was drawn again and shows how the run ended.
    shown = [out for out in live.outputs if "text/html" in out.get("data", {})]
    assert len(shown) == 1
    html = shown[0]["data"]["text/html"]
    assert "vanishing_gradient" in html
    assert "in 80 recorded steps" in re.sub(r"\s+", " ", html)
    assert not [out for out in live.outputs if out.output_type == "stream"]
    assert "vanishing_gradient" in of_monitor.outputs[0]["data"]["text/html"]
    assert "nothing was seen" in of_detector.outputs[0]["data"]["text/html"]
    drawn, grew = count.outputs[0]["text"].split()
    assert int(drawn) > 2
    assert grew == "True"
