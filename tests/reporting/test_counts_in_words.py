"""Whatever is counted, a report says it in plain English: 0, 1, 2, many."""

import re

import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.reporting.console import ConsoleReporter
from keras_gradguard.reporting.html import to_html
from keras_gradguard.reporting.markdown import to_markdown
from keras_gradguard.reporting.notebook import finding_html
from keras_gradguard.reporting.notebook import run_html
from keras_gradguard.reporting.notebook import trace_html
from keras_gradguard.reporting.run_index import to_index
from tests.diagnosis.synthetic import make_trace
from tests.grammar import disagreements

pytestmark = pytest.mark.pure

COUNTS = [0, 1, 2, 70]


def visible(page):
    """The words of a page, without pictures and styles."""
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", page)


def said(trace, findings, capsys):
    """All that is said of a run, one text each."""
    report = kgg.Report(findings, trace)
    reporter = ConsoleReporter(2)
    reporter.on_findings(findings, trace)
    reporter.close(trace, findings)
    yield capsys.readouterr().out
    yield str(report)
    yield repr(trace)
    yield to_markdown(report)
    runs = [("a", None, report, 0.0)]
    for page in (
        to_html(report),
        run_html(trace, findings),
        trace_html(trace),
        to_index(runs, "runs"),
        to_index([], "runs"),
        to_index(2 * runs, "runs"),
        *map(finding_html, findings),
    ):
        yield visible(page)


@pytest.mark.parametrize("layers", COUNTS[1:])
@pytest.mark.parametrize("total", COUNTS)
def test_runs_of_any_size(layers, total, capsys):
    norms = np.full((total, layers), np.nan)
    norms[: total // 2] = 1.0
    loss = np.where(np.isfinite(norms[:, 0]), 0.5, np.nan)
    skipped = np.zeros(total, bool)
    skipped[-1:] = True
    trace = make_trace(norms, loss, skipped=skipped)
    if total:
        trace.append_epoch(0, total - 1, {"loss": 0.5})
    names = [str(layer) for layer in trace.layers]
    code = "\n".join(f"line({at})" for at in range(layers + 5))
    for guilty in ([], names, names[:1]):
        finding = kgg.Finding(
            *("r", "critical", guilty, 0, max(0, total - 1), 0, {}, "It is."),
            [kgg.Remedy("Do it", "It helps.", code)] * 2,
        )
        for findings in ([], [finding], [finding] * 2):
            for text in said(trace, findings, capsys):
                assert not disagreements(text), text


@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_what_was_clipped_and_skipped(skipped, capsys):
    trace = kgg.Trace(["a"], ["a/k"], [0])
    left_out = np.arange(10) < skipped
    trace.append(
        *(np.arange(10), np.ones((10, 1))),
        skipped=left_out,
        clipped_grad_norm=np.ones(10),
        extra={"clip_threshold": np.ones(10)},
    )
    for text in said(trace, [], capsys):
        assert not disagreements(text), text


@pytest.mark.parametrize("layers", COUNTS[1:])
@pytest.mark.parametrize("total", COUNTS)
def test_two_runs_compared(layers, total):
    ones = np.ones((total, layers))
    for factor in (1, 100):
        found = kgg.compare(make_trace(ones), make_trace(factor * ones))
        assert not disagreements(str(found)), str(found)
