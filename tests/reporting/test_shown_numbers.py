"""Numbers in pictures and tables against NumPy on the raw arrays."""

import base64
import itertools
import os
import re
import struct
import zlib

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard._text import number
from keras_gradguard.reporting.charts import chart
from keras_gradguard.reporting.charts import heatmap
from keras_gradguard.reporting.html import to_html
from keras_gradguard.reporting.markdown import to_markdown
from keras_gradguard.reporting.notebook import run_html
from keras_gradguard.reporting.notebook import trace_html
from keras_gradguard.reporting.run_index import to_index
from keras_gradguard.reporting.spark import sparkline
from tests.diagnosis.synthetic import make_trace

pytestmark = pytest.mark.pure

STEPS, LAYERS, PER_EPOCH = 1000, 5, 100
# Where the map and the charts of a page begin, and how wide they are.
LEFT, WIDTH, TOP, HEIGHT = 190, 760, 8, 150


def raw():
    """Norms (T, L), losses (T,), ratios (M, L), measured each 50 steps."""
    random = np.random.default_rng(0)
    norms = 10.0 ** (
        np.linspace(-4, 0, LAYERS) + random.normal(0, 0.3, (STEPS, LAYERS))
    )
    loss = 2 * np.exp(-np.arange(STEPS) / 150) + 0.01 * random.random(STEPS)
    ratio = 10.0 ** random.normal(-3, 0.5, (STEPS // 50, LAYERS))
    return norms.astype(np.float32), loss, ratio


def run():
    norms, loss, ratio = raw()
    optimizer = {"class": "Adam", "learning_rate": 0.002}
    trace = make_trace(
        norms, loss, meta={"model": "net", "optimizer": optimizer}
    )
    measured = np.arange(0, STEPS, 50)
    trace.append_updates(measured, np.full(ratio.shape, 2.0), 2 * ratio)
    for epoch in range(STEPS // PER_EPOCH):
        part = slice(epoch * PER_EPOCH, (epoch + 1) * PER_EPOCH)
        mean = float(loss[part].mean())
        logs = {"loss": mean, "val_loss": 3 * mean}
        trace.append_epoch(epoch, part.stop - 1, logs)
    return trace


def parts(total, most):
    """Slices of equally many steps, made plainly."""
    edges = [at * total // most for at in range(most + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def pixels(page):
    """The first picture of a page, (rows, columns, 3)."""
    data = base64.b64decode(
        re.search(r"data:image/png;base64,([^\"]+)", page)[1]
    )
    columns, rows = struct.unpack(">II", data[16:24])
    size = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[size - 4 : size])
    lines = zlib.decompress(data[size + 4 : size + 4 + length])
    lines = np.frombuffer(lines, np.uint8).reshape(rows, 1 + 3 * columns)
    return lines[:, 1:].reshape(rows, columns, 3)


def test_each_pixel_of_the_map_of_a_page():
    matplotlib = pytest.importorskip("matplotlib")
    norms, _, _ = raw()
    norms[::40, 1] = np.nan
    page = heatmap(make_trace(norms), [])
    shown = pixels(page)
    assert shown.shape == (LAYERS, 300, 3)
    logs = np.log10(norms.astype(float))
    cells = np.array([np.nanmean(logs[p], axis=0) for p in parts(STEPS, 300)])
    low, high = np.nanmin(cells), np.nanmax(cells)
    legend = f"From {number(10**low)} (dark) to {number(10**high)} (bright)"
    assert legend in page
    viridis = matplotlib.colormaps["viridis"]
    colours = 255 * viridis((cells - low) / (high - low))[..., :3]
    gone = [np.isnan(norms[p, 1]).any() for p in parts(STEPS, 300)]
    assert (shown[1, gone] == (214, 39, 40)).all()
    shown = shown.transpose(1, 0, 2).astype(float)
    known = np.ones(cells.shape, bool)
    known[gone, 1] = False
    # Nine points of viridis stand for all 256.
    assert np.abs(shown - colours)[known].max() < 25
    assert f"step {STEPS - 1}<" in page


def test_what_is_exactly_zero_is_black():
    pytest.importorskip("matplotlib")
    norms = np.full((100, 3), 1e-30)
    norms[:, 1], norms[:, 2] = 0.0, 1.0
    trace = make_trace(norms)
    page = heatmap(trace, [])
    assert (pixels(page)[1] == 0).all()
    assert (pixels(page)[[0, 2]].sum(axis=2) > 0).all()
    assert "From 1e-30 (dark) to 1 (bright)" in page
    mesh = trace.plot().axes[1].collections[0]
    shown = np.asarray(mesh.get_array()).reshape(3, -1)
    assert (shown[1] < mesh.norm.vmin).all()
    assert mesh.cmap(shown[1] - mesh.norm.vmax)[0].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(shown[0], -30, atol=1e-4)


def drawn(page, tag):
    """The points of a line or a band of a chart."""
    text = re.search(rf'<{tag} points="([^"]+)"', page)[1]
    return np.array([pair.split(",") for pair in text.split()], float)


def test_a_chart_of_few_values_and_its_ticks():
    x, y = np.arange(0, 50, 5), np.linspace(1.0, 3.0, 10)
    page = chart(x, y, [(20, "r")], "loss")
    at = drawn(page, "polyline")
    np.testing.assert_allclose(at[:, 0], LEFT + WIDTH * x / 45, atol=0.06)
    low, high = y.min(), y.max()
    share = 1 - (at[:, 1] - TOP) / HEIGHT
    np.testing.assert_allclose(low + share * (high - low), y, atol=2e-3)
    assert ">3</text>" in page
    assert ">1</text>" in page
    assert f'<line x1="{LEFT + WIDTH * 20 / 45:.0f}"' in page


def test_a_chart_of_many_values_is_medians_within_a_band():
    norms, _, _ = raw()
    y = np.sqrt((norms.astype(float) ** 2).sum(axis=1))
    y[::7] *= 1000
    page = chart(np.arange(STEPS), y, [], "norm")
    low, high = np.log10(y.min()), np.log10(y.max())

    def values(points):
        return 10 ** (low + (1 - (points[:, 1] - TOP) / HEIGHT) * (high - low))

    own = [y[part] for part in parts(STEPS, 300)]
    line, band = values(drawn(page, "polyline")), drawn(page, "polygon")
    decade = {"rtol": 0.005 * (high - low)}
    np.testing.assert_allclose(
        line, [np.median(part) for part in own], **decade
    )
    top, bottom = values(band)[:300], values(band)[300:][::-1]
    np.testing.assert_allclose(top, [part.max() for part in own], **decade)
    np.testing.assert_allclose(bottom, [part.min() for part in own], **decade)
    assert f">{number(y.max())}</text>" in page
    assert f">{number(y.min())}</text>" in page


def headed(page, title):
    """The chart under a heading of a page."""
    return page.split(f"<h2>{title}</h2>")[1].split("</svg>")[0]


def test_the_curves_and_the_last_line_of_a_page():
    norms, loss, ratio = raw()
    page = to_html(diagnose(run()))
    means = loss.reshape(-1, PER_EPOCH).mean(axis=1)
    for name, values in (("loss", means), ("val_loss", 3 * means)):
        shown = headed(page, f"{name} per epoch")
        assert f">{number(values.max())}</text>" in shown
        assert len(drawn(shown, "polyline")) == len(values)
    shown = headed(page, "Global gradient norm")
    total = np.sqrt((norms.astype(float) ** 2).sum(axis=1))
    assert f">{number(total.max())}</text>" in shown
    middle = np.median(ratio, axis=1)
    shown = headed(page, "Update / weights, median over layers")
    assert len(drawn(shown, "polyline")) == len(middle)
    assert f">{number(middle.max())}</text>" in shown
    for text in (
        f"recorded steps {STEPS:,}",
        f"epochs {STEPS // PER_EPOCH}",
        "learning rate 0.002",
        "optimizer Adam",
    ):
        assert text in page


def rows_expected():
    norms, _, ratio = raw()
    for at in range(LAYERS):
        yield [
            f"dense_{at}",
            *(
                number(np.median(norms[part, at]))
                for part in (slice(0, 100), slice(-100, None))
            ),
            number(np.median(ratio[:, at])),
        ]


def test_the_table_of_a_page_and_of_markdown():
    report = diagnose(run())
    lines = [
        line.strip("|").split("|")
        for line in to_markdown(report).splitlines()
        if line.startswith("| dense")
    ]
    shown = [[cell.strip().replace("\\", "") for cell in row] for row in lines]
    assert [row[:4] for row in shown] == [*rows_expected()]
    body = re.findall(r"<tr>(<td>dense.*?)</tr>", to_html(report))
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in body]
    assert [row[:4] for row in cells] == [*rows_expected()]


def test_the_line_of_a_run_on_the_index_page():
    trace = run()
    _, loss, _ = raw()
    page = to_index([("a", None, diagnose(trace), 0.0)], "runs")
    means = loss.reshape(-1, PER_EPOCH).mean(axis=1)
    assert f">{number(means[0])} to {number(means[-1])}</td>" in page
    assert f">{STEPS:,}</td>" in page
    assert "1 run, 0 with problems." in page
    bare = make_trace(np.ones((40, 2)), np.linspace(3, 2, 40))
    assert ">3 to 2</td>" in to_index([("b", None, diagnose(bare), 0.0)], "r")


def test_the_cells_of_a_notebook():
    trace = run()
    norms, loss, _ = raw()
    page = trace_html(trace)
    for at, row in enumerate(rows_expected()):
        medians = [np.median(norms[p, at]) for p in parts(STEPS, 24)]
        line = (
            f"<tr><td>{row[0]}</td>"
            f'<td class="bars">{sparkline(medians)}</td><td>{row[2]}</td>'
            f"<td>{row[3]}</td></tr>"
        )
        assert line in page
    shown = run_html(trace, [])
    # Medians of an eighth of the run, each of medians of its parts.
    own = np.array([np.median(loss[p]) for p in parts(STEPS, 32)])
    first, last = np.median(own[:4]), np.median(own[-4:])
    assert (
        f"Step {STEPS - 1}. The loss fell from {number(first, 3)} to "
        f"{number(last, 3)}."
    ) in shown


@pytest.fixture(scope="module")
def axes():
    """Axes of the figure of a run, by the title above them."""
    pytest.importorskip("matplotlib")
    trace = run()
    figure = trace.plot()
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_the_lines_of_a_figure(axes):
    norms, loss, ratio = raw()
    own = parts(STEPS, 150)
    shown = axes["Gradient norm per layer"]
    for at, line in enumerate(shown.lines[:LAYERS]):
        expected = [np.median(norms[part, at]) for part in own]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)
        middles = [(part.start + part.stop - 1) / 2 for part in own]
        np.testing.assert_allclose(line.get_xdata(), middles)
        band = shown.collections[at].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx(
            max(norms[part, at].max() for part in own), rel=1e-6
        )
        assert band.min() == pytest.approx(
            min(norms[part, at].min() for part in own), rel=1e-6
        )
    shown = axes["Update / weights (usual: about 1e-3)"]
    for at, line in enumerate(shown.lines[:LAYERS]):
        np.testing.assert_allclose(line.get_ydata(), ratio[:, at], rtol=1e-5)
        assert line.get_xdata().tolist() == list(range(0, STEPS, 50))
    batch, *epochs = axes["Loss"].lines
    expected = [np.median(loss[part]) for part in own]
    np.testing.assert_allclose(batch.get_ydata(), expected, rtol=1e-5)
    means = loss.reshape(-1, PER_EPOCH).mean(axis=1)
    for line, times in zip(epochs, (1, 3), strict=True):
        np.testing.assert_allclose(line.get_ydata(), times * means, rtol=1e-6)


def test_the_map_of_a_figure(axes):
    norms, _, _ = raw()
    shown = axes["Gradient norm, layers from input (top) to output"]
    logs = np.log10(norms.astype(float))
    cells = [logs[part].mean(axis=0) for part in parts(STEPS, 400)]
    mesh = np.asarray(shown.collections[0].get_array()).reshape(LAYERS, 400)
    np.testing.assert_allclose(mesh, np.transpose(cells), rtol=1e-5)


def test_the_threshold_of_a_figure():
    pytest.importorskip("matplotlib")
    norms, _, _ = raw()
    trace = Trace(["a"], ["a/k"], [0])
    total, threshold = norms[:, :1], np.linspace(1, 2, STEPS)
    trace.append(
        *(np.arange(STEPS), total),
        clipped_grad_norm=np.minimum(total[:, 0], threshold),
        extra={"clip_threshold": threshold},
    )
    figure = trace.plot()
    (shown,) = [
        axes
        for axes in figure.axes
        if axes.get_title(loc="left") == "Gradient norm per layer"
    ]
    lines = {line.get_label(): line.get_ydata() for line in shown.lines}
    own = parts(STEPS, 300)
    for name, values in (("all layers", total), ("clip threshold", threshold)):
        expected = [np.median(values[part]) for part in own]
        np.testing.assert_allclose(lines[name], expected, rtol=1e-5)


def test_steps_of_one_batch_are_all_there_is(tmp_path):
    trace = make_trace(np.ones((1, 1)), [0.5])
    report = diagnose(trace)
    assert "in 1 step;" in report.verdict
    assert "Trace: 1 record of 1 layer, 0 epochs" in trace_html(trace)
    report.save(os.fspath(tmp_path / "r.html"))
