// One layer over the steps, and one step over the depth.

import { getLayer, getProfile } from "./api.js";
import { html } from "./dom.js";
import { integer, METRICS, metricValue, shorten } from "./format.js";
import { LineChart } from "./linechart.js";
import { DepthScale, TimeScale } from "./scale.js";

const HEIGHT = 180;
const LEFT = 56;
const RIGHT = 14;

function figure(chart, title) {
  return html("figure", {},
    html("figcaption", {}, title), chart.element);
}

/** The two charts below the heat map of a run. */
export class Detail {
  constructor(tooltip) {
    this.tooltip = tooltip;
    this.series = new LineChart({
      label: "The selected layer over the steps", height: HEIGHT, axis: true,
    });
    this.depth = new LineChart({
      label: "The selected step over the depth", height: HEIGHT, axis: true,
    });
    this.seriesTitle = html("span", { class: "title" });
    this.depthTitle = html("span", { class: "title" });
    this.depthKey = html("span", { class: "keys" });
    this.element = html("div", { class: "detail", hidden: true },
      figure(this.series, this.seriesTitle),
      html("figure", {},
        html("figcaption", {}, this.depthTitle, this.depthKey),
        this.depth.element));
    this.listen();
  }

  listen() {
    this.follow(this.series, (x) => this.time.step(x), (step) => [
      `step ${integer(step)}`,
      this.series.point(step).map((line) =>
        [line.name, metricValue(this.metric, line.value)]),
    ]);
    this.follow(this.depth, (x) => this.layers.index(x), (index) => [
      this.layers.names[index],
      this.depth.point(index).map((line) =>
        [line.name, metricValue(this.metric, line.value)]),
    ]);
  }

  follow(chart, placeOf, describe) {
    chart.element.addEventListener("pointermove", (event) => {
      const box = chart.element.getBoundingClientRect();
      const [title, lines] = describe(placeOf(event.clientX - box.left));
      this.tooltip.show(title, lines, event.clientX, event.clientY);
    });
    chart.element.addEventListener("pointerleave", () => {
      this.tooltip.hide();
      this.rest();
    });
  }

  /** Fetch and draw what is selected: {layer, step}. */
  async show({ run, overview, shown, indices, view, span }, cell) {
    const { metric, rows } = shown;
    const { zoom } = view;
    const turn = this.turn = (this.turn ?? 0) + 1;
    const [layer, now, first] = await Promise.all([
      getLayer(run, rows[cell.layer], 500, zoom),
      getProfile(run, cell.step),
      getProfile(run, zoom ? zoom[0] : overview.first_step),
    ]);
    if (turn !== this.turn) return;
    this.span = zoom ? [zoom[0], zoom[1] + 1]
      : span ?? [overview.first_step, overview.last_step + 1];
    this.series.smoothing = view.smoothing;
    Object.assign(this, { overview, metric, rows, cell });
    this.element.hidden = false;
    const name = METRICS[metric].title;
    const path = rows[cell.layer];
    const found = layer[metric];
    this.seriesTitle.textContent = `${name} of ${shorten(path, 64)}`;
    this.series.log = METRICS[metric].log ? true : "auto";
    this.depth.log = this.series.log;
    this.series.range = this.depth.range = METRICS[metric].range ?? null;
    this.series.set(found ? [{ name: "mean", color: "series-1", ...found,
      values: found.mean }] : []);
    const at = now[metric];
    const start = first[metric];
    const places = rows.map((_, i) => i);
    const ofRows = (values) => indices.map((i) => values[i]);
    const lines = [];
    if (start && at && start.step !== at.step) {
      lines.push({ name: `at step ${integer(start.step)}`, color: "dim",
        dash: "4 3", steps: places, values: ofRows(start.values) });
    }
    if (at) {
      lines.push({ name: `at step ${integer(at.step)}`, color: "series-1",
        steps: places, values: ofRows(at.values),
        dots: places.length <= 60 });
    }
    this.depth.set(lines);
    this.depthTitle.textContent =
      `${name} over depth, input to output`;
    this.depthKey.replaceChildren(...lines.map(({ name: text, color }) =>
      html("span", { class: "key" },
        html("span", { class: "swatch",
          style: { color: `var(--${color})` } }), text)));
    this.draw();
  }

  draw() {
    if (this.element.hidden || !this.overview) return;
    const width = this.series.element.parentElement.clientWidth;
    if (!width) return;
    this.time = new TimeScale(...this.span, LEFT, width - RIGHT);
    this.layers = new DepthScale(this.rows, LEFT, width - RIGHT);
    this.series.draw(this.time, width);
    this.depth.draw(this.layers, width);
    this.rest();
  }

  /** Let it be seen after a click that opened it. */
  reveal() {
    if (this.element.hidden) return;
    this.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /** Mark what is selected. */
  rest() {
    this.series.point(this.cell.step);
    this.depth.point(this.cell.layer);
  }
}
