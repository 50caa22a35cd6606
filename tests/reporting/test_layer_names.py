"""Layers are shown by the names that the user gave, whatever is inside."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.brief import brief
from keras_gradguard.reporting.html import to_html
from keras_gradguard.reporting.layer_table import layer_table
from keras_gradguard.reporting.markdown import findings_table
from keras_gradguard.reporting.markdown import to_markdown
from keras_gradguard.reporting.notebook import report_html
from keras_gradguard.reporting.run_index import to_index
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.reporting.tensorboard.tab import TabSeries
from keras_gradguard.trace.run_info import RunInfo

pytestmark = pytest.mark.pure


def info(path, around=None):
    facts = {"class": "SimpleRNNCell", "name": path.split("/")[-1]}
    if around is not None:
        facts["within"] = {"class": "SimpleRNN", "path": around}
    return facts


def named(**around):
    run = RunInfo(layers={path: info(path, a) for path, a in around.items()})
    return run.names(around)


def test_a_layer_is_what_the_user_called_it():
    assert named(**{"net/dense": None}) == ["net/dense"]
    assert named(**{"net/rnn/cell": "net/rnn"}) == ["net/rnn"]
    # As the functional API has it.
    assert named(**{"rnn/cell": "rnn", "out": None}) == ["rnn", "out"]


def test_several_parts_of_a_layer_stay_apart():
    both = {"bi/forward/cell": "bi", "bi/backward/cell": "bi"}
    assert named(**both) == ["bi/forward", "bi/backward"]
    attention = {"mha/query": "mha", "mha/key": "mha"}
    assert named(**attention) == [*attention]
    cells = {"rnn/stack/a": "rnn", "rnn/stack/b": "rnn"}
    assert named(**cells) == [*cells]
    # A wrapper with weights of its own.
    assert named(**{"norm": None, "norm/dense": "norm"}) == [
        "norm",
        "norm/dense",
    ]


def test_what_is_not_known_keeps_its_path():
    assert RunInfo().names(["a/b"]) == ["a/b"]


def test_a_text_has_the_names_and_no_part_of_another_path():
    run = RunInfo(
        layers={path: info(path, path[:-5]) for path in ("a/cell", "b/cell")}
    )
    text = "a/cell and b/cell, not a/cell_1, a/cell/kernel or my/a/cell."
    assert run.in_words(text) == (
        "a and b, not a/cell_1, a/cell/kernel or my/a/cell."
    )


class Kept:
    """A file that keeps what it is given."""

    busy = 0.0

    def __init__(self):
        self.headers = {}

    def write_tensor(self, now, step, tag, parts, metadata):
        self.headers[tag] = chunks.unpack(parts)[0]


@pytest.fixture
def vanishing():
    """A sick stack of recurrent layers."""
    outer = [f"net/rnn_{at}" for at in range(6)]
    layers = [f"{layer}/simple_rnn_cell" for layer in outer] + ["net/out"]
    facts = {path: info(path, path.rpartition("/")[0]) for path in layers[:-1]}
    facts["net/out"] = {"class": "Dense", "name": "out"}
    trace = Trace(
        layers,
        [f"{layer}/kernel" for layer in layers],
        range(7),
        meta={"layer_info": facts},
    )
    norms = np.tile(np.geomspace(1e-9, 1, 7), (200, 1))
    trace.append(np.arange(200), norms, extra={"loss": np.full(200, 0.69)})
    return trace


def test_no_page_line_or_table_shows_a_cell(vanishing):
    report = diagnose(vanishing)
    (finding,) = report.findings
    assert set(finding.layers) <= set(vanishing.layers.tolist())
    shown = [
        str(report),
        to_html(report),
        to_markdown(report),
        report_html(report),
        to_index([("a", None, report, 0)], "runs"),
        str(findings_table(report.findings, vanishing)),
        str(layer_table(vanishing, report.findings, 80)),
        str(brief(finding, vanishing)),
    ]
    for text in shown:
        text = text.replace("\\", "")  # Markdown's
        assert "rnn_0" in text
        assert "simple_rnn_cell" not in text


def test_a_figure_shows_no_cell(vanishing):
    pytest.importorskip("matplotlib")
    figure = vanishing.plot(findings=diagnose(vanishing).findings)
    texts = [
        label.get_text()
        for axes in figure.axes
        for label in axes.get_yticklabels()
    ]
    texts += [text.get_text() for text in figure.legends[0].get_texts()]
    assert "rnn_0" in texts
    assert not [text for text in texts if "cell" in text]


def test_the_tab_gets_no_cell(vanishing):
    pytest.importorskip("tensorboard")
    file, report = Kept(), diagnose(vanishing)
    tab = TabSeries(file)
    tab.write(vanishing, force=True)
    tab.write_findings(report.findings, 199, vanishing)
    layers = file.headers[chunks.LAYERS_TAG]
    assert layers["layers"][0] == "net/rnn_0"
    assert layers["variables"][0] == "net/rnn_0/kernel"
    (finding,) = file.headers[chunks.FINDINGS_TAG]["findings"]
    assert finding["layers"][0] == "net/rnn_0"
    assert "cell" not in finding["message"]
