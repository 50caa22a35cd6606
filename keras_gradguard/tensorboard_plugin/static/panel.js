// Everything about one run, on one time axis.

import { getMatrix, getOverview, toNumber } from "./api.js";
import { Detail } from "./detail.js";
import { html } from "./dom.js";
import { findingsList, leftOutLine, markers, ranked, verdictLine }
  from "./findings.js";
import { integer, many, METRICS, metricValue, number, percent }
  from "./format.js";
import { HeatMap } from "./heatmap.js";
import { LineChart } from "./linechart.js";
import { TimeScale } from "./scale.js";

const RIGHT = 14;

function key(line) {
  return html("span", {
    class: "key", style: { color: `var(--${line.color})` },
  }, line.name);
}

function epochLine(epochs, name, color) {
  const known = epochs.filter(([, , logs]) => name in logs);
  return {
    name: `${name} per epoch`, color, dots: known.length <= 30,
    steps: known.map(([, step]) => step),
    values: known.map(([, , logs]) => toNumber(logs[name])),
  };
}

export class RunPanel {
  constructor({ run, tooltip, onCell, onRange }) {
    Object.assign(this, { run, tooltip, onCell, onRange });
    this.loss = new LineChart({ label: "Loss over the steps", height: 92 });
    this.norm = new LineChart({
      label: "Global gradient norm over the steps", height: 104, log: true,
    });
    this.map = new HeatMap({
      label: `Layers by steps of run ${run}`,
      onHover: (cell) => this.hoverCell(cell),
      onSelect: (cell) => this.onCell(this.run, {
        layer: this.matrix.rows[cell.layer], step: cell.step,
      }),
    });
    this.detail = new Detail(tooltip);
    this.build();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.charts);
  }

  build() {
    this.head = html("div", { class: "panel-head" });
    this.lossKeys = html("span", { class: "keys" });
    this.normKeys = html("span", { class: "keys" });
    this.marks = html("div");
    this.mapTitle = html("span", { class: "title" });
    this.charts = html("div", { class: "charts" },
      html("figure", {},
        html("figcaption", {}, html("span", { class: "title" }, "Loss"),
          this.lossKeys),
        this.loss.element),
      html("figure", {},
        html("figcaption", { class: "two-lines" },
          html("span", { class: "title" }, "Global gradient norm"),
          this.normKeys),
        this.norm.element),
      html("figure", {},
        html("figcaption", {}, this.mapTitle), this.marks,
        this.map.element),
      this.detail.element);
    this.aside = html("aside", { class: "findings",
      "aria-label": `Findings in run ${this.run}` });
    this.element = html("section", { class: "panel",
      "aria-label": `Run ${this.run}` },
      this.head,
      html("div", { class: "columns" }, this.charts, this.aside));
    for (const chart of [this.loss, this.norm]) this.follow(chart);
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

  /** Fetch the run anew. */
  async load(metric) {
    const points = Math.min(
      1600, Math.max(300, Math.round(this.charts.clientWidth || 800)));
    // Of two answers on their way, the one asked for last counts.
    const turn = this.turn = (this.turn ?? 0) + 1;
    const overview = await getOverview(this.run, points);
    const shown = overview.metrics.includes(metric)
      ? metric : overview.metrics[0] ?? "grad_norm";
    const matrix = overview.metrics.length ? await getMatrix(
      this.run, shown, points) : null;
    if (turn !== this.turn) return;
    this.overview = overview;
    this.matrix = matrix;
    this.metric = shown;
    this.findings = ranked(overview.findings);
    this.events = this.findings.map((finding) =>
      [finding.first_step, finding.severity]);
    this.setLoss();
    this.setNorm();
    this.setWords(metric);
    if (matrix) {
      const culprits = this.findings.flatMap((finding) => finding.layers);
      this.map.set(matrix, matrix.rows, culprits);
    }
    this.onRange();
  }

  setLoss() {
    const { series, epochs, steps } = this.overview;
    const lines = [];
    if (series.batch_loss) {
      const { mean, low, high } = series.batch_loss;
      lines.push({ name: "loss", color: "series-1", steps, values: mean,
        low, high });
    } else {
      lines.push(epochLine(epochs, "loss", "series-1"));
    }
    if (epochs.some(([, , logs]) => "val_loss" in logs)) {
      lines.push(epochLine(epochs, "val_loss", "series-2"));
    }
    this.loss.set(lines, null, this.events);
    this.lossKeys.replaceChildren(...lines.map(key));
  }

  setNorm() {
    const { series, steps } = this.overview;
    const global = series.global_grad_norm;
    const lines = [];
    const rug = [];
    const keys = [];
    if (global) {
      lines.push({ name: "before clipping", color: "series-1", steps,
        values: global.mean, low: global.low, high: global.high });
    }
    if (series.clip_threshold) {
      lines.push({ name: "after clipping", color: "series-3", steps,
        values: series.clipped_grad_norm.mean });
      lines.push({ name: "clip threshold", color: "series-2", dash: "5 3",
        steps, values: series.clip_threshold.mean });
    } else if (lines.length) {
      lines[0].name = "all layers";
    }
    keys.push(...lines.map(key));
    const rows = [["clipped_fraction", "clipped", "series-2"],
      ["skipped_fraction", "skipped", "critical"]];
    for (const [name, word, color] of rows) {
      const values = series[name]?.mean;
      if (!values) continue;
      const share = values.reduce((a, b) => a + b, 0) / (values.length || 1);
      if (share > 0) {
        rug.push({ steps, values, color, row: rug.length });
        keys.push(html("span", { class: "key mark",
          style: { color: `var(--${color})` } },
          `${percent(share)} of the updates ${word}`));
      }
    }
    this.norm.set(lines, rug, this.events);
    this.normKeys.replaceChildren(...keys);
  }

  setWords(wanted) {
    const { overview } = this;
    const { meta } = overview;
    const about = [meta.model, meta.optimizer, meta.backend]
      .filter((text) => typeof text === "string" && text);
    about.push(many(overview.layers.length, "layer"),
      `step ${integer(overview.last_step)}`);
    this.head.replaceChildren(
      html("h2", {}, this.run === "." ? "this run" : this.run,
        html("span", { class: "dim" }, about.join(" · "))),
      ...[verdictLine(overview), leftOutLine(overview)].filter(Boolean));
    const { title } = METRICS[this.metric];
    const rows = this.matrix?.rows.length
      ? ", layers from input to output" : "";
    this.mapTitle.textContent = this.metric === wanted
      ? `${title}${rows}`
      : `${title} (${METRICS[wanted].title.toLowerCase()} was not recorded)`;
    const pick = (finding, layer = finding.layers[0]) => this.onCell(this.run, {
      layer: layer ?? overview.layers[0], step: finding.first_step,
    });
    const words = this.findings.length
      ? findingsList(this.findings, overview.layers, pick)
      : [html("p", { class: "dim" }, overview.findings === null
        ? "The rules look at the record again and again while it grows. " +
          "Nothing persisted so far."
        : "No rule found anything that persists.")];
    // An open remedy stays open when new data come.
    const open = [...this.aside.querySelectorAll("details")].map((d) => d.open);
    this.aside.replaceChildren(html("h2", {}, "Findings"), ...words);
    this.aside.querySelectorAll("details").forEach((details, i) => {
      details.open = open[i] ?? false;
    });
    this.pick = pick;
  }

  /** Draw all on the width there is, with `scale` for the heat map. */
  draw(scale = this.scale) {
    this.scale = scale;
    const width = this.charts.clientWidth;
    if (!width || !this.overview || !scale) return;
    const { first_step: first, last_step: last } = this.overview;
    const left = width < 560 ? 92 : 138;
    this.time = new TimeScale(first, last + 1, left, width - RIGHT);
    this.loss.draw(this.time, width);
    this.norm.draw(this.time, width);
    this.marks.replaceChildren(
      markers(this.findings, this.time, this.pick));
    if (this.matrix) this.map.draw(this.time, width, scale);
    this.detail.draw();
  }

  /** Show a cell, {layer: path, step}, if this run has it. */
  async select(cell) {
    const layer = cell && this.matrix
      ? this.matrix.rows.indexOf(cell.layer) : -1;
    if (layer < 0) {
      this.map.select(null);
      this.detail.element.hidden = true;
      return;
    }
    const step = Math.min(cell.step, this.overview.last_step);
    this.map.select(this.map.cell(layer, step));
    await this.detail.show(
      this.run, this.overview, this.matrix, { layer, step });
  }

  /** The cell that is worth a look: the worst culprit where it began. */
  suggestion() {
    const [worst] = this.findings;
    const { layers, last_step: step } = this.overview;
    if (worst) {
      return { layer: worst.layers[0] ?? layers[0], step: worst.first_step };
    }
    return layers.length ? { layer: layers[0], step } : null;
  }

  hoverCell(cell) {
    if (!cell) {
      this.tooltip.hide();
      this.point(null);
      return;
    }
    const { starts, end } = this.matrix;
    const from = starts[Math.max(0, cell.column)];
    const to = (starts[cell.column + 1] ?? end) - 1;
    const value = cell.column < 0 ? null
      : this.matrix.at(cell.column, cell.layer);
    const layer = this.matrix.rows[cell.layer];
    const kind = this.overview.classes[this.overview.layers.indexOf(layer)];
    // A ratio stands until the next measurement, a norm is a mean.
    const measured = this.metric === "grad_norm" && to > from
      ? `mean of steps ${integer(from)} to ${integer(to)}`
      : `step ${integer(from)}`;
    const text = metricValue(this.metric, value);
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
    this.loss.point(step);
    this.norm.point(step);
  }

  destroy() {
    this.observer.disconnect();
    this.element.remove();
  }
}
