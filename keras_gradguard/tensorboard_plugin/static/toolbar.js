// Which runs, which metric, and whether new data are looked for.

import { html } from "./dom.js";
import { METRICS } from "./format.js";

const NONE = "";

function select(label, onchange) {
  const element = html("select", { onchange });
  return [element, html("label", {}, html("span", {}, label), element)];
}

/** Put options into a select, keeping what is selected. */
function fill(element, options, value) {
  const same = element.options.length === options.length &&
    options.every(([key], i) => element.options[i].value === key);
  if (!same) {
    element.replaceChildren(...options.map(([key, text]) =>
      html("option", { value: key }, text)));
  }
  element.value = value;
}

export class Toolbar {
  constructor({ onRuns, onMetric, onLive }) {
    this.runs = [];
    this.shown = [];
    const changed = () => onRuns(
      [this.first.value, this.second.value]
        .filter((run, i, all) => run !== NONE && all.indexOf(run) === i));
    const [first, firstLabel] = select("Run", changed);
    const [second, secondLabel] = select("Compare with", changed);
    Object.assign(this, { first, second });
    this.metrics = Object.entries(METRICS).map(([name, { title }]) => {
      const input = html("input", {
        type: "radio", name: "metric", value: name,
        checked: name === "grad_norm", onchange: () => onMetric(name),
      });
      return { name, input, label: html("label", {}, input, title) };
    });
    const live = html("input", {
      type: "checkbox", checked: true,
      onchange: () => onLive(live.checked),
    });
    this.time = html("span", { class: "dim" });
    this.controls = html("fieldset", { class: "controls" },
      firstLabel, secondLabel,
      html("div", { class: "metrics", role: "radiogroup",
        "aria-label": "What the heat map shows" },
        ...this.metrics.map(({ label }) => label)));
    this.element = html("header", { class: "toolbar" }, this.controls,
      html("div", { class: "live" },
        html("label", {}, live, "Live"), this.time));
  }

  setRuns(runs) {
    this.runs = runs;
    this.refill();
  }

  select(shown) {
    this.shown = shown;
    this.refill();
  }

  refill() {
    const name = (run) => [run, run === "." ? "this run" : run];
    fill(this.first, this.runs.map(name), this.shown[0] ?? this.runs[0]);
    fill(this.second, [[NONE, "nothing"],
      ...this.runs.filter((run) => run !== this.shown[0]).map(name)],
    this.shown[1] ?? NONE);
    this.second.disabled = this.runs.length < 2;
  }

  /** Offer the metrics that were recorded. */
  setMetrics(known) {
    for (const { name, input, label } of this.metrics) {
      label.hidden = name === "dead_share" && !known.has(name);
      input.disabled = !known.has(name);
    }
  }

  setTime(seconds) {
    const time = new Date(1000 * seconds);
    this.time.textContent =
      `last data ${time.toLocaleTimeString("en-GB")}`;
  }

  disable(off) {
    this.controls.hidden = off;
    if (off) this.time.textContent = "";
  }
}
