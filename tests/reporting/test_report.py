"""Findings and reports: words, files, round trips."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Remedy
from keras_gradguard import Report
from keras_gradguard import Rule
from keras_gradguard import Trace
from keras_gradguard import diagnose
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure

SICK = [0.02, 0.008, 0.003, 0.001, 0.001, 0.009, 0.07]


@pytest.fixture
def sick():
    trace = make_trace(steady(SICK), np.full(200, 0.693))
    trace.append_epoch(0, 99, {"loss": 0.7})
    trace.append_epoch(1, 199, {"loss": 0.693})
    return diagnose(trace)


def test_healthy_report_is_one_line():
    falling = np.linspace(0.7, 0.1, 200)
    report = diagnose(make_trace(steady(np.ones(4)), falling))
    assert report.healthy is True
    assert str(report) == (
        "Healthy: nothing found in 200 recorded steps of 4 layers."
    )
    empty = diagnose(Trace([], [], []))
    assert "Nothing was recorded" in str(empty)


def test_words_hold_verdict_numbers_and_code(sick):
    text = str(sick)
    assert text.startswith("1 problem found in 200 recorded steps of 7 layers")
    assert "vanishing_gradient (warning, confirmed), since step 0" in text
    assert 'kgg.presets.convert(model, "he_relu")' in text


def test_finding_round_trip(sick):
    for finding in sick.findings:
        data = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
        assert Finding.from_dict(data) == finding
    remedy = Remedy("t", "w", "c", apply=lambda model: model)
    assert Remedy.from_dict(remedy.to_dict()) == remedy
    assert remedy.apply("model") == "model"


@pytest.mark.parametrize("name", ["r.json", "r.md", "r.html", "r.HTML"])
def test_files_are_written(sick, name, tmp_path):
    sick.save(tmp_path / name)
    text = (tmp_path / name).read_text()
    assert "1 problem found" in text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_json_holds_the_layers(sick, tmp_path):
    sick.save(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["healthy"] is False
    assert data["findings"][0]["rule"] == "vanishing_gradient"
    assert data["summary"]["layers"][3]["rules"] == "vanishing_gradient"


def test_other_endings_are_refused(sick, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.html, \.json or \.md"):
        sick.save(tmp_path / "r.pdf")


class Page(HTMLParser):
    """Collects tags, and what a browser would fetch."""

    void = ("meta", "image", "line", "polyline")

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.void:
            self.open.append(tag)
        for key, value in attrs:
            if key in ("src", "href"):
                self.fetched.append(value)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_page_is_whole_and_fetches_nothing(sick, tmp_path):
    sick.save(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.fetched
    assert all(one.startswith("data:image/png") for one in page.fetched)
    assert "script" not in page.tags
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.index("1 problem found") < text.index("<svg")


def test_hostile_names_are_harmless(tmp_path):
    name = '<script>alert(1)</script>"&|`'
    trace = Trace([name], ["v"], [0])
    trace.append(range(20), np.ones((20, 1)))
    remedy = Remedy(name, name, name)
    finding = Finding("<b>", "warning", [name], 0, 1, 0, {}, name, [remedy])
    report = Report([finding], trace)
    report.save(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "script" not in Page(text).tags
    assert "<b>" not in text
    report.save(tmp_path / "r.md")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1.0])
@pytest.mark.parametrize("total", [0, 1, 700])
def test_any_trace_is_reported(value, total, tmp_path):
    trace = Trace(["a", "b"], ["a/k", "b/k"], [0, 1], has_gradient=[1, 1])
    if total:
        norms = np.full((total, 2), value)
        trace.append(range(total), norms, extra={"loss": norms[:, 0]})
        trace.append_updates([0], norms[:1], norms[:1])
        trace.append_epoch(0, total - 1, {"loss": value})
    report = diagnose(trace)
    gone = total > 0 and not np.isfinite(value)
    rules = [finding.rule for finding in report.findings]
    assert rules == (["nonfinite_gradient"] if gone else [])
    for name in ("r.json", "r.md", "r.html"):
        report.save(tmp_path / name)
        assert report.verdict in (tmp_path / name).read_text("utf-8")
    saved = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert saved == report.to_dict()
    assert saved["summary"]["records"] == total
    assert Page((tmp_path / "r.html").read_text("utf-8")).open == []


def test_rules_by_id_and_of_ones_own():
    trace = make_trace(steady(SICK), np.full(200, 0.693))

    class Mine(Rule):
        id = "mine"

        def check(self, trace):
            return [Finding("mine", "warning", [], 5, 5, None, {}, "m")]

    one = diagnose(trace, rules=["exploding_gradient"])
    assert one.findings == []
    assert one.healthy is None
    assert "exploding_gradient" in one.not_judged[0]
    rules = ["vanishing_gradient", Mine()]
    found = [f.rule for f in diagnose(trace, rules=rules).findings]
    assert found == ["vanishing_gradient", "mine"]
    with pytest.raises(ValueError, match="unknown id 'vanishing_gradients'"):
        diagnose(trace, rules=["vanishing_gradients"])
    with pytest.raises(ValueError, match="Put a single id into a list"):
        diagnose(trace, rules="vanishing_gradient")
    with pytest.raises(TypeError, match=r"Pass an object: Mine\(\)"):
        diagnose(trace, rules=[Mine])
    with pytest.raises(TypeError, match="of type int"):
        diagnose(trace, rules=3)


def test_a_short_run_with_a_loss_is_not_told_that_it_has_none():
    trace = Trace(["a"], ["a/k"], [0])
    trace.append(np.arange(4), np.ones((4, 1)), extra={"loss": np.ones(4)})
    assert diagnose(trace).not_judged == ["too few to say whether it learns"]
    bare = Trace(["a"], ["a/k"], [0])
    bare.append(np.arange(4), np.ones((4, 1)))
    assert any("no loss" in why for why in diagnose(bare).not_judged)
