// Everything about one run, on one time axis.

import { getMatrix, getOverview } from "./api.js";
import { Brush } from "./brush.js";
import { REVERSED, TABLE } from "./colormap.js";
import { Detail } from "./detail.js";
import { html } from "./dom.js";
import { savePicture, saveTable } from "./exporting.js";
import { findingsList, leftOutLine, markers, namedLayers, verdictLine } from
  "./findings.js";
import { integer, many, METRICS, metricValue, number } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { LineChart } from "./linechart.js";
import { pick, withRows } from "./rows.js";
import { TimeScale } from "./scale.js";
import { CHARTS } from "./series.js";
import { TimesMap } from "./times.js";

const RIGHT = 14;

/** What a line is called, with a piece of it. */
export function key(name, color, kind = "") {
  return html("span", { class: `key ${kind}` },
    html("span", { class: "swatch", style: { color: `var(--${color})` } }),
    name);
}

export class RunPanel {
  /**
   * `alone` shows the charts of the loss and of the norm, `full` the findings
   * and the detail.
   */
  constructor({ run, tooltip, alone = true, full = true, color = null,
    actions }) {
    Object.assign(this, { run, tooltip, alone, full, color, actions });
    this.lines = CHARTS.map((entry) => ({ ...entry,
      chart: new LineChart({ ...entry, label: `${entry.title} over the steps` }),
      keys: html("span", { class: "keys" }) }));
    this.map = new HeatMap({
      label: `Layers by steps of run ${run}`,
      onHover: (cell) => this.hoverCell(cell),
      onSelect: (cell) => this.actions.onCell({
        layer: this.shown.rows[cell.layer], step: cell.step,
      }, this),
      onZoom: (factor, step) => this.zoomAround(factor, step),
      onGroup: (path) => this.actions.onFilter(path),
    });
    this.detail = new Detail(tooltip);
    this.times = new TimesMap(tooltip);
    this.build();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.charts);
  }

  build() {
    this.head = html("div", { class: "panel-head" });
    this.marks = html("div");
    this.mapTitle = html("span", { class: "title" });
    this.mapNote = html("span", { class: "keys" });
    const charts = this.alone ? this.lines.map(({ title, chart, keys }) =>
      html("figure", {},
        html("figcaption", {}, html("span", { class: "title" }, title), keys),
        chart.element)) : [];
    this.stack = html("div", { class: "stack" }, ...charts,
      html("figure", {},
        html("figcaption", {}, this.mapTitle, this.mapNote,
          html("span", { class: "exports" },
            html("button", { class: "plain",
              onclick: () => savePicture(this) }, "PNG"),
            html("button", { class: "plain",
              onclick: () => saveTable(this) }, "CSV"))),
        this.marks, this.map.element));
    this.charts = html("div", { class: "charts" }, this.stack,
      ...(this.full ? [this.times.element, this.detail.element] : []));
    this.aside = html("section", { class: "findings",
      "aria-label": `Findings in run ${this.run}` });
    this.element = html("section", { class: "panel",
      "aria-label": `Run ${this.run}` },
      this.head,
      html("div", { class: "columns" }, this.charts,
        ...(this.full ? [this.aside] : [])));
    this.brush = new Brush(
      this.stack, () => this.time, (zoom) => this.actions.onZoom(zoom));
    for (const { chart } of this.lines) this.follow(chart);
  }

  /** Let the pointer over a chart show that step in all of them. */
  follow(chart) {
    chart.element.addEventListener("pointermove", (event) => {
      if (!this.time) return;
      const box = chart.element.getBoundingClientRect();
      const step = this.time.step(event.clientX - box.left);
      const lines = chart.point(step)
        .map((line) => [line.name, number(line.value)]);
      this.point(step);
      this.tooltip.show(
        `step ${integer(step)}`, lines, event.clientX, event.clientY);
    });
    chart.element.addEventListener("pointerleave", () => {
      this.tooltip.hide();
      this.point(null);
    });
  }

  zoomAround(factor, step) {
    if (factor === null) return this.actions.onZoom(null);
    const { first, end } = this.time;
    const room = Math.max(2, Math.round((end - first) * factor));
    const { first_step: low, last_step: high } = this.overview;
    const from = Math.max(low, Math.round(
      step - (step - first) / (end - first) * room));
    const to = Math.min(high, from + room - 1);
    this.actions.onZoom(from <= low && to >= high ? null : [from, to]);
  }

  /** Fetch the run anew, as `view` wants it. */
  async load(view) {
    const points = Math.min(
      1600, Math.max(300, Math.round(this.charts.clientWidth || 800)));
    // Of two answers on their way, the one asked for last counts.
    const turn = this.turn = (this.turn ?? 0) + 1;
    const overview = await getOverview(this.run, points, view.zoom);
    let shown = overview.metrics.includes(view.metric)
      ? view.metric : overview.metrics[0] ?? "grad_norm";
    if (view.rows.endsWith("variables") && shown === "grad_norm" &&
      overview.metrics.includes("variable_norm")) shown = "variable_norm";
    const matrix = overview.metrics.length ? await getMatrix(
      this.run, shown, points, view.zoom, view.cells) : null;
    if (turn !== this.turn) return;
    Object.assign(this, { overview, matrix, view, metric: shown });
    if (matrix && !view.zoom) this.range = [shown, matrix.low, matrix.high];
    this.findings = overview.findings ?? [];
    this.events = this.findings.map((finding) =>
      [finding.first_step, finding.severity]);
    this.setCharts();
    this.setWords();
    this.setRows();
    this.actions.onRange();
  }

  /** Range of the colours: that of the whole run, however far one zooms. */
  get colors() {
    const [metric, low, high] = this.range ?? [];
    return metric === this.metric ? [low, high]
      : [this.matrix?.low, this.matrix?.high];
  }

  setCharts() {
    for (const { lines, chart, keys } of this.lines) {
      const shown = lines(this.overview);
      chart.set(shown.lines, shown.rug ?? null, this.events);
      keys.replaceChildren(
        ...shown.lines.map((line) => key(line.name, line.color)),
        ...(shown.notes ?? []).map(([text, color]) => key(text, color, "mark")));
    }
  }

  /** Choose the rows of the map and say which are left out. */
  setRows() {
    const { matrix, overview, view } = this;
    if (!matrix) return;
    const culprits = new Set(
      this.findings.flatMap((finding) => finding.layers));
    // All of a hundred culprits among normalizations would make stripes again.
    this.indices = pick(
      matrix.rows, overview, view, this.findings.flatMap(namedLayers));
    this.shown = withRows(matrix, this.indices);
    const owner = (row) => row.slice(0, row.lastIndexOf("/"));
    this.map.set(this.shown, this.shown.rows.filter((row) =>
      culprits.has(row) || culprits.has(owner(row))), overview.epochs);
    const hidden = matrix.rows.length - this.indices.length;
    const note = hidden ? [
      `${many(hidden, "row")} of ${integer(matrix.rows.length)} not shown` +
        (view.filter ? "" : view.rows === "kernels"
          ? ": normalization, queries and keys" : ""),
      html("button", { class: "plain",
        onclick: () => this.actions.onAllRows() }, "show all")] : [];
    this.mapNote.replaceChildren(...note);
    const { title } = METRICS[this.metric];
    const what = this.metric === "variable_norm" ? "variables" : "layers";
    const rows = matrix.rows.length ? `, ${what} from input to output` : "";
    this.mapTitle.textContent =
      this.metric === view.metric || this.metric === "variable_norm"
        ? `${title}${rows}`
        : `${title} (${METRICS[view.metric].title.toLowerCase()} was not ` +
          "recorded)";
  }

  setWords() {
    const { overview } = this;
    const { meta } = overview;
    const about = [meta.model, meta.optimizer, meta.backend]
      .filter((text) => typeof text === "string" && text);
    about.push(many(overview.layers.length, "layer"),
      `step ${integer(overview.last_step)}`);
    const name = this.run === "." ? "this run" : this.run;
    this.head.replaceChildren(
      html("h2", {}, this.color ? key(name, this.color) : name,
        html("span", { class: "dim" }, about.join(" · "))),
      ...[verdictLine(overview), leftOutLine(overview)].filter(Boolean));
    const open = (finding, layer = finding.layers[0]) => this.actions.onCell({
      layer: layer ?? overview.layers[0], step: finding.first_step,
    }, this);
    // An open remedy stays open when new data come.
    const kept = [...this.aside.querySelectorAll("details")].map((d) => d.open);
    this.aside.replaceChildren(html("h3", { class: "aside-title" }, "Findings"),
      ...findingsList(overview, open));
    this.aside.querySelectorAll("details").forEach((details, i) => {
      details.open = kept[i] ?? false;
    });
    this.open = open;
  }

  /** Pixels that the names want of the width there is. */
  wantedLeft() {
    const width = this.charts.clientWidth;
    return this.map.left(Math.max(92, Math.round(0.3 * width)));
  }

  /**
   * Draw all on the width there is, with `scale` for the heat map; `span` are
   * the first step and the end that several runs share.
   */
  draw(scale = this.scale, span = this.span) {
    Object.assign(this, { scale, span });
    const width = this.charts.clientWidth;
    if (!width || !this.overview || !scale) return;
    const { first_step: first, last_step: last } = this.overview;
    const { zoom, smoothing } = this.view;
    const [from, end] = zoom ? [zoom[0], zoom[1] + 1]
      : span ?? [first, last + 1];
    this.time = new TimeScale(from, end, this.wantedLeft(), width - RIGHT);
    for (const { chart } of this.lines) {
      chart.smoothing = smoothing;
      if (this.alone) chart.draw(this.time, width);
    }
    this.marks.replaceChildren(markers(this.findings, this.time, this.open));
    if (this.matrix) {
      const table = METRICS[this.metric].reversed ? REVERSED : TABLE;
      this.map.draw(this.time, width, scale, table);
    }
    this.times.draw(this.time.left, width);
    this.detail.draw();
  }

  rowOf({ layer }) {
    if (!this.shown) return -1;
    const at = this.shown.rows.indexOf(layer);
    return at >= 0 ? at
      : this.shown.rows.findIndex((row) => row.startsWith(`${layer}/`));
  }

  /** Show a cell, {layer: path, step}, if this run has it. */
  async select(cell) {
    const layer = cell ? this.rowOf(cell) : -1;
    if (this.full && this.overview) {
      await this.times.show(this, cell?.step ?? this.overview.last_step);
    }
    if (layer < 0) {
      this.map.select(null);
      this.detail.element.hidden = true;
      return;
    }
    const step = Math.min(cell.step, this.overview.last_step);
    this.map.select(this.map.cell(layer, step));
    if (this.full) await this.detail.show(this, { layer, step });
  }

  /** The cell that is worth a look: the worst culprit where it began. */
  suggestion() {
    const [worst] = this.findings;
    const { layers, last_step: step } = this.overview;
    if (worst) {
      return { layer: worst.layers[0] ?? layers[0], step: worst.first_step };
    }
    return layers.length
      ? { layer: this.shown?.rows[0] ?? layers[0], step } : null;
  }

  hoverCell(cell) {
    if (!cell) {
      this.tooltip.hide();
      this.point(null);
      return;
    }
    const { starts, end, cells } = this.shown;
    const from = starts[Math.max(0, cell.column)];
    const to = (starts[cell.column + 1] ?? end) - 1;
    const value = cell.column < 0 ? null
      : this.shown.at(cell.column, cell.layer);
    const layer = this.shown.rows[cell.layer];
    const kind = this.overview.classes[this.overview.layers.indexOf(layer)];
    // A ratio stands until the next measurement, a norm is one of several.
    const several = METRICS[this.metric].each_step && to > from;
    const measured = cell.column < 0 ? "not recorded" : several
      ? `${cells === "max" ? "maximum" : "mean"} of steps ${integer(from)} ` +
        `to ${integer(to)}`
      : `step ${integer(from)}`;
    const text = value === 0 && METRICS[this.metric].log
      ? "exactly 0" : metricValue(this.metric, value);
    const box = this.map.canvas.getBoundingClientRect();
    this.tooltip.show(layer, [
      [METRICS[this.metric].title, text],
      ["measured", measured],
      ...(kind ? [["class", kind]] : []),
    ], box.left + this.time.x(cell.step),
    box.top + (cell.layer + 0.5) * this.map.row);
    this.tooltip.speak(`${layer}, step ${from}: ${text}`);
    this.point(cell.step);
  }

  /** Show a step in the charts above the heat map. */
  point(step) {
    for (const { chart } of this.lines) chart.point(step);
  }

  destroy() {
    this.observer.disconnect();
    this.element.remove();
  }
}
