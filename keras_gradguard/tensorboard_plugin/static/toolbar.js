// Which runs, which metric, and whether new data are looked for.

import { copyButton } from "./clipboard.js";
import { html } from "./dom.js";
import { SIGNS } from "./findings.js";
import { METRICS } from "./format.js";

const NONE = "";
const MANY = "\n";
// Offered also where a run lacks them; others only where it has them.
const ALWAYS = ["grad_norm", "update_ratio", "weight_norm"];

function select(label, onchange) {
  const element = html("select", { onchange });
  return [element, html("label", {}, html("span", {}, label), element)];
}

/** Put options into a select, keeping what is selected. */
export function fill(element, options, value) {
  const same = element.options.length === options.length &&
    options.every(([key], i) => element.options[i].value === key);
  if (same) {
    // In place: an open list would close.
    options.forEach(([, text], i) => {
      if (element.options[i].text !== text) element.options[i].text = text;
    });
  } else {
    element.replaceChildren(...options.map(([key, text]) =>
      html("option", { value: key }, text)));
  }
  element.value = value;
}

export class Toolbar {
  constructor({ onRuns, onMetric, onLive, onTable, link }) {
    this.runs = [];
    this.shown = [];
    this.tones = new Map();
    const changed = () => onRuns(
      [this.first.value, this.second.value]
        .filter((run, i, all) => run !== NONE && all.indexOf(run) === i));
    const [first, firstLabel] = select("Run", changed);
    const [second, secondLabel] = select("Compare with", () => {
      if (this.second.value === MANY) onTable(true);
      else changed();
    });
    Object.assign(this, { first, second });
    this.table = html("button", { class: "toggle", "aria-pressed": "false",
      onclick: () => onTable(this.table.ariaPressed !== "true") }, "All runs");
    this.metrics = Object.entries(METRICS)
      .filter(([name]) => name !== "variable_norm")
      .map(([name, { title }]) => {
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
    this.controls = html("div", { class: "controls" },
      firstLabel, secondLabel, this.table,
      html("div", { class: "metrics", role: "radiogroup",
        "aria-label": "What the heat map shows" },
        ...this.metrics.map(({ label }) => label)));
    this.copy = copyButton("Copy link", link);
    this.element = html("header", { class: "toolbar" },
      html("h1", { class: "unseen" }, "GradGuard"), this.controls,
      html("div", { class: "live" }, this.copy,
        html("label", {}, live, "Live"), this.time));
  }

  setRuns(runs) {
    this.runs = runs;
    this.refill();
  }

  /** Take the tone of the verdict on each run. */
  setTones(tones) {
    this.tones = tones;
    this.refill();
  }

  select(shown) {
    this.shown = shown;
    this.refill();
  }

  refill() {
    const name = (run) => {
      const sign = SIGNS[this.tones.get(run)];
      return [run, (sign ? `${sign} ` : "") + (run === "." ? "this run" : run)];
    };
    fill(this.first, this.runs.map(name), this.shown[0] ?? this.runs[0]);
    const others = this.runs.filter((run) => run !== this.shown[0]);
    const several = this.shown.length > 2
      ? `${this.shown.length - 1} other runs` : "several …";
    fill(this.second, [[NONE, "nothing"], ...others.map(name),
      ...(others.length > 1 ? [[MANY, several]] : [])],
    this.shown.length > 2 ? MANY : this.shown[1] ?? NONE);
    this.second.disabled = this.runs.length < 2;
  }

  /** Offer the metrics that were recorded. */
  setMetrics(known, chosen) {
    for (const { name, input, label } of this.metrics) {
      label.hidden = !ALWAYS.includes(name) && !known.has(name);
      input.disabled = !known.has(name);
      input.checked = name === chosen;
    }
  }

  setTime(seconds) {
    const time = new Date(1000 * seconds);
    this.time.textContent =
      `last data ${time.toLocaleTimeString("en-GB")}`;
  }

  setTable(open) {
    this.table.ariaPressed = String(open);
  }

  disable(off) {
    this.controls.hidden = this.copy.hidden = off;
    if (off) this.time.textContent = "";
  }
}
