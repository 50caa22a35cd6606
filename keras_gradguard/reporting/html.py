"""A report as one page that opens offline: sections, one below the other."""

import datetime
import re
from html import escape

import numpy as np

from keras_gradguard._text import count
from keras_gradguard.reporting.charts import chart
from keras_gradguard.reporting.charts import heatmap
from keras_gradguard.reporting.charts import through_time
from keras_gradguard.reporting.lives import culprits
from keras_gradguard.reporting.lives import state
from keras_gradguard.reporting.lives import what_became_of
from keras_gradguard.reporting.page import to_page
from keras_gradguard.reporting.page import tone
from keras_gradguard.reporting.tables import layer_rows
from keras_gradguard.reporting.tables import shown_columns
from keras_gradguard.version import __version__

# What a reader takes in at once; the rest is folded away.
_NAMED, _CODE_LINES, _ROWS = 4, 5, 20
# What must not be broken at its hyphen: "3.1e-5", "0-29".
_HYPHENED = re.compile(r"[\d.]+(?:e-|-)\d+")
_CODE = re.compile(r"`([^`]+)`")
# Logs with a chart of their own, and those that come first.
_MOST_LOGS = 6
_LOGS_FIRST = {"loss": 0, "val_loss": 1}


def to_html(report):
    """Return a `Report` as a page without any external resource."""
    sections = [*SECTIONS]
    if report.trace is not None and len(report.trace.steps):
        sections += OF_A_TRACE
    parts = [part for section in sections for part in section(report)]
    return to_page("GradGuard report", "\n".join(parts))


def _verdict(report):
    dim = [*report.notes, *what_became_of(report.history)]
    return [
        f'<p class="verdict {tone(report)}">{escape(report.verdict)}</p>',
        *(f'<p class="dim">{escape(line)}</p>' for line in dim),
    ]


def _findings(report):
    return [finding_card(finding, report.trace) for finding in report.ranked]


def finding_card(finding, trace):
    """Return a finding as HTML: what, where, what to do."""
    epoch = f" (epoch {finding.epoch + 1})" if finding.epoch is not None else ""
    kind = "finding effect" if finding.cause else "finding"
    parts = [
        f'<section class="{kind}">',
        f'<h2><span class="{escape(finding.severity)}">{escape(finding.rule)}'
        f"</span> since step {finding.first_step}{epoch}</h2>",
        f'<p class="dim">{escape(state(finding, trace))}</p>',
        f"<p>{_prose(finding.message)}</p>",
    ]
    if finding.cause:
        parts.append(f"<p>Follows from <b>{escape(finding.cause)}</b>.</p>")
    if finding.layers:
        shown = [escape(layer) for layer in culprits(finding, trace)]
        # To fold a single one away saves nothing.
        most = _NAMED if len(shown) > _NAMED + 1 else len(shown)
        parts.append(
            f'<p class="dim">Layers, culprits first: '
            f"{', '.join(shown[:most])}</p>"
        )
        parts.append(_folded("more layer", shown[most:], ", "))
    # What helps against the cause helps against what follows.
    remedies = [] if finding.cause else [*map(_remedy, finding.remedies)]
    parts += remedies[:1]
    if remedies[1:]:
        parts.append(
            f"<details><summary>{len(remedies) - 1} more to try</summary>"
        )
        parts += [*remedies[1:], "</details>"]
    parts.append("</section>")
    return "\n".join(parts)


def _remedy(remedy):
    parts = [f"<h3>{escape(remedy.title)}</h3>", f"<p>{_prose(remedy.why)}</p>"]
    return "\n".join([*parts, *(_code(remedy.code) if remedy.code else ())])


def _prose(text):
    """Return a sentence as HTML: code as such, numbers on one line."""
    text = _CODE.sub(r"<code>\1</code>", escape(text))
    return _HYPHENED.sub(r'<span class="number">\g<0></span>', text)


def _folded(what, lines, between):
    """Return what is too much to be read at once, to be opened."""
    if not lines:
        return ""
    return (
        f"<details><summary>{count(len(lines), what)}</summary>"
        f"<p>{between.join(lines)}</p></details>"
    )


def _code(code):
    lines = code.splitlines()
    if len(lines) <= _CODE_LINES + 1:
        return [f'<pre tabindex="0"><code>{escape(code)}</code></pre>']
    head = "\n".join(lines[:_CODE_LINES])
    rest = "\n".join(lines[_CODE_LINES:])
    return [
        f'<pre tabindex="0"><code>{escape(head)}</code></pre>',
        f"<details><summary>{count(len(lines) - _CODE_LINES, 'more line')}"
        "</summary>"
        f'<pre tabindex="0"><code>{escape(rest)}</code></pre></details>',
    ]


