"""What stands on the terminal."""

import io

import pytest

from keras_gradguard.reporting.console import ConsoleReporter

pytestmark = pytest.mark.pure


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_healthy_run_gets_one_line(healthy, capsys):
    trace, findings = healthy
    ConsoleReporter().close(trace, findings)
    out, err = capsys.readouterr()
    assert out == (
        "GradGuard: Healthy: nothing found in 200 recorded steps of 4 layers.\n"
    )
    assert err == ""


def test_silent_on_request(sick, capsys):
    trace, findings = sick
    reporter = ConsoleReporter(verbose=0)
    reporter.on_findings(findings, trace)
    reporter.close(trace, findings)
    assert capsys.readouterr().out == ""


def test_finding_starts_on_its_own_line_and_is_one_line(sick, capsys):
    trace, findings = sick
    ConsoleReporter().on_findings(findings, trace)
    out = capsys.readouterr().out
    assert out.startswith("\nGradGuard vanishing_gradient since step 0")
    assert out.count("\n") == 2
    assert "\x1b" not in out
    assert "Try: Use ReLU" in out


def test_summary_of_a_sick_run_has_code_and_a_table(sick, capsys):
    trace, findings = sick
    ConsoleReporter().close(trace, findings)
    out = capsys.readouterr().out
    assert "1 problem found" in out
    assert 'name="dense_3"' in out
    assert "Moved" in out
    assert "25 %" in out


def test_table_of_a_healthy_run_when_asked_for(healthy, capsys):
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


def test_long_tables_keep_their_ends(capsys):
    import numpy as np

    from tests.diagnosis.synthetic import make_trace
    from tests.diagnosis.synthetic import steady

    trace = make_trace(steady(np.ones(60)), np.linspace(1, 0, 200))
    ConsoleReporter(verbose=2).close(trace, [])
    out = capsys.readouterr().out
    assert "dense_0" in out
    assert "dense_59" in out
    assert "... 40 more" in out


def test_brackets_in_layer_names_are_text(capsys):
    from keras_gradguard import Finding

    finding = Finding("r", "warning", ["[red]x[/red]"], 0, 1, None, {}, "[b]m")
    ConsoleReporter().on_findings([finding], None)
    assert "[b]m" in capsys.readouterr().out
