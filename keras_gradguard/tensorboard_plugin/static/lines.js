// The parts of a chart of lines, as SVG.

import { svg } from "./dom.js";

/**
 * A running mean that forgets, as TensorBoard's own: the share `weight` of
 * what was stays at each value. Gaps stay gaps.
 */
export function smooth(values, weight) {
  let sum = 0;
  let norm = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    sum = weight * sum + (1 - weight) * value;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}

/** A line, with crosses for what is not finite and squares for zeros. */
export function drawLine(line, { x, at, top }, zeros) {
  const color = `var(--${line.color})`;
  const parts = [];
  let path = "";
  let flat = "";
  let pen = "M";
  const lost = new Set();
  const dots = [];
  const none = [];
  line.steps.forEach((step, i) => {
    const value = line.values[i];
    if (value === null) {
      pen = "M";
    } else if (zeros && value === 0) {
      const px = Math.round(x.x(step));
      if (px !== none[none.length - 1]) none.push(px);
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
  for (const px of none) flat += `M${px - 1.5} ${at(0) - 1.5}h3v3h-3z`;
  parts.push(svg("path", {
    class: line.faint ? "line faint" : "line", d: path, stroke: color,
    "stroke-dasharray": line.dash,
  }));
  if (line.faint) return parts;
  if (flat) parts.push(svg("path", { class: "zeros", d: flat, stroke: color }));
  if (line.dots || dots.length === 1) {
    for (const [cx, cy] of dots) {
      parts.push(svg("circle", { cx, cy, r: 2.5, fill: color }));
    }
  }
  for (const place of lost) {
    parts.push(svg("path", {
      class: "lost",
      d: `M${place - 3} ${top - 3}l6 6m0 -6l-6 6`,
    }));
  }
  return parts;
}

/** From minimum to maximum. */
export function drawBand(line, { x, at }) {
  const shown = line.steps
    .map((step, i) => [step, line.low[i], line.high[i]])
    .filter(([, low, high]) => Number.isFinite(low) && Number.isFinite(high));
  const up = shown.map(([step, , high]) => `${x.x(step)} ${at(high)}`);
  const down = shown.map(([step, low]) => `${x.x(step)} ${at(low)}`);
  return svg("path", {
    class: "band", fill: `var(--${line.color})`,
    d: shown.length ? `M${[...up, ...down.reverse()].join("L")}Z` : "",
  });
}

/** Marks at the lower edge: shares in [0, 1] of clipped and skipped. */
export function drawRug(rug, x, bottom) {
  const parts = [];
  for (const { steps, values, color, row } of rug) {
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
