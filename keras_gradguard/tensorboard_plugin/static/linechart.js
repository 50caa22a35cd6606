// Lines over steps or over depth, as SVG.

import { svg } from "./dom.js";
import { number, power } from "./format.js";
import { scaleAround, ValueScale } from "./scale.js";

const TOP = 8;
const BOTTOM = 6;

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
 * are not finite become crosses at the upper edge.
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

  /** Draw on the scale of the x axis. */
  draw(x, width) {
    this.x = x;
    const bottom = this.height - BOTTOM - (this.axis ? 18 : 0);
    const values = this.lines.flatMap((line) =>
      [...line.values, ...(line.low ?? []), ...(line.high ?? [])]);
    this.y = this.range ? new ValueScale(...this.range, false)
      : scaleAround(values, this.useLog(values));
    const at = (value) => bottom - this.y.share(value) * (bottom - TOP);
    this.element.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.element.setAttribute("width", width);
    this.cursor = svg("line", {
      class: "cursor", y1: TOP, y2: bottom, visibility: "hidden",
    });
    this.element.replaceChildren(
      ...this.grid(x, at, bottom, values.some((v) => Number.isFinite(v))),
      ...this.events.map(([step, color]) => svg("line", {
        class: "event", x1: x.x(step), x2: x.x(step), y1: 0,
        y2: this.height, stroke: `var(--${color})`,
      })),
      ...this.lines.flatMap((line) => this.drawLine(line, x, at)),
      ...(this.rug ? this.drawRug(x, bottom) : []),
      this.cursor,
    );
  }

  useLog(values) {
    if (this.log !== "auto") return this.log;
    const known = values.filter((v) => v !== null && Number.isFinite(v));
    const low = Math.min(...known);
    return known.length > 1 && low > 0 && Math.max(...known) / low > 50;
  }

  grid(x, at, bottom, known) {
    const parts = [];
    // Without any number there is no scale.
    const ticks = known ? this.y.ticks(this.height > 140 ? 6 : 4) : [];
    for (const [value, exponent] of ticks) {
      const y = at(value);
      parts.push(svg("line", {
        class: "grid", x1: x.left, x2: x.right, y1: y, y2: y,
      }));
      parts.push(svg("text", {
        class: "tick", x: x.left - 6, y: y + 4, "text-anchor": "end",
      }, exponent === null ? number(value) : power(exponent)));
    }
    parts.push(svg("line", {
      class: "axis", x1: x.left, x2: x.right, y1: bottom, y2: bottom,
    }));
    if (!this.lines.some((line) => line.steps.length)) {
      parts.push(svg("text", {
        class: "none", x: x.left + 10, y: (TOP + bottom) / 2 + 4,
      }, "not recorded yet"));
    }
    if (this.axis) {
      for (const [place, text] of x.labels()) {
        parts.push(svg("text", {
          class: "tick", x: x.x(place), y: bottom + 16,
          "text-anchor": "middle",
        }, text));
      }
    }
    return parts;
  }

  drawLine(line, x, at) {
    const color = `var(--${line.color})`;
    const parts = [];
    if (line.low) parts.push(this.band(line, x, at, color));
    let path = "";
    let pen = "M";
    const lost = new Set();
    const dots = [];
    line.steps.forEach((step, i) => {
      const value = line.values[i];
      if (value === null) {
        pen = "M";
      } else if (Number.isFinite(value)) {
        const [px, py] = [x.x(step).toFixed(1), at(value).toFixed(1)];
        path += `${pen}${px} ${py}`;
        dots.push([px, py]);
        pen = "L";
      } else {
        lost.add(Math.round(x.x(step) / 8) * 8);
        pen = "M";
      }
    });
    parts.push(svg("path", {
      class: "line", d: path, stroke: color, "stroke-dasharray": line.dash,
    }));
    if (line.dots || dots.length === 1) {
      for (const [cx, cy] of dots) {
        parts.push(svg("circle", { cx, cy, r: 2.5, fill: color }));
      }
    }
    for (const place of lost) {
      parts.push(svg("path", {
        class: "lost",
        d: `M${place - 3} ${TOP - 3}l6 6m0 -6l-6 6`,
      }));
    }
    return parts;
  }

  band(line, x, at, color) {
    const shown = line.steps
      .map((step, i) => [step, line.low[i], line.high[i]])
      .filter(([, low, high]) => Number.isFinite(low) && Number.isFinite(high));
    const up = shown.map(([step, , high]) => `${x.x(step)} ${at(high)}`);
    const down = shown.map(([step, low]) => `${x.x(step)} ${at(low)}`);
    return svg("path", {
      class: "band", fill: color,
      d: shown.length ? `M${[...up, ...down.reverse()].join("L")}Z` : "",
    });
  }

  /** Marks at the lower edge: shares in [0, 1] of clipped and skipped. */
  drawRug(x, bottom) {
    const parts = [];
    for (const { steps, values, color, row } of this.rug) {
      const y = bottom - 5 * (row + 1);
      steps.forEach((step, i) => {
        if (!(values[i] > 0)) return;
        const left = x.x(step);
        const right = i + 1 < steps.length ? x.x(steps[i + 1]) : x.right;
        parts.push(svg("rect", {
          x: left, y, height: 4, width: Math.max(1.5, right - left),
          fill: `var(--${color})`, opacity: 0.35 + 0.65 * values[i],
        }));
      });
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
    this.cursor.setAttribute("visibility", "visible");
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    return this.lines.map((line) => {
      const i = indexUpTo(line.steps, at);
      return { ...line, value: i < 0 ? null : line.values[i] };
    });
  }
}
