// Gradients through time: recurrent layers by time steps, at one step.

import { getTimes } from "./api.js";
import { indexOf, pattern, TABLE } from "./colormap.js";
import { html, sized, themeColor } from "./dom.js";
import { integer, number, shorten } from "./format.js";
import { mapScale } from "./scale.js";

const ROW = 20;
const AXIS = 20;
const DECADES = 1e12;
const WORDS = 6;

/** Index of the time step that is known nearest to a place. */
function nearest(times, place) {
  let best = 0;
  for (let i = 1; i < times.length; i++) {
    if (Math.abs(times[i] - place) < Math.abs(times[best] - place)) best = i;
  }
  return best;
}

function inWords({ layer, length, times, norms }) {
  if (!times.length) return `${layer}: all time steps are masked.`;
  const last = times.length - 1;
  return `${layer}: ${number(norms[0])} at time step ${integer(times[0])}, ` +
    `${number(norms[last])} at time step ${integer(times[last])} ` +
    `of ${integer(length)}.`;
}

/** The map below the heat map of a run that was measured through time. */
export class TimesMap {
  constructor(tooltip) {
    this.tooltip = tooltip;
    this.title = html("span", { class: "title" });
    this.note = html("span", { class: "keys" });
    this.canvas = html("canvas", { role: "img" });
    this.words = html("ul", { class: "times-words dim" });
    this.element = html("figure", { class: "times", hidden: true },
      html("figcaption", {}, this.title, this.note), this.canvas, this.words);
    this.layers = [];
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener(
      "pointerleave", () => this.tooltip.hide());
  }

  /** Fetch what was measured last up to a step. */
  async show({ run, overview }, step) {
    this.element.hidden = !overview.recurrent?.length;
    if (this.element.hidden) return;
    const turn = this.turn = (this.turn ?? 0) + 1;
    const found = await getTimes(run, step);
    if (turn !== this.turn) return;
    this.layers = found.layers;
    this.title.textContent = "Gradient through time, first time step to " +
      `last, at step ${integer(found.step ?? 0)}`;
    const lines = this.layers.map(inWords);
    this.canvas.ariaLabel =
      `Recurrent layers by time steps. ${lines.join(" ")}`;
    this.words.replaceChildren(
      ...lines.slice(0, WORDS).map((line) => html("li", {}, line)));
    const known = this.layers.flatMap(({ norms }) =>
      norms.filter((norm) => Number.isFinite(norm) && norm > 0));
    const high = Math.max(...known);
    const low = Math.max(Math.min(...known), high / DECADES);
    this.scale = mapScale([low], [high]);
    this.note.textContent = known.length
      ? `dark ${number(low)}, bright ${number(high)}` : "";
    this.draw();
  }

  draw(left = this.left, width = this.width) {
    Object.assign(this, { left, width });
    if (this.element.hidden || !width || !this.scale) return;
    const bottom = ROW * this.layers.length;
    const context = sized(this.canvas, width, bottom + AXIS);
    const right = width - 14;
    this.layers.forEach((layer, row) => {
      const y = row * ROW;
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.textAlign = "right";
      context.fillStyle = themeColor("text");
      const name = layer.layer.split("/").pop();
      context.fillText(
        shorten(name, Math.floor((left - 14) / 7)), left - 12, y + ROW / 2);
      for (let x = Math.round(left); x < right; x++) {
        context.fillStyle = this.color(context, layer, this.place(layer, x));
        context.fillRect(x, y, 1, ROW - 1);
      }
    });
    this.drawAxis(context, bottom, right);
  }

  place({ length }, x) {
    const share = (x - this.left) / (this.width - 14 - this.left);
    return share * Math.max(0, length - 1);
  }

  color(context, { times, norms }, place) {
    if (!times.length) return themeColor("unmeasured");
    const norm = norms[nearest(times, place)];
    if (!Number.isFinite(norm)) return pattern(context, "lost");
    if (norm === 0) return pattern(context, "zero");
    const at = indexOf(this.scale.share(norm));
    return `rgb(${TABLE[at]} ${TABLE[at + 1]} ${TABLE[at + 2]})`;
  }

  /** All rows have the same width: the numbers are those of the longest. */
  drawAxis(context, bottom, right) {
    const lengths = new Set(this.layers.map(({ length }) => length));
    const one = lengths.size === 1 ? [...lengths][0] : null;
    context.fillStyle = themeColor("dim");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText("0", this.left, bottom + 5);
    context.textAlign = "right";
    context.fillText(
      one === null ? "last" : integer(one - 1), right, bottom + 5);
    context.fillText("time", this.left - 12, bottom + 5);
  }

  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const layer = this.layers[Math.floor((event.clientY - box.top) / ROW)];
    const x = event.clientX - box.left;
    if (!layer?.times.length || x < this.left || x > this.width - 14) {
      this.tooltip.hide();
      return;
    }
    const at = nearest(layer.times, this.place(layer, x));
    this.tooltip.show(layer.layer, [
      ["gradient", number(layer.norms[at])],
      ["time step", `${integer(layer.times[at])} of ` +
        `0 to ${integer(layer.length - 1)}`],
    ], event.clientX, event.clientY);
  }
}
