"""A report as one page that opens offline."""

import base64
from html import escape

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.reporting.tables import binned
from keras_gradguard.reporting.tables import layer_rows
from keras_gradguard.reporting.tables import shown_columns

# Viridis at nine points: dark to bright, told apart by the colour-blind.
_VIRIDIS = np.array(
    [
        [68, 1, 84],
        [71, 44, 122],
        [59, 81, 139],
        [44, 113, 142],
        [33, 144, 141],
        [39, 173, 129],
        [92, 200, 99],
        [170, 220, 50],
        [253, 231, 37],
    ]
)
_GONE = np.array([214, 39, 40])
_UNKNOWN = np.array([150, 150, 150])
_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1b1f;--dim:#5c5f66;
--line:#d9dbe0;--box:#f5f6f8;--bad:#b3261e;--warn:#8a5200;--good:#1b6e3c}
@media(prefers-color-scheme:dark){:root{--bg:#16171b;--fg:#e8e8ec;
--dim:#a5a8b0;--line:#3a3c44;--box:#202228;--bad:#ff8a80;--warn:#ffc166;
--good:#7ddba0}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem;background:var(--bg);
color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin-top:2rem}
h3{font-size:1rem;margin:.8rem 0 .2rem}
.verdict{font-size:1.2rem;font-weight:600}
.good{color:var(--good)}.critical{color:var(--bad)}.warning{color:var(--warn)}
.finding{border:1px solid var(--line);border-radius:8px;padding:.2rem 1rem 1rem;
margin:1rem 0}
.effect{margin-left:1.5rem;border-style:dashed}
.dim{color:var(--dim)}
pre{background:var(--box);padding:.7rem;overflow-x:auto;border-radius:6px}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;width:100%}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}
a:focus,summary:focus,[tabindex]:focus{outline:2px solid currentColor}
"""


def to_html(report):
    """Return a `Report` as a page without any external resource."""
    trace = report.trace
    parts = [f'<p class="verdict {_tone(report)}">{escape(report.verdict)}</p>']
    parts += [_finding(finding) for finding in report.ranked]
    if trace is not None and len(trace.steps):
        parts.append("<h2>Gradient norms, layers by steps</h2>")
        parts.append(_heatmap(trace, report.findings))
        parts += _curves(trace, report.findings)
        parts.append("<h2>Layers</h2>")
        parts.append(_table(layer_rows(trace, report.findings)))
        parts.append(_about(trace))
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>GradGuard report</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>GradGuard report</h1>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _tone(report):
    if not report.findings:
        return "good" if report.healthy else "warning"
    return report.ranked[0].severity


def _finding(finding):
    epoch = f" (epoch {finding.epoch + 1})" if finding.epoch is not None else ""
    kind = "finding effect" if finding.cause else "finding"
    parts = [
        f'<section class="{kind}">',
        f'<h2><span class="{escape(finding.severity)}">{escape(finding.rule)}'
        f"</span> since step {finding.first_step}{epoch}</h2>",
        f"<p>{escape(finding.message)}</p>",
    ]
    if finding.cause:
        parts.append(f"<p>Follows from <b>{escape(finding.cause)}</b>.</p>")
    if finding.layers:
        layers = ", ".join(escape(layer) for layer in finding.layers)
        parts.append(f'<p class="dim">Layers, culprits first: {layers}</p>')
    for remedy in finding.remedies:
        parts.append(f"<h3>{escape(remedy.title)}</h3>")
        parts.append(f"<p>{escape(remedy.why)}</p>")
        if remedy.code:
            parts.append(
                f'<pre tabindex="0"><code>{escape(remedy.code)}</code></pre>'
            )
    parts.append("</section>")
    return "\n".join(parts)


def _heatmap(trace, findings, width=760, row_height=14):
    steps, cells, gone = binned(trace, bins=300)
    count = len(trace.layers)
    known = cells[np.isfinite(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    low = max(low, high - 12)
    height = count * max(2, min(row_height, 900 // max(1, count)))
    left, top = 190, 8
    image = _png(_colours(cells, gone, low, high))
    lines = [
        f'<svg viewBox="0 0 {left + width + 10} {height + 60}" role="img" '
        'aria-label="Heatmap of gradient norms">',
        f'<image x="{left}" y="{top}" width="{width}" height="{height}" '
        'preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{image}"/>',
    ]
    every = max(1, count * 14 // max(1, height))
    for at in range(0, count, every):
        y = top + (at + 0.5) * height / count + 4
        name = str(trace.layers[at])
        name = name if len(name) <= 26 else f"...{name[-24:]}"
        lines.append(
            f'<text x="{left - 6}" y="{y:.0f}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
    bottom = top + height + 16
    lines.append(f'<text x="{left}" y="{bottom}">step {steps[0]}</text>')
    lines.append(
        f'<text x="{left + width}" y="{bottom}" text-anchor="end">step '
        f"{trace.steps[-1]}</text>"
    )
    for finding in findings:
        # Bins hold equally many records, so the place is that of the record.
        at = np.searchsorted(steps, finding.first_step, side="right") - 1
        x = left + width * max(0, int(at)) / len(steps)
        lines.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{top}" y2="{top + height}" '
            'stroke="#d62728" stroke-dasharray="4 3"><title>'
            f"{escape(finding.rule)}</title></line>"
        )
    legend = (
        f"From {number(10**low)} (dark) to {number(10**high)} (bright), "
        "logarithmic; red: NaN or infinite; grey: no gradient."
    )
    lines.append("</svg>")
    return f'{"".join(lines)}\n<p class="dim">{legend}</p>'


def _colours(cells, gone, low, high):
    """Return (L, bins, 3) uint8 pixels."""
    share = (cells - low) / max(high - low, 1e-9)
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(_VIRIDIS) - 1)
    at = np.minimum(place.astype(int), len(_VIRIDIS) - 2)
    part = (place - at)[..., None]
    colours = _VIRIDIS[at] * (1 - part) + _VIRIDIS[at + 1] * part
    colours = np.where(np.isnan(cells)[..., None], _UNKNOWN, colours)
    colours = np.where(gone[..., None], _GONE, colours)
    return colours.astype(np.uint8).transpose(1, 0, 2)


def _png(pixels):
    """Return an image as base64 PNG; the format needs only zlib."""
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        size, check = struct.pack(">I", len(data)), zlib.crc32(body)
        return size + body + struct.pack(">I", check)

    rows, columns, _ = pixels.shape
    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    lines = np.zeros((rows, 1 + 3 * columns), np.uint8)
    lines[:, 1:] = pixels.reshape(rows, -1)
    data = b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            chunk(b"IDAT", zlib.compress(lines.tobytes())),
            chunk(b"IEND", b""),
        )
    )
    return base64.b64encode(data).decode()


def _curves(trace, findings):
    """Return headed charts of loss, global norm and update ratio."""
    marks = [(f.first_step, f.rule) for f in findings]
    parts = []
    loss = trace.logs.get("loss", np.zeros(0))
    batch = trace.extra.get("loss")
    if np.isfinite(loss).sum() > 1:
        parts.append("<h2>Loss per epoch</h2>")
        parts.append(_chart(trace.epoch_steps, loss, marks, "loss"))
    elif batch is not None and np.isfinite(batch).sum() > 1:
        parts.append("<h2>Loss per batch</h2>")
        parts.append(_chart(trace.steps, batch, marks, "loss"))
    parts.append("<h2>Global gradient norm</h2>")
    norm = trace.global_grad_norm
    parts.append(_chart(trace.steps, norm, marks, "global gradient norm"))
    steps, ratio = trace.measured("update_ratio")
    known = np.isfinite(ratio).any(axis=1)
    if known.sum() > 1:
        ratio = np.where(np.isfinite(ratio), ratio, np.nan)[known]
        parts.append("<h2>Update / weights, median over layers</h2>")
        middle = np.nanmedian(ratio.astype(np.float64), axis=1)
        parts.append(_chart(steps[known], middle, marks, "update ratio"))
        parts.append('<p class="dim">About 1e-3 is usual.</p>')
    return parts


def _chart(x, y, marks, label, width=760, height=150):
    """Return a line chart as SVG, logarithmic where all is positive."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    span = (x.min(), max(x.max(), x.min() + 1))
    known = np.isfinite(y)
    if known.sum() < 2:
        return '<p class="dim">Nothing finite to draw.</p>'
    x, y = x[known], y[known]
    logarithmic = y.min() > 0 and y.max() / y.min() > 100
    ends = (y.min(), y.max())
    y = np.log10(y) if logarithmic else y
    if len(x) > 600:
        size = len(x) // 300
        used = len(x) // size * size
        x = x[:used:size]
        y = np.median(y[:used].reshape(-1, size), axis=1)
    left, top = 190, 8
    low, high = y.min(), max(y.max(), y.min() + 1e-12)
    to_x = left + width * (x - span[0]) / (span[1] - span[0])
    to_y = top + height * (1 - (y - low) / (high - low))
    points = " ".join(
        f"{a:.1f},{b:.1f}" for a, b in zip(to_x, to_y, strict=True)
    )
    lines = [
        f'<svg viewBox="0 0 {left + width + 10} {height + 30}" role="img" '
        f'aria-label="{escape(label)} over steps">',
        f'<polyline points="{points}" fill="none" stroke="#3b7dd8" '
        'stroke-width="1.5"/>',
        f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">'
        f"{number(ends[1])}</text>",
        f'<text x="{left - 6}" y="{top + height}" text-anchor="end">'
        f"{number(ends[0])}</text>",
        f'<text x="{left}" y="{top + height + 18}">step {span[0]:.0f}</text>',
        f'<text x="{left + width}" y="{top + height + 18}" text-anchor="end">'
        f"step {span[1]:.0f}</text>",
    ]
    for step, rule in marks:
        at = left + width * (step - span[0]) / (span[1] - span[0])
        at = min(max(at, left), left + width)
        lines.append(
            f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{top}" '
            f'y2="{top + height}" stroke="#d62728" stroke-dasharray="4 3">'
            f"<title>{escape(rule)}</title></line>"
        )
    lines.append("</svg>")
    return "".join(lines)


def _table(rows):
    columns = shown_columns(rows)
    head = "".join(f'<th scope="col">{escape(t)}</th>' for _, t in columns)
    lines = [
        "<tr>"
        + "".join(f"<td>{escape(row[key])}</td>" for key, _ in columns)
        + "</tr>"
        for row in rows
    ]
    return (
        '<div class="wide" tabindex="0"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _about(trace):
    meta = trace.meta
    words = [
        f"{trace.records_seen:,} recorded steps",
        f"{len(trace.epochs)} epochs",
    ]
    for key in ("backend", "keras_version"):
        if isinstance(meta.get(key), str):
            words.append(f"{key.replace('_', ' ')} {meta[key]}")
    optimizer = meta.get("optimizer")
    if isinstance(optimizer, dict) and optimizer.get("class"):
        words.append(f"optimizer {optimizer['class']}")
    return f'<p class="dim">{escape(", ".join(words))}</p>'
