"""What a notebook shows of reports, findings, traces and callbacks."""

from html import escape

import numpy as np

from keras_gradguard.findings.causes import ranked
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.brief import loss_so_far
from keras_gradguard.reporting.charts import heatmap
from keras_gradguard.reporting.html import SECTIONS
from keras_gradguard.reporting.html import finding_card
from keras_gradguard.reporting.spark import bands
from keras_gradguard.reporting.spark import sparkline
from keras_gradguard.reporting.tables import layer_rows
from keras_gradguard.reporting.tables import verdict

_BARS, _ROWS = 24, 20
# Only below the class, so that the notebook's own look stays as it is.
_STYLE = """<style>
.gradguard{--line:#8886;max-width:62rem;overflow-wrap:anywhere;
--fg:currentColor;font:14px/1.5 system-ui,sans-serif}
.gradguard .verdict{font-weight:600;font-size:1.1em}
.gradguard .good{color:#1b6e3c}.gradguard .critical{color:#c0392b}
.gradguard .warning{color:#a86200}.gradguard .dim{opacity:.75}
.gradguard .finding{border:1px solid var(--line);border-radius:8px;
padding:.2em 1em .8em;margin:.8em 0}
.gradguard .effect{margin-left:1.5em;border-style:dashed}
.gradguard h2{font-size:1.05em;margin:.6em 0 .2em}
.gradguard h3{font-size:1em;margin:.6em 0 .2em}
.gradguard p{margin:.3em 0}
.gradguard *{box-sizing:border-box}
.gradguard pre{white-space:pre-wrap;border:1px solid var(--line);
border-radius:6px;padding:.5em;background:transparent;color:inherit}
.gradguard svg{width:100%;height:auto;display:block}
.gradguard svg text{fill:currentColor;font:12px system-ui,sans-serif}
.gradguard svg .narrow{display:none}.gradguard .number{white-space:nowrap}
.gradguard table{border-collapse:collapse;font-size:.95em}
.gradguard td,.gradguard th{padding:.2em .7em;text-align:left;
border-bottom:1px solid var(--line)}
.gradguard td.bars{font-family:monospace;white-space:pre}
</style>"""


def report_html(report):
    """Return a `Report` as HTML for a cell.

    Args:
        report: `Report`.
    """
    parts = [line for section in SECTIONS for line in section(report)]
    if report.trace is not None and len(report.trace.steps):
        parts += _map(report.trace, report.findings)
    return _cell(parts)


def finding_html(finding):
    """Return a `Finding` as HTML for a cell.

    Args:
        finding: `Finding`.
    """
    return _cell([finding_card(finding, None)])


def run_html(trace, findings):
    """Return how a run stands, while it goes on, as HTML for a cell.

    Args:
        trace: `Trace`.
        findings: List of `Finding`.
    """
    if not len(trace.steps):
        return _cell(["<p>GradGuard: nothing was recorded yet.</p>"])
    findings = ranked(findings)
    if findings:
        kind = findings[0].severity
    else:
        # What could not be judged yet is not green.
        kind = "dim" if trace.meta.get("not_judged") else "good"
    _, loss = loss_so_far(trace)
    parts = [
        f'<p class="verdict {kind}">{escape(verdict(trace, findings))}</p>',
        f'<p class="dim">Step {trace.steps[-1]:,}. {escape(loss)}</p>',
        *[finding_card(finding, trace) for finding in findings],
        *_map(trace, findings),
    ]
    return _cell(parts)


def trace_html(trace):
    """Return a `Trace` as HTML for a cell: a row for each layer.

    Args:
        trace: `Trace`.
    """
    parts = [f'<p class="verdict">{escape(repr(trace)[1:-1])}</p>']
    if not len(trace.steps):
        return _cell(parts)
    losses, loss = loss_so_far(trace)
    if loss:
        bars = sparkline(bands(losses, _BARS))
        parts.append(f"<p>{escape(loss)} <code>{bars}</code></p>")
    rows = [
        f"<tr><td>{escape(row['layer'])}</td>"
        f'<td class="bars">{bars}</td><td>{escape(row["grad_last"])}</td>'
        f"<td>{escape(row['update_ratio'])}</td></tr>"
        for row, bars in zip(
            layer_rows(trace, []), _bars_of_layers(trace), strict=True
        )
    ]
    titles = ("Layer", "Gradient norm over steps", "now", "Update / weights")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)

    def table(rows):
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"

    parts.append(table(rows[:_ROWS]))
    if rows[_ROWS:]:
        parts.append(
            f"<details><summary>{len(rows) - _ROWS} more layers</summary>"
            f"{table(rows[_ROWS:])}</details>"
        )
    return _cell(parts)


def text_html(text, findings=()):
    """Return a table of plain text, and findings, as HTML for a cell.

    Args:
        text: Str.
        findings: List of `Finding`. Defaults to none.
    """
    cards = [finding_card(finding, None) for finding in findings]
    return _cell([*cards, f"<pre>{escape(text)}</pre>"])


def _bars_of_layers(trace):
    """Return a bar for each part of the run, a str for each layer."""
    norms = np.asarray(trace.layer_norms(0, len(trace.steps)), np.float64)
    if len(trace.steps) > _BARS:
        norms = StepBins.of(trace.steps, _BARS).median(norms)
    return [sparkline(column) for column in norms.T]


def _map(trace, findings):
    return [
        "<details open><summary>Gradient norms, layers by steps</summary>",
        heatmap(trace, findings),
        "</details>",
    ]


def _cell(parts):
    body = "\n".join(parts)
    return f'{_STYLE}\n<div class="gradguard">\n{body}\n</div>'
