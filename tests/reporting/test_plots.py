"""Figures: they draw any trace, without pyplot."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from keras_gradguard import Trace
from keras_gradguard.reporting.plots import plot
from keras_gradguard.reporting.plots import plot_weights
from tests.diagnosis.synthetic import make_trace

pytestmark = pytest.mark.pure


def test_figure_shows_loss_heatmap_and_findings(sick, tmp_path):
    trace, findings = sick
    figure = plot(trace, findings)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "Loss: has not moved for 10 epochs" in titles
    assert any("layers from input (top)" in title for title in titles)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["vanishing_gradient"]
    figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 20_000
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_nonfinite_cells_are_marked(broken):
    figure = plot(*broken)
    heat = figure.axes[1]
    assert len(heat.collections[1].get_offsets()) == 4 * 80


def test_layers_can_be_chosen(sick):
    trace, findings = sick
    figure = plot(trace, findings, layers=["dense_3", "dense_6"])
    ticks = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert ticks == ["dense_3", "dense_6"]
    with pytest.raises(ValueError, match="`layers` must hold layer paths"):
        plot(trace, layers=["dense_33"])


def test_a_trace_draws_itself(sick):
    trace, findings = sick
    figure = trace.plot(layers=["dense_3"], findings=findings)
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == [
        "dense_3"
    ]
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["vanishing_gradient"]
    assert not trace.plot().axes[0].texts
    with pytest.raises(ValueError, match=r"Trace\.plot: `what` must be"):
        trace.plot("gradients")
    with pytest.raises(ValueError, match="`layers` must hold layer paths"):
        trace.plot(layers=["dense_33"])
    with pytest.raises(TypeError, match="`findings` must be"):
        trace.plot(findings="vanishing_gradient")


def test_only_who_knows_of_findings_says_healthy(healthy):
    trace, findings = healthy
    assert not findings
    assert "Healthy" in plot(trace, findings).get_suptitle()
    told = trace.plot().get_suptitle()
    assert told == "GradGuard: Trace: 200 records of 4 layers, 10 epochs"


def test_epochs_in_which_nothing_was_measured_break_no_line():
    trace = Trace(["a"], ["a/k"], [0])
    for epoch in range(30):
        trace.append([epoch], np.ones((1, 1)))
        once = epoch % 3 == 0
        trace.append_updates(
            *([epoch], np.ones((1, 1)), np.ones((1, 1))),
            distance=np.full((1, 1), epoch if once else np.nan),
        )
        trace.append_epoch(epoch, epoch, {})
    (shown,) = [
        axes
        for axes in trace.plot().axes
        if axes.get_title(loc="left").startswith("Distance")
    ]
    (line,) = shown.lines
    assert line.get_xdata().tolist() == list(range(1, 31, 3))
    assert line.get_ydata().tolist() == list(range(0, 30, 3))


def test_a_flat_loss_looks_flat_and_empty_panels_say_why():
    trace = make_trace(np.ones((50, 2)), np.full(50, 0.69))
    figure = plot(trace)
    low, high = figure.axes[0].get_ylim()
    assert high - low >= 0.99 * 0.2 * 0.69
    assert low < 0.69 < high
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert told == ["not measured yet"] + 2 * [
        "not measured at the end of any epoch yet"
    ]


def test_weights_over_epochs(sick):
    figure = sick[0].plot("weights")
    norm, percent, since, zero = figure.axes
    np.testing.assert_allclose(
        norm.lines[0].get_ydata(), 1.1 ** np.arange(1, 11), rtol=1e-6
    )
    np.testing.assert_allclose(
        percent.lines[0].get_ydata()[1:], 10.0, rtol=1e-4
    )
    assert since.lines[0].get_ydata()[-1] == pytest.approx(
        (1.1**10 - 1) / 1.1, rel=1e-5
    )
    assert set(zero.lines[0].get_ydata()) == {0.25}


def draw(figure):
    figure.savefig("/dev/null", format="png", dpi=20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1.0])
@pytest.mark.parametrize("total", [0, 1, 700])
def test_any_trace_is_drawn(value, total):
    trace = Trace(["a", "b"], ["a/k", "b/k"], [0, 1], has_gradient=[1, 1])
    if total:
        steps = np.arange(total)
        norms = np.full((total, 2), value)
        trace.append(steps, norms, extra={"loss": norms[:, 0]})
        trace.append_updates([0], norms[:1], norms[:1])
        trace.append_epoch(0, total - 1, {"loss": value})
    figure = plot(trace)
    if not total:
        assert not figure.axes
        assert "Nothing was recorded" in figure.texts[0].get_text()
        draw(figure)
        draw(plot_weights(trace))
        return
    loss, heat = figure.axes[:2]
    gone = not np.isfinite(value)
    assert loss.get_title(loc="left").endswith(
        "not finite since epoch 1" if gone else "Loss"
    )
    meshes = [
        m.get_array() for m in heat.collections if m.get_array() is not None
    ]
    # Two layers; 700 steps are put into 400 columns.
    assert [m.shape for m in meshes] == [(2, min(total, 400))]
    assert (heat.get_legend() is not None) == gone
    (norms,) = [
        axes
        for axes in figure.axes
        if axes.get_title(loc="left") == "Gradient norm per layer"
    ]
    if not gone:
        drawn = np.concatenate([line.get_ydata() for line in norms.lines])
        assert set(drawn) == {value}
    draw(figure)
    weights = plot_weights(trace)
    (size,) = [
        axes
        for axes in weights.axes
        if axes.get_title(loc="left") == "Norm of the weights"
    ]
    assert all(len(line.get_ydata()) == (not gone) for line in size.lines)
    draw(weights)


def test_pyplot_is_left_alone():
    code = (
        "import sys, keras_gradguard as k\n"
        "from keras_gradguard.reporting.plots import plot\n"
        "plot(k.Trace(['a'], ['a/k'], [0]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