def _norms(report):
    return [
        "<h2>Gradient norms, layers by steps</h2>",
        heatmap(report.trace, report.findings),
    ]


def _over_time(report):
    return through_time(report.trace)


def _curves(report):
    """Return headed charts of losses, metrics, norms and update ratio."""
    trace = report.trace
    marks = [(f.first_step, f.rule) for f in report.findings]
    parts = []
    batch = trace.extra.get("loss")
    shown = [
        (name, series)
        for name, series in trace.logs.items()
        if np.isfinite(series).sum() > 1 and name != "learning_rate"
    ]
    shown.sort(key=lambda pair: _LOGS_FIRST.get(pair[0], len(_LOGS_FIRST)))
    for name, series in shown[:_MOST_LOGS]:
        parts.append(f"<h2>{escape(name)} per epoch</h2>")
        parts.append(chart(trace.epoch_steps, series, marks, name))
    shows = any(name == "loss" for name, _ in shown)
    if not shows and batch is not None and np.isfinite(batch).sum() > 1:
        parts.append("<h2>loss per batch</h2>")
        parts.append(chart(trace.steps, batch, marks, "loss"))
    parts.append("<h2>Global gradient norm</h2>")
    norm = trace.global_grad_norm
    parts.append(chart(trace.steps, norm, marks, "global gradient norm"))
    steps, ratio = trace.measured("update_ratio")
    known = np.isfinite(ratio).any(axis=1)
    if known.sum() > 1:
        ratio = np.where(np.isfinite(ratio), ratio, np.nan)[known]
        parts.append("<h2>Update / weights, median over layers</h2>")
        middle = np.nanmedian(ratio.astype(np.float64), axis=1)
        parts.append(chart(steps[known], middle, marks, "update ratio"))
        parts.append('<p class="dim">About 1e-3 is usual.</p>')
    return parts


def _layers(report):
    rows = layer_rows(report.trace, report.findings)
    return ["<h2>Layers</h2>", _table(rows)]


def _table(rows):
    columns = shown_columns(rows)
    head = "".join(f'<th scope="col">{escape(t)}</th>' for _, t in columns)
    lines = [
        "<tr>"
        + "".join(f"<td>{escape(row[key])}</td>" for key, _ in columns)
        + "</tr>"
        for row in rows
    ]
    head = f"<thead><tr>{head}</tr></thead>"

    def table(lines):
        return (
            '<div class="wide" tabindex="0"><table>'
            f"{head}<tbody>{''.join(lines)}</tbody></table></div>"
        )

    if len(lines) <= 2 * _ROWS:
        return table(lines)
    named = [bool(row["rules"]) for row in rows]
    shown = [i for i, found in enumerate(named) if found][:_ROWS]
    shown = shown or [*range(_ROWS)]
    rest = [line for i, line in enumerate(lines) if i not in shown]
    return (
        table([lines[i] for i in shown])
        + f"<details><summary>{count(len(rest), 'more layer')}</summary>"
        + f"{table(rest)}</details>"
    )


def _about(report):
    """Return what the run was: how long, of what, made by which versions."""
    trace = report.trace
    run = trace.run
    rows = [
        ("run", report.run_dir),
        ("recorded steps", f"{trace.records_seen:,}"),
        ("epochs", len(trace.epochs)),
        ("model", run.model),
        ("parameters", _count(trace.sizes)),
        ("optimizer", run.optimizer.name),
        ("learning rate", run.learning_rate and f"{run.learning_rate:.4g}"),
        ("loss", run.loss_name),
        ("batch size", _count(trace.data("samples")[:1])),
        ("backend", run.backend),
        ("Keras", run.keras_version),
        ("keras-gradguard", __version__),
        ("written", datetime.datetime.now().strftime("%Y-%m-%d %H:%M")),
    ]
    words = [f"{name} {value}" for name, value in rows if value is not None]
    return [f'<p class="dim">{escape(", ".join(words))}</p>']


def _count(values):
    total = np.nansum(np.asarray(values, np.float64))
    return f"{int(total):,}" if 0 < total < np.inf else None


# What a page shows, each a function of a `Report` that returns lines of HTML;
# the second where something was recorded.
SECTIONS = (_verdict, _findings)
OF_A_TRACE = (_norms, _over_time, _curves, _layers, _about)
