// The tab: what is selected, which runs are shown, and when they are fetched.

import { getRuns, getSummaries } from "./api.js";
import { Comparison, styleOf } from "./compare.js";
import { html } from "./dom.js";
import { emptyPage } from "./empty.js";
import { METRICS } from "./format.js";
import { legend } from "./legend.js";
import { makeLink, readLink } from "./link.js";
import { Live } from "./live.js";
import { Options } from "./options.js";
import { RunPanel } from "./panel.js";
import { MOST_COMPARED, RunsTable } from "./runs.js";
import { mapScale, ValueScale } from "./scale.js";
import { followTheme } from "./theme.js";
import { Toolbar } from "./toolbar.js";
import { Tooltip } from "./tooltip.js";

class Tab {
  constructor(root) {
    this.view = { metric: "grad_norm", cells: "max", rows: "kernels",
      filter: "", smoothing: 0, zoom: null, shared: true };
    this.cell = null;
    this.chosen = false;
    this.versions = new Map();
    this.panels = [];
    this.loaded = new Set();
    this.comparison = null;
    this.tooltip = new Tooltip();
    this.toolbar = new Toolbar({
      onRuns: (runs) => this.guard(() => this.show(runs)),
      onMetric: (metric) => this.guard(() => this.change({ metric })),
      onLive: (on) => { this.live.on = on; },
      onTable: (open) => this.guard(() => this.showTable(open)),
      link: () => this.link(),
    });
    this.options = new Options(
      this.view, (what) => this.guard(() => this.change(what)));
    this.table = new RunsTable({
      onOpen: (run) => this.guard(() => this.show([run])),
      onCompare: (runs) => this.guard(() => this.show(runs)),
    });
    this.table.element.hidden = true;
    this.legend = html("div", { class: "legend-row" });
    this.error = html("p", { class: "error", role: "alert", hidden: true });
    this.stage = html("div", { class: "stage" });
    this.main = html("main", {}, this.error, this.table.element,
      this.options.element, this.legend, this.stage,
      this.tooltip.element, this.tooltip.spoken);
    this.live = new Live(() => this.guard(() => this.look()));
    root.append(this.toolbar.element, this.main);
  }

  /** Do something and say so if it fails. */
  async guard(action) {
    try {
      await action();
      this.error.hidden = true;
    } catch (error) {
      this.error.textContent =
        `GradGuard: ${error.message}. The tab tries again.`;
      this.error.hidden = false;
    }
  }

  async start() {
    this.asked = readLink();
    await this.guard(() => this.look());
    this.live.start();
  }

  /** Ask which runs there are, and fetch those shown that have grown. */
  async look() {
    const { runs, begun, all } = await getRuns();
    const before = this.versions;
    this.versions = new Map(runs.map(({ run, version }) => [run, version]));
    this.begun = begun;
    this.toolbar.setRuns(runs.map(({ run }) => run));
    if (!runs.length) {
      this.clear();
      this.stage.replaceChildren(emptyPage(all, begun));
      return;
    }
    const kept = this.panels.map(({ run }) => run)
      .filter((run) => this.versions.has(run));
    if (!kept.length) {
      const latest = runs.reduce((a, b) => (b.version > a.version ? b : a));
      await this.show(this.fromLink() ?? [latest.run]);
    } else if (kept.length < this.panels.length) {
      await this.show(kept);
    } else {
      const grown = this.panels.filter(({ run }) =>
        before.get(run) !== this.versions.get(run) || !this.loaded.has(run));
      if (grown.length) await this.fetch(grown);
      this.setTime();
    }
    await this.summarise();
  }

  /** Verdicts on all runs, once the picture stands. */
  async summarise() {
    const versions = JSON.stringify([[...this.versions], this.begun]);
    if (versions === this.summarised) return;
    const { runs } = await getSummaries();
    this.summarised = versions;
    this.toolbar.setTones(new Map(runs.map(({ run, tone }) => [run, tone])));
    this.table.set(runs, this.begun);
  }

  /** Runs that the address asks for; what else it asks for is taken over. */
  fromLink() {
    const { run, others = [], metric, layer, step, first, last } =
      this.asked ?? {};
    this.asked = null;
    if (!this.versions.has(run)) return null;
    if (metric in METRICS) this.view.metric = metric;
    if (Number(last) > Number(first)) {
      this.view.zoom = [Math.floor(first), Math.floor(last)];
    }
    if (layer !== undefined) {
      this.chosen = true;
      this.cell = { layer, step: Math.floor(Number(step)) || 0 };
    }
    return [run, ...others.filter((name) =>
      this.versions.has(name) && name !== run)].slice(0, MOST_COMPARED);
  }

  link() {
    const [first, ...others] = this.panels.map(({ run }) => run);
    const [from, to] = this.view.zoom ?? [];
    return makeLink({ run: first, others, metric: this.view.metric,
      layer: this.cell?.layer, step: this.cell?.step, first: from, last: to });
  }

  setTime() {
    this.toolbar.setTime(Math.max(
      ...this.panels.map(({ run }) => this.versions.get(run) ?? 0)));
  }

  clear() {
    for (const panel of this.panels) panel.destroy();
    this.panels = [];
    this.tooltip.hide();
    this.comparison = null;
    this.loaded = new Set();
    this.stage.replaceChildren();
    this.legend.replaceChildren();
    this.toolbar.disable(true);
    this.options.element.hidden = true;
  }

  async showTable(open) {
    this.table.element.hidden = !open;
    this.toolbar.setTable(open);
    if (!open) return;
    await this.summarise();
    this.toolbar.refill();
    this.table.element.scrollIntoView({ block: "nearest" });
  }

