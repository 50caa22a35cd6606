// Lines over steps or over depth, as SVG.

import { svg } from "./dom.js";
import { drawBand, drawLine, drawRug, smooth } from "./lines.js";
import { scaleAround, ValueScale } from "./scale.js";

// Room for the word that says which scale it is.
const TOP = 14;
const BOTTOM = 6;
// Where a logarithm has no place for it, 0 gets a row of its own.
const ZERO = 16;
let charts = 0;

/** Index of the last position up to `at`, -1 if there is none. */
export function indexUpTo(positions, at) {
  let low = 0;
  let high = positions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (positions[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * A chart of lines.
 *
 * A line is {name, color, steps, values, low?, high?, dash?, dots?}: `color`
 * is a custom property of the theme, `low` and `high` make a band. Values that
 * are not finite become crosses at the upper edge, values of exactly 0 on a
 * logarithmic scale a mark on a row of their own.
 */
export class LineChart {
  constructor({ label, height, log = "auto", axis = false }) {
    this.height = height;
    this.log = log;
    this.axis = axis;
    this.range = null;
    this.lines = [];
    this.rug = null;
    this.events = [];
    this.smoothing = 0;
    this.clip = `chart-${++charts}`;
    this.element = svg("svg", {
      class: "chart", role: "img", "aria-label": label, height,
    });
  }

  /** Take lines, marks at the lower edge and [step, colour] of events. */
  set(lines, rug = null, events = []) {
    this.lines = lines;
    this.rug = rug;
    this.events = events;
  }

  /** Values of all lines within what is shown, bands included. */
  seen(x) {
    const values = [];
    for (const line of this.lines) {
      const from = Math.max(0, indexUpTo(line.steps, x.first ?? -Infinity));
      const to = indexUpTo(line.steps, x.end ?? Infinity) + 1;
      for (const list of [line.values, line.low, line.high]) {
        if (list) values.push(...list.slice(from, to));
      }
    }
    return values;
  }

  /** Range that the chart wants for itself: [values, whether log]. */
  wish(x) {
    const values = this.seen(x);
    return [values, this.useLog(values)];
  }

  /** Draw on the scale of the x axis. `y` is a scale that charts share. */
  draw(x, width, y = null) {
    this.x = x;
    const foot = this.height - BOTTOM - (this.axis ? 18 : 0);
    const [values, log] = this.wish(x);
    this.y = y ?? (this.range ? new ValueScale(...this.range, false)
      : scaleAround(values, log));
    const known = values.filter((v) => v !== null && Number.isFinite(v));
    this.zeros = this.y.log && known.some((v) => v === 0);
    const bottom = foot - (this.zeros ? ZERO : 0);
    const at = (value) => (this.zeros && value === 0 ? foot - 5
      : bottom - this.y.share(value) * (bottom - TOP));
    this.element.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.element.setAttribute("width", width);
    this.cursor = svg("line", {
      class: "cursor", y1: TOP, y2: foot, visibility: "hidden",
    });
    const place = { x, at, top: TOP };
    this.element.replaceChildren(
      svg("clipPath", { id: this.clip }, svg("rect", {
        x: x.left - 1, y: 0, height: this.height,
        width: Math.max(0, x.right - x.left + 2),
      })),
      ...this.grid(x, at, foot, known),
      ...this.events
        .filter(([step]) => step >= (x.first ?? 0) && step < (x.end ?? step + 1))
        .map(([step, color]) => svg("line", {
          class: "event", x1: x.x(step), x2: x.x(step), y1: 0,
          y2: this.height, stroke: `var(--${color})`,
        })),
      svg("g", { "clip-path": `url(#${this.clip})` },
        ...this.lines.flatMap((line) => this.drawAll(line, place)),
        ...(this.rug ? drawRug(this.rug, x, foot) : [])),
      this.cursor,
    );
  }

  drawAll(line, place) {
    const zeros = this.zeros;
    const band = line.low ? [drawBand(line, place)] : [];
    if (!this.smoothing || line.dots) {
      return [...band, ...drawLine(line, place, zeros)];
    }
    const values = smooth(line.values, this.smoothing);
    return [...band,
      ...drawLine({ ...line, faint: true }, place, zeros),
      ...drawLine({ ...line, values }, place, zeros)];
  }

  useLog(values) {
    if (this.log !== "auto") return this.log;
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return low > 0 && high / low > 50;
  }

  grid(x, at, foot, known) {
    const parts = [];
    const text = (line, props) => parts.push(svg("text", props, line));
    const onlyZeros = this.zeros && known.every((value) => value === 0);
    // Without any number there is no scale.
    const ticks = known.length && !onlyZeros
      ? this.y.labels(this.height > 140 ? 6 : 4) : [];
    for (const [value, label] of ticks) {
      const y = at(value);
      parts.push(svg("line", {
        class: "grid", x1: x.left, x2: x.right, y1: y, y2: y,
      }));
      text(label, { class: "tick", x: x.left - 6, y: y + 4,
        "text-anchor": "end" });
    }
    if (this.zeros) {
      text("0", { class: "tick", x: x.left - 6, y: at(0) + 4,
        "text-anchor": "end" });
    }
    if (onlyZeros) {
      text(`exactly 0 at all ${x.end === undefined ? "layers" : "steps"}`, {
        class: "none", x: (x.left + x.right) / 2, y: foot / 2,
        "text-anchor": "middle" });
    } else if (ticks.length) {
      // Which scale it is was chosen for the reader, so it is said.
      text(this.y.log ? "log" : "linear", { class: "tick kind",
        x: x.right, y: TOP - 5, "text-anchor": "end" });
    }
    parts.push(svg("line", {
      class: "axis", x1: x.left, x2: x.right, y1: foot, y2: foot,
    }));
    if (!this.lines.some((line) => line.steps.length)) {
      text("not recorded yet", { class: "none", x: x.left + 10,
        y: (TOP + foot) / 2 + 4 });
    }
    for (const [place, label] of this.axis ? x.labels() : []) {
      text(label, { class: "tick", x: x.x(place), y: foot + 16,
        "text-anchor": "middle" });
    }
    return parts;
  }

  /** Show where a step is, and return what the lines say there. */
  point(at) {
    if (!this.cursor) return [];
    if (at === null) {
      this.cursor.setAttribute("visibility", "hidden");
      return [];
    }
    const x = this.x.x(at);
    const inside = x >= this.x.left - 1 && x <= this.x.right + 1;
    this.cursor.setAttribute("visibility", inside ? "visible" : "hidden");
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    return this.lines.map((line) => {
      const i = indexUpTo(line.steps, at);
      return { ...line, value: i < 0 ? null : line.values[i] };
    });
  }
}
