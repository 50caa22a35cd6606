// How the picture is drawn: cells, rows, smoothing and the steps shown.

import { html } from "./dom.js";
import { choices } from "./rows.js";
import { fill } from "./toolbar.js";

const PAUSE = 250;

function labelled(text, element) {
  return html("label", {}, html("span", {}, text), element);
}

export class Options {
  /** `onChange(what)` gets the settings that have changed. */
  constructor(view, onChange) {
    this.view = view;
    this.cells = html("select", {
      onchange: () => onChange({ cells: this.cells.value }) },
    html("option", { value: "max" }, "maximum"),
    html("option", { value: "mean" }, "mean"));
    this.rows = html("select", {
      onchange: () => onChange({ rows: this.rows.value }) });
    let timer = null;
    this.filter = html("input", { type: "search", size: 14,
      placeholder: "name or class",
      oninput: () => {
        clearTimeout(timer);
        timer = setTimeout(
          () => onChange({ filter: this.filter.value }), PAUSE);
      } });
    this.smoothing = html("input", { type: "range", min: 0, max: 0.99,
      step: 0.01, value: 0,
      oninput: () => onChange({ smoothing: Number(this.smoothing.value) }) });
    const step = () => html("input", { type: "number", min: 0, class: "step",
      onchange: () => {
        const [a, b] = [this.first.value, this.last.value];
        if (a !== "" && b !== "" && Number(b) > Number(a) && Number(a) >= 0) {
          onChange({ zoom: [Math.floor(a), Math.floor(b)] });
        }
      } });
    [this.first, this.last] = [step(), step()];
    this.first.ariaLabel = "First step shown";
    this.last.ariaLabel = "Last step shown";
    this.whole = html("button", { class: "plain",
      onclick: () => onChange({ zoom: null }) }, "Whole run");
    this.shared = html("input", { type: "checkbox", checked: true,
      onchange: () => onChange({ shared: this.shared.checked }) });
    this.sharedLabel = html("label", { hidden: true }, this.shared,
      "Same steps for all runs");
    this.element = html("div", { class: "options", role: "group",
      "aria-label": "How it is drawn" },
    labelled("Cells", this.cells), labelled("Rows", this.rows),
    labelled("Filter", this.filter), labelled("Smoothing", this.smoothing),
    html("span", { class: "steps" }, html("span", { class: "dim" }, "Steps"),
      this.first, html("span", { class: "dim" }, "to"), this.last, this.whole),
    this.sharedLabel);
  }

  /** Show the settings as they are now. */
  show(view, panels) {
    this.cells.value = view.cells;
    if (this.filter.value.trim() !== view.filter.trim()) {
      this.filter.value = view.filter;
    }
    const known = panels.filter((panel) => panel.overview);
    if (known.length) {
      const options = new Map(
        known.flatMap(({ overview }) => choices(overview)));
      if (!options.has(view.rows)) options.set(view.rows, view.rows);
      fill(this.rows, [...options], view.rows);
      const firsts = known.map(({ overview }) => overview.first_step);
      const lasts = known.map(({ overview }) => overview.last_step);
      const [a, b] = view.zoom ?? [Math.min(...firsts), Math.max(...lasts)];
      if (document.activeElement !== this.first) this.first.value = a;
      if (document.activeElement !== this.last) this.last.value = b;
    }
    this.whole.disabled = !view.zoom;
    this.sharedLabel.hidden = panels.length < 2;
  }
}
