"""Pictures of a run for pages: SVG and PNG, without any library."""

import base64
import struct
import zlib
from html import escape

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard._text import unlike_neighbours
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.map_over_time import last_profiles
from keras_gradguard.reporting.tables import binned

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
# The axis of a chart spans this share of its values at least.
LEAST_SPAN = 0.2
_CHART_POINTS = 300
_GONE, _ZERO = np.array([214, 39, 40]), np.array([0, 0, 0])
_UNKNOWN = np.array([150, 150, 150])


def heatmap(trace, findings, width=760, row_height=14):
    """Return gradient norms, layers by steps, as HTML."""
    parts, cells, gone = binned(trace, bins=300)
    count = len(trace.layers)
    known = cells[np.isfinite(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    height = count * max(2, min(row_height, 600 // max(1, count)))
    left, top = 190, 8
    first, span = parts.edges[0], parts.edges[-1] - parts.edges[0]
    lines = _map(
        _colours(cells, gone, low, high),
        trace.layers,
        (f"step {first}", f"step {trace.steps[-1]}"),
        "Heatmap of gradient norms",
        (width, height),
    )
    for finding in findings:
        x = left + width * np.clip((finding.first_step - first) / span, 0, 1)
        lines.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{top}" y2="{top + height}" '
            'stroke="#d62728" stroke-dasharray="4 3"><title>'
            f"{escape(finding.rule)}</title></line>"
        )
    legend = (
        f"From {number(10**low)} (dark) to {number(10**high)} (bright), "
        "logarithmic; black: exactly 0; red: NaN or infinite; grey: no "
        "gradient."
    )
    lines.append("</svg>")
    return f'{"".join(lines)}\n<p class="dim">{legend}</p>'


def through_time(trace, width=760, row_height=22):
    """Return gradients through time, layers by time steps, as HTML lines."""
    profiles = last_profiles(trace)
    if profiles is None:
        return []
    low, high = profiles.log_range
    pixels = _colours(
        profiles.cells.T, profiles.gone.T, low, max(high, low + 1e-6)
    )
    labels = [
        f"{layer} ({count(length, 'step')})"
        for layer, length in zip(
            unlike_neighbours(list(profiles.layers)),
            profiles.lengths,
            strict=True,
        )
    ]
    lines = _map(
        pixels,
        labels,
        ("first time step", "last"),
        "Heatmap of gradients through time",
        (width, row_height * len(labels)),
    )
    legend = (
        f"How much of the loss arrives at each time step, at step "
        f"{profiles.step}: the norm of its gradient with respect to the state, "
        f"from {number(10**low)} (dark) to {number(10**high)} (bright), "
        "logarithmic; black: exactly 0; red: NaN or infinite; grey: masked."
    )
    return [
        "<h2>Gradients through time, layers by time steps</h2>",
        "".join([*lines, "</svg>"]),
        f'<p class="dim">{escape(legend)}</p>',
        *(f'<p class="dim">{escape(line)}</p>' for line in profiles.lines),
    ]


def _map(pixels, labels, ends, label, size):
    """Return the lines of an SVG map, without its end."""
    across, height = size
    left, top, count = 190, 8, len(labels)
    lines = [
        f'<svg viewBox="0 0 {left + across + 10} {height + 60}" role="img" '
        f'aria-label="{label}">',
        f'<image x="{left}" y="{top}" width="{across}" height="{height}" '
        'preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{_png(pixels)}"/>',
    ]
    # On a phone letters are larger, so that names are fewer and shorter.
    for kind, size, width in (("wide", 14, 26), ("narrow", 28, 13)):
        every = max(1, -(-count * size // max(1, height)))
        names = unlike_neighbours([str(one) for one in labels[::every]], width)
        for name, at in zip(names, range(0, count, every), strict=True):
            y = top + (at + 0.5) * height / count + size * 0.3
            lines.append(
                f'<text class="{kind}" x="{left - 6}" y="{y:.0f}" '
                f'text-anchor="end">{escape(name)}</text>'
            )
    bottom = top + height + 24
    for end, x, anchor in zip(
        ends, (left, left + across), ("start", "end"), strict=True
    ):
        lines.append(
            f'<text x="{x}" y="{bottom}" text-anchor="{anchor}">{end}</text>'
        )
    return lines


def _colours(cells, gone, low, high):
    """Return (L, bins, 3) uint8 pixels."""
    zero = np.isneginf(cells)
    share = (np.where(zero, low, cells) - low) / max(high - low, 1e-9)
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(_VIRIDIS) - 1)
    at = np.minimum(place.astype(int), len(_VIRIDIS) - 2)
    part = (place - at)[..., None]
    colours = _VIRIDIS[at] * (1 - part) + _VIRIDIS[at + 1] * part
    colours = np.where(zero[..., None], _ZERO, colours)
    colours = np.where(np.isnan(cells)[..., None], _UNKNOWN, colours)
    colours = np.where(gone[..., None], _GONE, colours)
    return colours.astype(np.uint8).transpose(1, 0, 2)


def _png(pixels):
    """Return an image as base64 PNG; the format needs only zlib."""

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


def chart(x, y, marks, label, width=760, height=150):
    """Return a line chart as SVG, logarithmic where all is positive.

    Of a long series the median of each part is drawn, and behind it what lies
    between its minimum and maximum.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    span = (x.min(), max(x.max(), x.min() + 1))
    known = np.isfinite(y)
    if known.sum() < 2:
        return '<p class="dim">Nothing finite to draw.</p>'
    x, y = x[known], y[known]
    logarithmic = y.min() > 0 and y.max() / y.min() > 100
    low, high = _range(y, logarithmic)
    scale = np.log10 if logarithmic else np.asarray
    left, top = 190, 8

    def place(steps, values):
        across = left + width * (steps - span[0]) / (span[1] - span[0])
        share = (scale(values) - scale(low)) / (scale(high) - scale(low))
        return zip(across, top + height * (1 - share), strict=True)

    def points(pairs):
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)

    lines = [
        f'<svg viewBox="0 0 {left + width + 10} {height + 40}" role="img" '
        f'aria-label="{escape(label)} over steps">',
    ]
    if len(x) > 2 * _CHART_POINTS:
        parts = StepBins.of(x.astype(int), _CHART_POINTS)
        x = parts.middles
        there = [*place(x, parts.max(y))]
        back = [*place(x, parts.min(y))][::-1]
        lines.append(
            f'<polygon points="{points(there + back)}" fill="#3b7dd8" '
            'fill-opacity="0.25"/>'
        )
        y = parts.median(y)
    lines += [
        f'<polyline points="{points(place(x, y))}" fill="none" '
        'stroke="#3b7dd8" stroke-width="1.5"/>',
    ]
    for value, at in ((high, top + 10), (low, top + height)):
        lines.append(
            f'<text x="{left - 6}" y="{at}" text-anchor="end">'
            f"{number(value)}</text>"
        )
    for step, anchor, at in (
        (span[0], "start", left),
        (span[1], "end", left + width),
    ):
        lines.append(
            f'<text x="{at}" y="{top + height + 24}" text-anchor="{anchor}">'
            f"step {step:.0f}</text>"
        )
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


def _range(values, logarithmic):
    """Return the ends of the y axis: what hardly moves must look flat."""
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        return low, high
    least = LEAST_SPAN * max(abs(low), abs(high)) or 1.0
    missing = max(0.0, least - (high - low)) / 2
    below = low - missing
    return (0.0 if low >= 0 > below else below), high + missing
