"""`python -m keras_gradguard`."""

import json

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard import commands

pytestmark = pytest.mark.pure


@pytest.fixture
def run_dir(tmp_path):
    """What a run leaves that was killed while its files were written."""
    folder = tmp_path / "crashed"
    folder.mkdir()
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    trace.append(np.arange(50), np.ones((50, 2)))
    trace.save(folder / "trace.npz")
    own = Finding("own_rule", "warning", ["a"], 3, 9, 0, {}, "Found by me.")
    line = json.dumps(own.to_dict())
    (folder / "findings.jsonl").write_text(f"{line}\n{line[:40]}")
    (folder / "run.json").write_text('{"state": "running"}')
    return folder


def test_report_of_a_crashed_run_keeps_its_findings(run_dir, capsys):
    assert commands.main(["report", str(run_dir)]) == 0
    out = capsys.readouterr().out
    assert "own_rule (warning, raised), since step 3: Found by me." in out
    assert "has not finished, or it crashed" in out
    assert "step 49" in out
    assert "Found by me." in (run_dir / "report.html").read_text()


def test_report_goes_where_it_is_told(run_dir, tmp_path):
    path = tmp_path / "verdict.json"
    assert commands.main(["report", str(run_dir), "-o", str(path)]) == 0
    assert not json.loads(path.read_text())["healthy"]


def test_report_without_a_run_says_what_is_missing(run_dir, tmp_path, capsys):
    def error(*arguments):
        assert commands.main(["report", *map(str, arguments)]) == 1
        return capsys.readouterr().err

    assert "does not exist. Check the spelling" in error(tmp_path / "typo")
    assert "which is a file" in error(run_dir / "trace.npz")
    (tmp_path / "empty").mkdir()
    assert "there is no trace.npz" in error(tmp_path / "empty")
    assert "must end in .html" in error(run_dir, "-o", "report.pdf")
    (run_dir / "trace.npz").write_bytes(b"foreign")
    assert "must be a saved trace" in error(run_dir)


def test_several_runs_get_a_page_that_lists_them(run_dir, tmp_path, capsys):
    sick = tmp_path / "deep" / "s<i>ck #1"
    sick.mkdir(parents=True)
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    norms, loss = np.ones((60, 2)), np.ones(60)
    norms[40:], loss[40:] = np.nan, np.nan
    trace.append(np.arange(60), norms, extra={"loss": loss})
    trace.save(sick / "trace.npz")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "trace.npz").write_bytes(b"foreign")
    assert commands.main(["report", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "crashed: 1 problem found" in out
    assert "broken: cannot be read: " in err
    page = (tmp_path / "index.html").read_text()
    assert "3 runs, 3 with problems." in page
    # What needs a look comes first: unreadable, critical, warning.
    places = [
        page.index(text)
        for text in ("cannot be read", "nonfinite_gradient", "own_rule")
    ]
    assert places == sorted(places)
    assert 'href="deep/s%3Ci%3Eck%20%231/report.html"' in page
    assert "s&lt;i&gt;ck #1</a>" in page
    text = (run_dir / "report.html").read_text()
    assert str(run_dir) in text
    arguments = ["report", str(tmp_path), "--json", "--fail-on", "critical"]
    assert commands.main(arguments) == 2
    told = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in told] == [str(run_dir), str(sick)]


def test_demo_without_scikit_learn_says_the_pip_line(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(commands.sys.modules, "sklearn", None)
    assert commands.main(["demo"]) == 1
    assert 'pip install "keras-gradguard[demo]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--epochs", "0"], "must be 1 or more, not 0"),
        (["demo", "--cases", "spirals"], "invalid choice: 'spirals'"),
        ([], "required: command"),
    ],
)
def test_wrong_arguments_are_told(arguments, message, capsys):
    with pytest.raises(SystemExit):
        commands.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("warning", "warning", 2),
        ("critical", "warning", 2),
        ("critical", "critical", 2),
        ("warning", "critical", 0),
        ("critical", None, 0),
    ],
)
def test_report_fails_a_build_where_it_is_asked_to(
    severity, fail_on, code, run_dir, capsys
):
    own = Finding("own_rule", severity, ["a"], 3, 9, 0, {}, "Found by me.")
    (run_dir / "findings.jsonl").write_text(json.dumps(own.to_dict()))
    options = ["--fail-on", fail_on] if fail_on else []
    arguments = ["report", str(run_dir), "--json", *options]
    assert commands.main(arguments) == code
    out, err = capsys.readouterr()
    assert [f["rule"] for f in json.loads(out)["findings"]] == ["own_rule"]
    assert err == ""
    # JSON goes to stdout, and nothing is written.
    assert not (run_dir / "report.html").exists()


def test_a_command_that_failed_is_no_finding(tmp_path):
    absent = str(tmp_path / "absent")
    assert commands.main(["report", absent, "--fail-on", "critical"]) == 1
