// The tab: what is selected, which runs are shown, and when they are fetched.

import { getRuns } from "./api.js";
import { html } from "./dom.js";
import { emptyPage } from "./empty.js";
import { METRICS } from "./format.js";
import { legend } from "./legend.js";
import { Live } from "./live.js";
import { RunPanel } from "./panel.js";
import { ValueScale } from "./scale.js";
import { followTheme } from "./theme.js";
import { Toolbar } from "./toolbar.js";
import { Tooltip } from "./tooltip.js";

class Tab {
  constructor(root) {
    this.metric = "grad_norm";
    this.cell = null;
    this.chosen = false;
    this.versions = new Map();
    this.panels = [];
    this.tooltip = new Tooltip();
    this.toolbar = new Toolbar({
      onRuns: (runs) => this.guard(() => this.show(runs)),
      onMetric: (metric) => this.guard(() => this.setMetric(metric)),
      onLive: (on) => { this.live.on = on; },
    });
    this.legend = html("div", { class: "legend-row" });
    this.error = html("p", { class: "error", role: "alert", hidden: true });
    this.stage = html("main", { class: "stage" });
    this.live = new Live(() => this.guard(() => this.look()));
    root.append(this.toolbar.element, this.error, this.legend, this.stage,
      this.tooltip.element, this.tooltip.spoken);
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
    await this.guard(() => this.look());
    this.live.start();
  }

  /** Ask which runs there are, and fetch those shown that have grown. */
  async look() {
    const { runs, all } = await getRuns();
    const before = this.versions;
    this.versions = new Map(runs.map(({ run, version }) => [run, version]));
    this.toolbar.setRuns(runs.map(({ run }) => run));
    if (!runs.length) {
      this.clear();
      this.stage.replaceChildren(emptyPage(all));
      return;
    }
    const kept = this.panels.map(({ run }) => run)
      .filter((run) => this.versions.has(run));
    if (!kept.length) {
      const latest = runs.reduce((a, b) => (b.version > a.version ? b : a));
      await this.show([latest.run]);
      return;
    }
    if (kept.length < this.panels.length) {
      await this.show(kept);
      return;
    }
    const grown = this.panels.filter(({ run }) =>
      before.get(run) !== this.versions.get(run) || !this.loaded.has(run));
    if (grown.length) await this.fetch(grown);
    this.toolbar.setTime(Math.max(
      ...this.panels.map(({ run }) => this.versions.get(run))));
  }

  clear() {
    for (const panel of this.panels) panel.destroy();
    this.panels = [];
    this.loaded = new Set();
    this.stage.replaceChildren();
    this.legend.replaceChildren();
    this.toolbar.disable(true);
  }

  /** Show one run, or two side by side. */
  async show(runs) {
    this.clear();
    this.toolbar.disable(false);
    this.toolbar.select(runs);
    this.stage.classList.toggle("two", runs.length === 2);
    this.panels = runs.map((run) => new RunPanel({
      run,
      tooltip: this.tooltip,
      onCell: (_, cell) => this.guard(() => this.setCell(cell)),
      onRange: () => this.rescale(),
    }));
    this.stage.append(...this.panels.map((panel) => panel.element));
    if (!this.chosen) this.cell = null;
    await this.fetch(this.panels);
    this.toolbar.setTime(Math.max(
      ...runs.map((run) => this.versions.get(run) ?? 0)));
  }

  async fetch(panels) {
    await Promise.all(panels.map(async (panel) => {
      this.loaded.delete(panel.run);
      await panel.load(this.metric);
      this.loaded.add(panel.run);
    }));
    const [first] = this.panels;
    this.toolbar.setMetrics(new Set(
      this.panels.flatMap((panel) => panel.overview?.metrics ?? [])));
    if (!this.chosen && first?.overview) this.cell = first.suggestion();
    await Promise.all(this.panels.map((panel) => panel.select(this.cell)));
  }

  async setMetric(metric) {
    this.metric = metric;
    await this.fetch(this.panels);
  }

  async setCell(cell) {
    this.chosen = true;
    this.cell = cell;
    await Promise.all(this.panels.map((panel) => panel.select(cell)));
  }

  /** Give all heat maps one scale, so that two runs can be compared. */
  rescale() {
    const known = this.panels.filter((panel) => panel.matrix);
    const lows = known.map(({ matrix }) => matrix.low).filter(Boolean);
    const highs = known.map(({ matrix }) => matrix.high).filter(Boolean);
    const { range } = METRICS[this.metric];
    const scale = range ? new ValueScale(...range, false)
      : decades(Math.min(...lows), Math.max(...highs));
    this.legend.replaceChildren(legend(this.metric, scale));
    for (const panel of this.panels) panel.draw(scale);
  }

  redraw() {
    if (this.panels.some((panel) => panel.matrix)) this.rescale();
  }
}

function decades(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) {
    return new ValueScale(1e-6, 1, true);
  }
  // Less than a decade would make noise look like a difference.
  const middle = Math.sqrt(low * high);
  return new ValueScale(
    Math.min(low, middle / 4), Math.max(high, middle * 4), true);
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
  await tab.start();
}
