"""Rules that leave out layers, and thresholds that a user has moved."""

import pathlib

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import commands
from keras_gradguard import diagnose
from keras_gradguard.diagnosis.live import Judge
from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.diagnosis.rules import resolve_rules
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "rules.md"


def with_dead_middle():
    """Layers 1 and 2 of four get no gradient, and the loss stays."""
    return make_trace(steady([1, 1, 1, 1]) * [1, 0, 0, 1], np.full(200, 0.7))


def layers_told(trace, rules, rule="frozen_layer"):
    found = diagnose(trace, rules).findings
    return [f.layers for f in found if f.rule == rule]


def test_a_layer_that_is_ignored_is_not_told_and_the_others_are():
    trace = with_dead_middle()
    assert layers_told(trace, "default") == [["dense_1", "dense_2"]]
    quiet = {"frozen_layer": {"ignore": "*_1"}}
    report = diagnose(trace, quiet)
    (found,) = [f for f in report.findings if f.rule == "frozen_layer"]
    assert found.layers == ["dense_2"]
    assert "dense_1" not in found.message
    assert "Quieted: frozen_layer leaves out 1 layer ('*_1')." in str(report)
    both = {"frozen_layer": {"ignore": ["dense_1", "dense_[23]"]}}
    assert layers_told(trace, both) == []
    assert "leaves out 3 layers" in str(diagnose(trace, both))
    # Others go on looking at it, and the trace stays as it was.
    assert trace.has_gradient.all()
    assert layers_told(trace, "default") == [["dense_1", "dense_2"]]


def test_what_is_inside_of_a_layer_is_left_out_with_it():
    trace = Trace(
        ["in/a", "embedding/table", "out/b", "out/c"],
        list("abcd"),
        range(4),
        has_gradient=np.ones(4, bool),
    )
    norms = steady([1, 1, 1, 1]) * [1, 0, 1, 1]
    trace.append(np.arange(200), norms, extra={"loss": np.full(200, 0.7)})
    assert layers_told(trace, "default") == [["embedding/table"]]
    assert layers_told(trace, {"frozen_layer": {"ignore": "embed*"}}) == []


def test_a_pattern_that_fits_nothing_is_said():
    report = diagnose(with_dead_middle(), {"frozen_layer": {"ignore": "emb*"}})
    assert "Not quieted: no layer fits 'emb*' of frozen_layer." in report.notes
    assert len(report.findings) > 0


def test_what_changes_nothing_is_said():
    rules = {
        "frozen_layer": {"ignore": ["*_1", "emb*"]},
        "update_ratio": {"high": 0.1},
    }
    notes = diagnose(with_dead_middle(), rules).notes
    assert (
        "Quieted: frozen_layer leaves out 1 layer ('*_1'). No layer fits "
        "'emb*'." in notes
    )
    assert "Not moved: update_ratio takes high=0.1 anyway." in notes


@pytest.mark.parametrize(
    ("ratio", "rules", "told"),
    [
        (0.05, "default", False),
        (0.05, {"update_ratio": {"high": 0.02}}, True),
        (0.3, "default", True),
        (0.3, {"update_ratio": {"high": 0.5}}, False),
    ],
)
def test_a_threshold_moves(ratio, rules, told):
    trace = make_trace(
        steady([1, 1, 1]),
        np.full(200, 0.7),
        ratio=np.full((200, 3), ratio),
    )
    report = diagnose(trace, rules)
    found = [f for f in report.findings if f.rule == "update_ratio"]
    assert bool(found) == told
    if isinstance(rules, dict):
        limit = rules["update_ratio"]["high"]
        said = f"Moved: update_ratio takes high={limit:g}, not 0.1."
        assert report.notes == [said]
        if told:
            assert found[0].evidence["threshold"] == limit


@pytest.mark.parametrize(
    ("rules", "error", "match"),
    [
        ({"frozen": {}}, ValueError, "keys .*'frozen_layer'.* unknown id 'fr"),
        ({"frozen_layer": "embed*"}, TypeError, "must be a dict of 'ignore'"),
        (
            {"update_ratio": {"hihg": 1}},
            ValueError,
            r"'high' \(now 0.1\), .*'reach' \(now 0.15\). Received the unknown",
        ),
        ({"update_ratio": {"high": True}}, TypeError, "a number above 0"),
        ({"update_ratio": {"high": "0.1"}}, TypeError, "a number above 0"),
        ({"update_ratio": {"high": -1}}, ValueError, "finite number above 0"),
        (
            {"update_ratio": {"high": float("nan")}},
            ValueError,
            "finite number above 0",
        ),
        ({"frozen_layer": {"ignore": 3}}, TypeError, "a pattern of layers"),
        ({"frozen_layer": {"ignore": [""]}}, TypeError, "a pattern of layers"),
    ],
)
def test_bad_adjustments_say_what_there_is(rules, error, match):
    with pytest.raises(error, match=match):
        diagnose(with_dead_middle(), rules)


def test_the_saved_run_is_judged_as_it_was(tmp_path):
    quiet = {"frozen_layer": {"ignore": ["dense_1", "dense_2"]}}
    trace = with_dead_middle()
    judge = Judge(resolve_rules(quiet), 16)
    judge.look(trace, 200, is_last=True)
    trace.save(tmp_path / "trace.npz")
    report = commands.load_report(tmp_path)
    assert "frozen_layer" not in {f.rule for f in report.findings}
    assert any("Quieted: frozen_layer" in note for note in report.notes)
    report.save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Quieted: frozen_layer leaves out 2 layers" in text


def test_the_docs_name_all_thresholds():
    text = DOCS.read_text()
    for rule in RULES:
        for name, value in rule.thresholds.items():
            assert f"`{rule.id}` `{name}` | {value:g} |" in text
            assert rule().limit(name) == value
