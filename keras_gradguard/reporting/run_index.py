"""A page that lists the runs of a directory."""

import datetime
from html import escape

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.reporting.lives import culprits
from keras_gradguard.reporting.page import to_page
from keras_gradguard.reporting.page import tone

_TITLES = ("Run", "Verdict", "Worst layer", "Loss", "Steps", "Last written")


def to_index(runs, where):
    """Return a page with a line for each run, the sick ones first.

    Args:
        runs: List of `(name, link, report, written)`: Str, str or None, a
            `Report` or, of a run that cannot be read, the reason as a str,
            and when its trace was written, in seconds since 1970.
        where: Str. The directory.
    """
    order = sorted(range(len(runs)), key=lambda at: (_rank(runs[at][2]), at))
    head = "".join(
        f'<th role="columnheader" scope="col">{title}</th>' for title in _TITLES
    )
    lines = [_line(*runs[at]) for at in order]
    sick = sum(_rank(report) < 3 for _, _, report, _ in runs)
    body = (
        f'<p class="verdict">{count(len(runs), "run")}, {sick} with problems.'
        "</p>\n"
        f'<p class="dim">{escape(where)}</p>\n'
        '<div class="wide" tabindex="0"><table class="runs" role="table">'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{"".join(lines)}</tbody></table></div>'
    )
    return to_page("GradGuard runs", body)


def _rank(report):
    """Return 0 for what needs a look first."""
    if isinstance(report, str):
        return 0
    grades = ("critical", "warning")
    severities = {finding.severity for finding in report.findings}
    for at, grade in enumerate(grades):
        if grade in severities:
            return at + 1
    return 4 if report.healthy else 3


def _line(name, link, report, written):
    shown = (
        f'<a href="{escape(link)}">{escape(name)}</a>' if link else escape(name)
    )
    if isinstance(report, str):
        cells = [f'<span class="critical">{escape(report)}</span>', "", "", ""]
    else:
        cells = [_verdict(report), *map(escape, _numbers(report))]
    day = datetime.datetime.fromtimestamp(written).strftime("%Y-%m-%d %H:%M")
    # On a phone, where the head has no room, each cell says what it is.
    row = "".join(
        f'<td role="cell" data-title="{title}">{cell}</td>'
        for title, cell in zip(_TITLES, (shown, *cells, day), strict=True)
    )
    return f'<tr role="row">{row}</tr>\n'


def _verdict(report):
    rules = dict.fromkeys(finding.rule for finding in report.ranked)
    text = ", ".join(rules)
    if not text:
        text = "healthy" if report.healthy else "nothing found, not all judged"
    return f'<span class="{tone(report)}">{escape(text)}</span>'


def _numbers(report):
    """Return the worst layer, the loss and the steps of a run in words."""
    trace = report.trace
    layers = [culprits(f, trace)[0] for f in report.ranked if f.layers]
    if trace is None or not len(trace.steps):
        return layers[0] if layers else "", "", "0"
    loss = np.asarray(trace.logs.get("loss", ()), float)
    if not len(loss):
        loss = np.asarray(trace.extra.get("loss", ()), float)
        loss = loss[~np.isnan(loss)]
    went = ""
    if len(loss):
        ends = [number(x) if np.isfinite(x) else "NaN" for x in loss[[0, -1]]]
        went = " to ".join(dict.fromkeys(ends))
    steps = int(trace.steps[-1]) + 1
    return layers[0] if layers else "", went, f"{steps:,}"
