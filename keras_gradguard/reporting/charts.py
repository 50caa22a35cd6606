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
# Where what is drawn begins, and how wide it is; how high a chart is.
_LEFT, _TOP, _WIDTH, _HEIGHT = 190, 8, 760, 150
# The most of a row of each map.
_ROW, _ROW_OVER_TIME = 14, 22
_GONE, _ZERO = np.array([214, 39, 40]), np.array([0, 0, 0])
_UNKNOWN = np.array([150, 150, 150])


def heatmap(trace, findings):
    """Return gradient norms, layers by steps, as HTML."""
    parts, cells, gone = binned(trace, bins=300)
    count = len(trace.layers)
    known = cells[np.isfinite(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    height = count * max(2, min(_ROW, 600 // max(1, count)))
    lines = _map(
        _colours(cells, gone, low, high),
        trace.run.names(trace.layers),
        (f"step {parts.edges[0]}", f"step {trace.steps[-1]}"),
        "Heatmap of gradient norms",
        height,
    )
    marks = [(f.first_step, f.rule) for f in findings]
    lines += _marks(marks, parts.edges[0], parts.edges[-1], height)
    legend = (
        f"From {number(10**low)} (dark) to {number(10**high)} (bright), "
        "logarithmic; black: exactly 0; red: NaN or infinite; grey: no "
        "gradient."
    )
    lines.append("</svg>")
    return f'{"".join(lines)}\n<p class="dim">{legend}</p>'


def through_time(trace):
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
        _ROW_OVER_TIME * len(labels),
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


def _map(pixels, labels, ends, label, height):
    """Return the lines of an SVG map, without its end."""
    count = len(labels)
    lines = [
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 10} {height + 60}" role="img" '
        f'aria-label="{label}">',
        f'<image x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{height}" '
        'preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{_png(pixels)}"/>',
    ]
    # On a phone letters are larger, so that names are fewer and shorter.
    for kind, size, width in (("wide", 14, 26), ("narrow", 28, 13)):
        every = max(1, -(-count * size // max(1, height)))
        names = unlike_neighbours([str(one) for one in labels[::every]], width)
        for name, at in zip(names, range(0, count, every), strict=True):
            y = _TOP + (at + 0.5) * height / count + size * 0.3
            lines.append(
                f'<text class="{kind}" x="{_LEFT - 6}" y="{y:.0f}" '
                f'text-anchor="end">{escape(name)}</text>'
            )
    return lines + _ends(ends, height)


def _ends(ends, height):
    """Return the names of both ends of the axis across."""
    y, (first, last) = _TOP + height + 24, ends
    return [
        f'<text x="{_LEFT}" y="{y}" text-anchor="start">{first}</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{y}" text-anchor="end">{last}</text>',
    ]


def _marks(marks, first, last, height):
    """Return a line at each marked step, that of an axis that ends there.

    Args:
        marks: List of (step, rule).
        first: Number. Step at which the axis begins.
        last: Number. Step at which it ends.
        height: Number. Height of what is drawn.
    """
    lines = []
    for step, rule in marks:
        x = _LEFT + _WIDTH * np.clip((step - first) / (last - first), 0, 1)
        lines.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{_TOP}" '
            f'y2="{_TOP + height}" stroke="#d62728" stroke-dasharray="4 3">'
            f"<title>{escape(rule)}</title></line>"
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


def chart(x, y, marks, label):
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

    def place(steps, values):
        across = _LEFT + _WIDTH * (steps - span[0]) / (span[1] - span[0])
        share = (scale(values) - scale(low)) / (scale(high) - scale(low))
        return zip(across, _TOP + _HEIGHT * (1 - share), strict=True)

    def points(pairs):
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)

    lines = [
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 10} {_HEIGHT + 40}" role="img" '
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
    for value, at in ((high, _TOP + 10), (low, _TOP + _HEIGHT)):
        lines.append(
            f'<text x="{_LEFT - 6}" y="{at}" text-anchor="end">'
            f"{number(value)}</text>"
        )
    lines += _ends([f"step {step:.0f}" for step in span], _HEIGHT)
    lines += _marks(marks, *span, _HEIGHT)
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
