// Several runs on shared axes: loss and norm in one chart, and differences.

import { DIVERGING } from "./colormap.js";
import { html } from "./dom.js";
import { integer, many, METRICS, number } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { differenceLegend } from "./legend.js";
import { LineChart } from "./linechart.js";
import { key } from "./panel.js";
import { TimeScale, ValueScale } from "./scale.js";
import { lossLine, normLine } from "./series.js";

const LEFT = 62;
const RIGHT = 14;

/** Colour and dash of the n-th run: twenty that can be told apart. */
export function styleOf(n) {
  return { color: `run-${n % 10}`, dash: n >= 10 ? "6 3" : undefined };
}

/** Base 10 logarithm of b over a, as a matrix on the steps of both. */
export function difference(a, b) {
  const both = a.rows.filter((row) => b.rows.includes(row));
  // Most have other names, but there are as many: compared by their place.
  const byPlace = a.rows.length === b.rows.length &&
    both.length < a.rows.length / 2;
  const rows = byPlace ? a.rows : both;
  const place = (matrix) => (byPlace ? rows.map((_, i) => i)
    : rows.map((row) => matrix.rows.indexOf(row)));
  const [inA, inB] = [place(a), place(b)];
  const from = Math.max(a.starts[0] ?? 0, b.starts[0] ?? 0);
  const end = Math.min(a.end, b.end);
  const starts = [...new Set([from, ...a.starts, ...b.starts])]
    .filter((step) => step >= from && step < end).sort((x, y) => x - y);
  const columnOf = (step) => {
    if (step >= end) return -1;
    let low = -1;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= step) low = middle;
      else high = middle;
    }
    return low;
  };
  const columns = starts.map((step) => [a.columnOf(step), b.columnOf(step)]);
  return {
    rows, starts, end, columnOf, cells: "difference", byPlace,
    at(column, row) {
      if (column < 0) return null;
      const [one, two] = columns[column];
      if (one < 0 || two < 0) return null;
      const [first, second] = [a.at(one, inA[row]), b.at(two, inB[row])];
      if (first === null || second === null) return null;
      if (first === 0 && second === 0) return 0;
      const ratio = second / first;
      // Exactly 0 in one of them is farther than any colour goes.
      if (ratio === 0) return -1e9;
      if (ratio === Infinity && first === 0) return 1e9;
      return Math.log10(ratio);
    },
  };
}

/** The charts that runs share, and the map of their differences. */
export class Comparison {
  constructor(tooltip) {
    this.tooltip = tooltip;
    this.loss = new LineChart({ label: "Loss of all runs", height: 150,
      axis: true });
    this.norm = new LineChart({ label: "Global gradient norm of all runs",
      height: 150, log: true, axis: true });
    this.keys = html("p", { class: "keys" });
    this.map = new HeatMap({
      label: "Second run over first run, layers by steps",
      onHover: (cell) => this.hover(cell), onSelect: () => {},
    });
    this.title = html("span", { class: "title" });
    this.legend = html("div");
    this.mapFigure = html("figure", { hidden: true },
      html("figcaption", {}, this.title), this.legend, this.map.element);
    const figure = (title, chart) => html("figure", {},
      html("figcaption", {}, html("span", { class: "title" }, title)),
      chart.element);
    this.element = html("section", { class: "comparison",
      "aria-label": "All compared runs" },
    this.keys,
    html("div", { class: "pair" }, figure("Loss", this.loss),
      figure("Global gradient norm", this.norm)), this.mapFigure);
    for (const chart of [this.loss, this.norm]) this.follow(chart);
  }

  follow(chart) {
    chart.element.addEventListener("pointermove", (event) => {
      if (!chart.x) return;
      const box = chart.element.getBoundingClientRect();
      const step = chart.x.step(event.clientX - box.left);
      const lines = chart.point(step).map(({ run, value }) =>
        [run, number(value)]);
      this.tooltip.show(`step ${integer(step)}`, lines,
        event.clientX, event.clientY);
    });
    chart.element.addEventListener("pointerleave", () => {
      this.tooltip.hide();
      chart.point(null);
    });
  }

  hover(cell) {
    if (!cell || cell.column < 0) return this.tooltip.hide();
    const value = this.matrix.at(cell.column, cell.layer);
    const box = this.map.canvas.getBoundingClientRect();
    const text = value === null ? "not measured in both"
      : Math.abs(value) > 1e8 ? "exactly 0 in one of them"
        : `${number(10 ** value)} times`;
    this.tooltip.show(this.matrix.rows[cell.layer],
      [["second over first", text],
        ["step", integer(this.matrix.starts[cell.column])]],
      box.left + this.map.time.x(cell.step),
      box.top + (cell.layer + 0.5) * this.map.row);
    this.tooltip.speak(`${this.matrix.rows[cell.layer]}: ${text}`);
  }

  /** Take the panels of the runs. */
  set(panels, view) {
    const lines = { loss: [], norm: [] };
    panels.forEach(({ run, overview }, n) => {
      const style = styleOf(n);
      const name = run === "." ? "this run" : run;
      const plain = { ...style, run: name, low: undefined, high: undefined };
      lines.loss.push({ ...lossLine(overview), ...plain });
      const norm = normLine(overview);
      if (norm) lines.norm.push({ ...norm, ...plain });
    });
    this.loss.set(lines.loss);
    this.norm.set(lines.norm);
    this.loss.smoothing = this.norm.smoothing = view.smoothing;
    this.keys.replaceChildren(...lines.loss.map(({ run, color, dash }) =>
      key(run, color, dash ? "dashed" : "")));
    const [a, b] = panels;
    const known = panels.length === 2 && a.shown && b.shown &&
      a.metric === b.metric;
    this.matrix = known ? difference(a.shown, b.shown) : null;
    this.mapFigure.hidden = !this.matrix?.rows.length;
    if (this.mapFigure.hidden) return;
    const { title } = METRICS[a.metric];
    this.title.textContent = `${title}: ${b.run} over ${a.run}, ` +
      `${many(this.matrix.rows.length, "layer")} ` +
      (this.matrix.byPlace ? "compared by their place" : "in both");
    this.map.set(this.matrix, []);
    this.scale = this.range();
    this.legend.replaceChildren(differenceLegend(this.scale));
  }

  /** Whole decades around "alike", as far as nearly all cells go. */
  range() {
    const sizes = [];
    const { rows, starts } = this.matrix;
    const stride = Math.max(1, Math.floor(starts.length * rows.length / 2e4));
    for (let i = 0; i < starts.length * rows.length; i += stride) {
      const value = this.matrix.at(i % starts.length,
        Math.floor(i / starts.length));
      if (Number.isFinite(value) && value !== null) sizes.push(Math.abs(value));
    }
    sizes.sort((x, y) => x - y);
    const most = sizes[Math.floor(0.98 * (sizes.length - 1))] ?? 1;
    const reach = Math.min(12, Math.max(1, Math.ceil(most)));
    return new ValueScale(-reach, reach, false);
  }

  draw(span) {
    const width = this.loss.element.parentElement.clientWidth;
    if (!width || !span) return;
    const time = new TimeScale(...span, LEFT, width - RIGHT);
    this.loss.draw(time, width);
    this.norm.draw(time, width);
    if (this.mapFigure.hidden) return;
    const whole = this.element.clientWidth;
    const left = this.map.left(Math.max(92, Math.round(0.3 * whole)));
    this.map.draw(new TimeScale(...span, left, whole - RIGHT), whole,
      this.scale, DIVERGING);
  }
}
