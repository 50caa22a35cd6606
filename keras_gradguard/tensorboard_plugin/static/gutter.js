// Names of rows beside a heat map, with brackets around what belongs together.

import { themeColor } from "./dom.js";
import { shortenTo } from "./format.js";
import { labelsOf } from "./names.js";

const FONT = "12px system-ui, sans-serif";
const LINE = 13;
const BRACKET = 18;
const GAP = 18;

let ruler = null;

function measure(text) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = FONT;
  return ruler.measureText(text).width;
}

/** What stands left of a map with rows of a height, and how wide it is. */
export class Gutter {
  constructor(rows, height) {
    const { leaves, levels } = labelsOf(rows);
    this.rows = rows;
    this.height = height;
    this.levels = levels;
    this.leaves = leaves;
    // Where rows are thin, the name of the innermost group stands for them.
    const thin = height < LINE;
    const inner = levels[levels.length - 1] ?? [];
    this.texts = leaves.map((text, i) => ({
      at: i + 0.5, text, whole: rows[i] }));
    this.brackets = levels;
    if (thin && inner.length) {
      const grouped = new Set();
      for (const { from, to } of inner) {
        for (let i = from; i < to; i++) grouped.add(i);
      }
      this.texts = [
        ...inner.map(({ from, to, text }) =>
          ({ at: (from + to) / 2, text, span: [from, to] })),
        ...this.texts.filter((_, i) => !grouped.has(i)),
      ].sort((a, b) => a.at - b.at);
      this.brackets = levels.slice(0, -1);
    }
  }

  /** Pixels that names and brackets want, at most `most`. */
  width(most) {
    const longest = this.texts.reduce(
      (widest, { text }) => Math.max(widest, measure(text)), 0);
    const wanted = longest + GAP + BRACKET * this.brackets.length + 6;
    return Math.round(Math.min(most, Math.max(56, wanted)));
  }

  draw(context, right) {
    context.font = FONT;
    context.textBaseline = "middle";
    context.fillStyle = themeColor("text");
    context.textAlign = "right";
    const start = BRACKET * this.brackets.length;
    const room = right - GAP - start;
    const fits = (text) => context.measureText(text).width <= room;
    let last = -LINE;
    for (const { at, text } of this.texts) {
      const y = Math.max(LINE / 2, at * this.height);
      if (y - last < LINE) continue;
      context.fillText(shortenTo(text, fits), right - GAP + 4, y + 0.5);
      last = y;
    }
    this.brackets.forEach((groups, level) => {
      for (const group of groups) {
        this.bracket(context, group, BRACKET * level);
      }
    });
  }

  /** A line along a group with its name turned along it. */
  bracket(context, { from, to, text }, x) {
    const top = from * this.height + 1;
    const bottom = to * this.height - 1;
    context.strokeStyle = themeColor("line");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x + BRACKET, top);
    context.lineTo(x + BRACKET - 3, top);
    context.lineTo(x + BRACKET - 3, bottom);
    context.lineTo(x + BRACKET, bottom);
    context.stroke();
    context.save();
    context.fillStyle = themeColor("dim");
    context.textAlign = "center";
    context.translate(x + 7, (top + bottom) / 2);
    context.rotate(-Math.PI / 2);
    const fits = (part) => context.measureText(part).width <= bottom - top;
    const shown = shortenTo(text, fits);
    if (fits(shown)) context.fillText(shown, 0, 0);
    context.restore();
  }

  /** The group beside a place left of the map, null if there is none. */
  groupAt(x, y) {
    const row = y / this.height;
    const inside = ({ from, to }) => row >= from && row < to;
    const level = Math.floor(x / BRACKET);
    if (level < this.brackets.length) {
      return this.brackets[level].find(inside) ?? null;
    }
    return (this.levels[this.levels.length - 1] ?? []).find(inside) ?? null;
  }
}
