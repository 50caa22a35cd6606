"""What stands on the terminal."""

import dataclasses
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Remedy
from keras_gradguard.reporting.console import ConsoleReporter
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def told(sick, capsys):
    trace, findings = sick
    ConsoleReporter().on_findings(findings, trace)
    return capsys.readouterr().out


def test_healthy_run_gets_one_line(healthy, capsys):
    trace, findings = healthy
    ConsoleReporter().close(trace, findings)
    out, err = capsys.readouterr()
    assert out == (
        "GradGuard: Healthy: nothing found in 200 recorded steps of 4 layers.\n"
    )
    assert err == ""


def test_the_summary_says_status_and_what_was_quieted(sick, capsys):
    trace, findings = sick
    trace.meta["notes"] = ["Quieted: dead_relu leaves out 1 layer ('a*')."]
    ConsoleReporter().close(trace, findings)
    out = " ".join(capsys.readouterr().out.split())
    assert "Quieted: dead_relu leaves out 1 layer ('a*')." in out
    assert "to step 199, confirmed" in out


def test_silent_on_request(sick, capsys):
    trace, findings = sick
    reporter = ConsoleReporter(verbose=0)
    reporter.on_findings(findings, trace)
    reporter.on_judged([], findings, trace)
    reporter.close(trace, findings)
    assert capsys.readouterr().out == ""


def test_a_finding_is_what_where_how_much_the_loss_and_what_to_do(sick, capsys):
    trace, findings = sick
    out = told(sick, capsys)
    assert out.startswith("\nGradGuard ! vanishing_gradient  dense_3")
    assert "since step 0" in out.splitlines()[1]
    assert findings[0].message.split(". ")[0] in " ".join(out.split())
    # The bars are the medians over the window of the finding.
    window = findings[0].evidence["window"]
    rows = slice(window["first_step"], window["last_step"] + 1)
    medians = np.median(trace.get("grad_norm")[rows].astype(float), axis=0)
    assert f"({medians.min():.1e}".replace("e-0", "e-") in out
    assert f"to {medians.max():.3f})" in out
    assert "The loss has hardly moved: 0.693." in out
    assert out.splitlines()[-1].startswith("  Do: Use ReLU")
    assert "\x1b" not in out


def test_summary_of_a_sick_run_has_code_a_table_and_says_where_the_rest_is(
    sick, capsys
):
    trace, findings = sick
    ConsoleReporter().close(trace, findings)
    out = capsys.readouterr().out
    assert "1 problem found" in out
    assert 'kgg.presets.convert(model, "he_relu")' in out
    assert "Moved" in out
    assert "25 %" in out
    assert "print(monitor.report())" in out
    assert "see the report" not in out


@pytest.mark.parametrize("verbose", [1, "auto"])
def test_table_of_a_healthy_run_when_asked_for(healthy, capsys, verbose):
    ConsoleReporter(verbose=verbose).close(*healthy)
    assert "dense_3" not in capsys.readouterr().out
    ConsoleReporter(verbose=2).close(*healthy)
    assert "dense_3" in capsys.readouterr().out


def test_colours_only_on_a_terminal(sick, monkeypatch):
    trace, findings = sick
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    ConsoleReporter().on_findings(findings, trace)
    assert "\x1b[" in terminal.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("layers", [7, 300])
def test_nothing_runs_over_the_edge_of_a_terminal_but_code(
    monkeypatch, columns, layers
):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    profile = np.geomspace(1e-6, 1, layers)
    trace = make_trace(steady(profile), np.full(200, 0.693))
    guilty = [str(name) for name in trace.layers[: layers // 2]]
    fix = Remedy("Use ReLU", "It passes it on.", "x = 1\n" * 40)
    finding = Finding(
        *("vanishing_gradient", "critical", guilty, 0, 199, 0, {}),
        "The gradient is a million times smaller here than there.",
        [fix],
    )
    reporter = ConsoleReporter(verbose=2)
    reporter.on_findings([finding], trace)
    reporter.close(trace, [finding])
    out = terminal.getvalue()
    own = [line for line in out.splitlines() if "x = 1" not in line]
    assert max(map(len, own)) <= columns
    assert len(own) < 60
    assert "35 more lines: print(monitor.report())" in out


def test_a_finding_that_is_gone_is_said_once(sick, capsys):
    trace, (finding,) = sick
    reporter = ConsoleReporter()
    reporter.on_findings([finding], trace)
    capsys.readouterr()
    reporter.on_judged([finding], [finding], trace)
    assert capsys.readouterr().out == ""
    gone = dataclasses.replace(finding, status="resolved", resolved_step=150)
    for _ in range(2):
        reporter.on_judged([], [gone], trace)
    out = capsys.readouterr().out
    assert out.count("Resolved at step 150: vanishing_gradient") == 1


def test_a_finding_that_another_explains_is_taken_back(sick, capsys):
    trace, (cause,) = sick
    early = dataclasses.replace(cause, rule="slow_convergence")
    reporter = ConsoleReporter()
    reporter.on_findings([early], trace)
    late = dataclasses.replace(early, status="withdrawn", cause=cause.rule)
    reporter.on_judged([cause], [cause, late], trace)
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "Withdrawn: slow_convergence since step 0; vanishing_gradient explains "
        "it. Do not follow its advice." in out
    )


def test_one_that_was_never_told_is_not_taken_back(sick, capsys):
    trace, (finding,) = sick
    gone = dataclasses.replace(finding, status="withdrawn")
    ConsoleReporter().on_judged([], [gone], trace)
    assert capsys.readouterr().out == ""


def test_brackets_in_layer_names_are_text(capsys):
    finding = Finding("r", "warning", ["[red]x[/red]"], 0, 1, None, {}, "[b]m")
    ConsoleReporter().on_findings([finding], None)
    out = capsys.readouterr().out
    assert "[b]m" in out
    assert "[red]x[/red]" in out


PROGRAM = """
import numpy as np
from keras_gradguard import Trace, diagnose
from keras_gradguard.reporting.console import ConsoleReporter
names = ["gr\\u00f6\\u00dfe[1]", "\\u5c64", "c", "d"]
trace = Trace(names, [n + "/kernel" for n in names], range(4))
norms = np.tile([1e-7, 1e-5, 1e-3, 1.0], (200, 1))
trace.append(np.arange(200), norms, extra={"loss": np.full(200, 0.693)})
findings = diagnose(trace).findings
reporter = ConsoleReporter(verbose=2)
reporter.on_findings(findings, trace)
reporter.close(trace, findings)
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_any_name_can_be_told_in_any_encoding(encoding):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    out = done.stdout.decode(encoding)
    assert "vanishing_gradient" in out
    assert "e[1]" in out
    bars = out.split("input to output: ")[1].split(" (")[0]
    assert len(bars) == 4
    if encoding != "utf-8":
        assert bars.isascii()
        assert "?" not in bars
