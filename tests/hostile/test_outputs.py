"""Hostile names and odd places in what a run writes and prints."""

import io
import json
import pathlib
import re
import sys

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Remedy
from keras_gradguard import Report
from keras_gradguard import Trace
from keras_gradguard import _paths
from keras_gradguard.reporting.console import ConsoleReporter
from keras_gradguard.reporting.run_directory import RunWriter
from tests.hostile import junk
from tests.hostile import runs

pytestmark = pytest.mark.pure


def finding(text, code="x = 1"):
    remedy = Remedy(text, text, code)
    return Finding(text, text, [text], 0, 9, 0, {}, text, [remedy], text)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["層/dense", "\ud800", "🧨", "a\u202eb"])
def test_a_name_that_stdout_lacks_is_replaced(encoding, name, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    trace = Trace([name], ["k"], [0])
    trace.append(np.arange(20), np.ones((20, 1)))
    console = ConsoleReporter()
    console.on_findings([finding(name)], trace)
    console.close(trace, [finding(name)])
    stdout.flush()
    text = stdout.buffer.getvalue().decode(encoding)
    shown = name.encode(encoding, "replace").decode(encoding)
    assert f"GradGuard ! {shown}  {shown}, since step 0" in text


@pytest.mark.parametrize("text", [t for t in junk.TEXTS if len(t) < 99])
def test_markdown_shows_any_text_as_text(text, tmp_path):
    code = f"a\n```\n# heading\n````\n{text}"
    report = Report([finding(text, code)], runs.make(steps=12))
    report.save(tmp_path / "r.md")
    lines = (tmp_path / "r.md").read_text().splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert len(headings) == 3  # the report, the finding, the layers
    assert headings[0] == "# GradGuard report"
    opened = next(i for i, line in enumerate(lines) if "python" in line)
    fence = re.fullmatch(r"  (`+)python", lines[opened]).group(1)
    closed = lines.index(f"  {fence}", opened + 1)
    assert lines[closed + 1 :][:1] == [""]
    outside = "\n".join(lines[:opened] + lines[closed + 1 :])
    assert "<script" not in outside
    assert "<img" not in outside
    assert not re.search(r"(?<!\\)`", outside)


def test_log_dir_of_a_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = _paths.check_log_dir("A", "~/runs/first")
    assert found == str(tmp_path / "runs/first")
    assert _paths.check_log_dir("A", pathlib.Path("~")) == str(tmp_path)
    assert _paths.check_log_dir("A", "./~/x") == "./~/x"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", ValueError),
        ("a\x00b", ValueError),
        ("~nobody-of-this-name/x", ValueError),
        (b"runs", TypeError),
        (5, TypeError),
        ({}, TypeError),
    ],
)
def test_log_dir_that_cannot_be_is_refused(value, error):
    with pytest.raises(error, match=r"A: `log_dir` must be a path.*Received"):
        _paths.check_log_dir("A", value)


def test_run_json_of_a_thousand_layers_is_small(tmp_path):
    layers = [f"functional/block_{i // 10}/dense_{i}" for i in range(1001)]
    info = runs.meta()["layer_info"][runs.LAYERS[0]]
    site = {"activation": "relu", "can_die": True, "saturates": False}
    meta = {
        **runs.meta(),
        "layer_info": dict.fromkeys(layers, info),
        "sites": dict.fromkeys(layers, site),
    }
    variables = [f"{a}/{b}" for a in layers for b in ("kernel", "bias")]
    owners = np.repeat(np.arange(1001), 2)
    trace = Trace(layers, variables, owners, meta=meta)
    trace.append([0, 1], np.ones((2, 2002)))
    trace.append_epoch(0, 1, {"loss": 0.5})
    writer = RunWriter(tmp_path)
    for save in (
        lambda: writer.on_epoch(trace, 0),
        lambda: writer.close(trace, []),
    ):
        save()
        path = tmp_path / "run.json"
        assert path.stat().st_size < 100_000
        told = json.loads(path.read_text())
        assert told["layers"] == layers
        assert told["meta"]["optimizer"]["name"] == "Adam"
    # Nothing is lost: it stands in the trace.
    assert Trace.load(tmp_path / "trace.npz").meta == meta
