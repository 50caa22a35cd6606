// A table of all runs, to find one and to choose what to compare.

import { toNumber } from "./api.js";
import { html } from "./dom.js";
import { SIGNS } from "./findings.js";
import { integer, many, number, shorten } from "./format.js";

export const MOST_COMPARED = 20;

const TONES = { critical: "critical", warning: "warning", good: "healthy",
  unknown: "no problem found", pending: "nothing found so far" };

function verdictOf({ tone, findings }) {
  const causes = findings.filter(([, , , cause]) => !cause);
  const rules = causes.slice(0, 2).map(([rule]) => rule).join(", ");
  return rules ? `${rules}${causes.length > 2 ? ", …" : ""}` : TONES[tone];
}

function lossOf({ loss }) {
  return loss ? loss.map((value) => number(toNumber(value))).join(" → ") : "";
}

function dateOf({ version }) {
  return new Date(1000 * version).toLocaleString("en-GB",
    { dateStyle: "short", timeStyle: "short" });
}

export class RunsTable {
  constructor({ onOpen, onCompare }) {
    Object.assign(this, { onOpen, onCompare });
    this.runs = [];
    this.chosen = new Set();
    this.search = html("input", { type: "search",
      oninput: () => this.fill() });
    this.compare = html("button", { disabled: true,
      onclick: () => onCompare([...this.chosen]) }, "Compare");
    this.body = html("tbody");
    this.note = html("p", { class: "dim", role: "status" });
    const columns = ["Compare", "Run", "Verdict", "Worst layer",
      "Loss, first → last", "Steps", "Last data"];
    this.element = html("section", { class: "runs", "aria-label": "All runs" },
      html("h2", {}, "All runs"),
      html("div", { class: "runs-tools" },
        html("label", {}, html("span", { class: "dim" }, "Search"),
          this.search), this.compare),
      this.note,
      html("div", { class: "scroll", tabindex: 0, role: "region",
        "aria-label": "Table of all runs" },
      html("table", {},
        html("thead", {}, html("tr", {}, ...columns.map((column) =>
          html("th", { scope: "col" }, column)))), this.body)));
  }

  /** Take what the server says of each run, the latest data first. */
  set(runs, begun) {
    this.runs = [...runs].sort((a, b) => b.version - a.version);
    this.begun = begun;
    this.fill();
  }

  fill() {
    const wanted = this.search.value.trim().toLowerCase();
    const shown = this.runs.filter((run) =>
      [run.run, run.model ?? "", run.layer ?? "", verdictOf(run)]
        .some((text) => text.toLowerCase().includes(wanted)));
    this.body.replaceChildren(...shown.map((run) => this.row(run)));
    const waiting = this.begun?.length
      ? ` Started and without records yet: ${this.begun.join(", ")}.` : "";
    this.note.textContent =
      `${integer(shown.length)} of ${many(this.runs.length, "run")}.${waiting}`;
    this.enable();
  }

  row(run) {
    const name = run.run === "." ? "this run" : run.run;
    const box = html("input", { type: "checkbox",
      checked: this.chosen.has(run.run), "aria-label": `Compare ${name}`,
      onchange: () => {
        if (box.checked) this.chosen.add(run.run);
        else this.chosen.delete(run.run);
        this.enable();
      } });
    return html("tr", {},
      html("td", {}, box),
      html("th", { scope: "row" }, html("button", { class: "link",
        onclick: () => this.onOpen(run.run) }, name)),
      html("td", { class: `verdict-cell ${run.tone}` },
        html("span", { class: "sign", "aria-hidden": "true" },
          SIGNS[run.tone]), verdictOf(run)),
      html("td", { title: run.layer ?? "" }, shorten(run.layer ?? "", 36)),
      html("td", { class: "number" }, lossOf(run)),
      html("td", { class: "number" }, integer(run.steps)),
      html("td", { class: "number" }, dateOf(run)));
  }

  enable() {
    const count = this.chosen.size;
    this.compare.disabled = count < 2 || count > MOST_COMPARED;
    this.compare.textContent = count > MOST_COMPARED
      ? `Compare: at most ${MOST_COMPARED} runs`
      : count > 1 ? `Compare ${count} runs` : "Compare: choose two or more";
  }
}
