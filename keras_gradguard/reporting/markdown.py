"""A report in Markdown."""

import re

from keras_gradguard.reporting.lives import culprits
from keras_gradguard.reporting.lives import state
from keras_gradguard.reporting.lives import what_became_of
from keras_gradguard.reporting.tables import layer_rows
from keras_gradguard.reporting.tables import shown_columns


def to_markdown(report):
    """Return a `Report` as Markdown: verdict, findings, layers."""
    lines = ["# GradGuard report", "", f"**{escape(report.verdict)}**", ""]
    for line in [*report.notes, *what_became_of(report.history)]:
        lines += [escape(line), ""]
    for finding in report.ranked:
        how = escape(state(finding, report.trace))
        lines += [
            f"## {escape(finding.rule)} ({how}), "
            f"since step {finding.first_step}",
            "",
            escape(finding.message),
            "",
        ]
        if finding.cause:
            lines += [f"Follows from {escape(finding.cause)}.", ""]
        if finding.layers:
            layers = ", ".join(culprits(finding, report.trace))
            lines += [f"Layers, culprits first: {escape(layers)}", ""]
        for remedy in finding.remedies:
            lines += [f"- **{escape(remedy.title)}.** {escape(remedy.why)}", ""]
            if remedy.code:
                fence = _fence(remedy.code)
                lines += [f"  {fence}python"]
                lines += [f"  {line}" for line in remedy.code.splitlines()]
                lines += [f"  {fence}", ""]
    if report.trace is not None and len(report.trace.steps):
        lines += ["## Layers", "", *_table(report), ""]
    return "\n".join(lines)


def findings_table(findings, trace):
    """Return findings as one Markdown table.

    Args:
        findings: List of `Finding`.
        trace: `Trace` they were found on, or None.
    """
    lines = [
        "| Since step | Rule | Layers | What | What to do |",
        "| ---: | --- | --- | --- | --- |",
    ]
    for finding in findings:
        layers = ", ".join(culprits(finding, trace)[:5])
        more = len(finding.layers) - 5
        layers += f" and {more} more" if more > 0 else ""
        cells = (
            finding.first_step,
            f"{finding.rule} ({finding.severity}, {finding.status})",
            layers or "the whole model",
            finding.message,
            "; ".join(remedy.title for remedy in finding.remedies),
        )
        lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    return lines


def escape(text):
    """Return text that Markdown shows as it is, on one line."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = text.replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", text)


def _fence(code):
    """Return a fence that nothing in the code can close."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    return "`" * max(3, longest + 1)


def _table(report):
    rows = layer_rows(report.trace, report.findings)
    columns = shown_columns(rows)
    head = " | ".join(title for _, title in columns)
    lines = [f"| {head} |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = " | ".join(escape(row[key]) for key, _ in columns)
        lines.append(f"| {cells} |")
    return lines