  /** Show one run, or several on shared axes. */
  async show(runs) {
    this.clear();
    await this.showTable(false);
    this.toolbar.disable(false);
    this.options.element.hidden = false;
    this.toolbar.select(runs);
    const alone = runs.length === 1;
    this.stage.className =
      `stage${runs.length === 2 ? " two" : alone ? "" : " many"}`;
    const actions = {
      onCell: (cell, panel) => this.guard(() => this.setCell(cell, panel)),
      onRange: () => this.rescale(),
      onZoom: (zoom) => this.guard(() => this.change({ zoom })),
      onFilter: (filter) => this.guard(() => this.change({ filter })),
      onAllRows: () => this.guard(
        () => this.change({ rows: "all", filter: "" })),
    };
    this.panels = runs.map((run, n) => new RunPanel({
      run, tooltip: this.tooltip, alone, full: runs.length < 3, actions,
      color: alone ? null : styleOf(n).color,
    }));
    if (!alone) {
      this.comparison = new Comparison(this.tooltip);
      this.stage.append(this.comparison.element);
    }
    this.stage.append(...this.panels.map((panel) => panel.element));
    if (!this.chosen) this.cell = null;
    await this.fetch(this.panels);
    this.setTime();
  }

  async fetch(panels) {
    this.fetching = (this.fetching ?? 0) + 1;
    this.main.ariaBusy = "true";
    try {
      await this.fetchAll(panels);
    } finally {
      this.fetching--;
      this.main.ariaBusy = String(this.fetching > 0);
    }
  }

  async load(panels) {
    await Promise.all(panels.map(async (panel) => {
      this.loaded.delete(panel.run);
      await panel.load({ ...this.view });
      this.loaded.add(panel.run);
    }));
  }

  /** Whether no run that is shown has any of the steps that are asked for. */
  zoomedOut() {
    const { zoom } = this.view;
    const known = this.panels.filter(({ overview }) => overview);
    return zoom !== null && known.length > 0 && known.every(({ overview }) =>
      overview.last_step < zoom[0] || overview.first_step > zoom[1]);
  }

  async fetchAll(panels) {
    await this.load(panels);
    if (this.zoomedOut()) {
      // Those of another run, which was longer.
      this.view.zoom = null;
      await this.load(this.panels);
    }
    const [first] = this.panels;
    this.options.show(this.view, this.panels);
    this.toolbar.setMetrics(new Set(
      this.panels.flatMap((panel) => panel.overview?.metrics ?? [])),
    this.view.metric);
    if (!this.chosen && first?.overview) this.cell = first.suggestion();
    await Promise.all(this.panels.map((panel) => panel.select(this.cell)));
  }

  /** Take over settings; what needs other data is fetched. */
  async change(what) {
    Object.assign(this.view, what);
    this.options.show(this.view, this.panels);
    for (const panel of this.panels) panel.view = { ...this.view };
    const [name] = Object.keys(what);
    if (["smoothing", "shared", "filter"].includes(name)) {
      for (const panel of this.panels) panel.setRows();
      this.rescale();
      await Promise.all(this.panels.map((panel) => panel.select(this.cell)));
    } else {
      await this.fetch(this.panels);
    }
  }

  async setCell(cell, from) {
    this.chosen = true;
    this.cell = cell;
    // A finding may be about a row that a filter hides.
    if (this.view.filter && from && from.rowOf(cell) < 0) {
      await this.change({ filter: "" });
    }
    await Promise.all(this.panels.map((panel) => panel.select(cell)));
    if (this.panels.length < 3) from?.detail.reveal();
  }

  /** First step and end that all runs have together, null where each has its
      own. */
  span() {
    if (this.panels.length < 2 || !this.view.shared) return null;
    const known = this.panels.filter(({ overview }) => overview);
    return [
      Math.min(...known.map(({ overview }) => overview.first_step)),
      Math.max(...known.map(({ overview }) => overview.last_step)) + 1,
    ];
  }

  /** Give all heat maps one scale, so that runs can be compared. */
  rescale() {
    const known = this.panels.filter((panel) => panel.matrix);
    if (!known.length) return;
    const ends = known.map(({ colors }) => colors);
    const { range } = METRICS[this.view.metric];
    const scale = range ? new ValueScale(...range, false)
      : mapScale(ends.map(([low]) => low), ends.map(([, high]) => high));
    this.legend.replaceChildren(legend(this.view.metric, scale));
    const span = this.span();
    for (const panel of this.panels) panel.draw(scale, span);
    if (!this.comparison || known.length < this.panels.length) return;
    this.comparison.set(this.panels, this.view);
    const { zoom } = this.view;
    this.comparison.draw(zoom ? [zoom[0], zoom[1] + 1] : this.wholeSpan());
  }

  wholeSpan() {
    const firsts = this.panels.map(({ overview }) => overview.first_step);
    const lasts = this.panels.map(({ overview }) => overview.last_step);
    return [Math.min(...firsts), Math.max(...lasts) + 1];
  }

  redraw() {
    if (this.panels.some((panel) => panel.matrix)) this.rescale();
  }
}

function addStyle() {
  return new Promise((resolve) => {
    const link = html("link", {
      rel: "stylesheet", href: new URL("./style.css", import.meta.url).href,
      onload: resolve, onerror: resolve,
    });
    document.head.append(link);
  });
}

/** TensorBoard calls this once, in the tab's own frame. */
export async function render() {
  await addStyle();
  document.documentElement.lang = "en";
  document.title = "GradGuard";
  const root = html("div", { class: "gradguard" });
  document.body.append(root);
  const tab = new Tab(root);
  followTheme(() => tab.redraw());
  let timer = null;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => tab.redraw(), 100);
  });
  await tab.start();
}
