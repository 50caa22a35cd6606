// Layers (forward order, downwards) by steps, on a canvas.

import { drawCells } from "./cells.js";
import { TABLE } from "./colormap.js";
import { html, sized, themeColor } from "./dom.js";
import { Gutter } from "./gutter.js";

const STEPS = 22;
const EPOCHS = 16;
const HELP = "Arrow keys move over layers and steps, with Shift by ten. " +
  "Enter shows a layer's series and the profile over depth. Plus and minus " +
  "zoom in and out, 0 shows the whole run.";

/**
 * The heat map of a run. `onHover` and `onSelect` get {layer, step, column}
 * or null; `onZoom` gets a factor and a step, or null for the whole run;
 * `onGroup` gets the path that a bracket stands for.
 */
export class HeatMap {
  constructor({ label, onHover, onSelect, onZoom, onGroup }) {
    this.canvas = html("canvas", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "heat map",
      "aria-label": `${label}. ${HELP}`,
    });
    // Marks lie on a canvas of their own: hovering repaints little.
    this.marks = html("canvas", { class: "map-marks", "aria-hidden": "true" });
    this.element = html("div", { class: "heatmap" }, this.canvas, this.marks);
    Object.assign(this, { onHover, onSelect, onZoom, onGroup });
    this.cursor = null;
    this.selected = null;
    this.culprits = new Set();
    this.epochs = [];
    this.canvas.addEventListener("pointermove", (event) => {
      this.hover(this.cellAt(event));
    });
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.hover(null));
  }

  set(matrix, culprits, epochs = []) {
    this.matrix = matrix;
    this.layers = matrix.rows;
    this.culprits = new Set(culprits);
    this.epochs = epochs;
    const count = Math.max(1, this.layers.length);
    const room = window.innerHeight > 900 ? 420 : 330;
    const least = count > 250 ? 1 : 2.5;
    this.row = Math.min(24, Math.max(least, room / count));
    if (this.layers.length <= 40) this.row = Math.max(14, this.row);
    this.gutter = new Gutter(this.layers, this.row);
  }

  /** Pixels left of the cells, at most so many. */
  left(most) {
    return this.gutter ? this.gutter.width(most) : Math.min(138, most);
  }

  /** Draw on the time axis, with `scale` from values to colours. */
  draw(time, width, scale, table = TABLE) {
    this.time = time;
    this.width = width;
    this.bottom = Math.round(this.row * this.layers.length);
    const height = this.bottom + STEPS + (this.epochs.length ? EPOCHS : 0);
    const context = sized(this.canvas, width, height);
    const { matrix } = this;
    drawCells(context, { matrix, time, scale, table, height: this.bottom });
    if (this.row > 8) this.drawLines(context);
    if (!this.layers.length) {
      context.font = "12px system-ui, sans-serif";
      context.fillStyle = themeColor("dim");
      context.fillText("No layer is of this kind and name.", time.left, 14);
    }
    this.gutter.draw(context, time.left);
    this.drawCulprits(context);
    this.drawSteps(context);
    this.drawEpochs(context);
    this.marksContext = sized(this.marks, width, height);
    this.paint();
  }

  drawLines(context) {
    const { left, right } = this.time;
    context.fillStyle = themeColor("surface");
    for (let layer = 1; layer < this.layers.length; layer++) {
      context.fillRect(left, layer * this.row - 0.5, right - left, 1);
    }
  }

  drawCulprits(context) {
    context.fillStyle = themeColor("critical");
    this.layers.forEach((layer, i) => {
      if (!this.culprits.has(layer)) return;
      context.beginPath();
      context.arc(this.time.left - 7, (i + 0.5) * this.row,
        Math.min(3, Math.max(1, this.row / 2)), 0, 7);
      context.fill();
    });
  }

  drawSteps(context) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    context.fillStyle = themeColor("dim");
    for (const step of this.time.ticks()) {
      const x = this.time.x(step);
      context.textAlign = x > this.time.right - 20 ? "right" : "center";
      context.fillRect(x, this.bottom, 1, 4);
      context.fillText(step.toLocaleString("en-US"), x, this.bottom + 7);
    }
    context.textAlign = "right";
    context.fillText("step", this.time.left - 14, this.bottom + 7);
  }

  /** The second axis: where each epoch begins. */
  drawEpochs(context) {
    if (!this.epochs.length) return;
    const y = this.bottom + STEPS + 1;
    const { first, end, right, left } = this.time;
    let before = this.epochs[0][1] - (this.epochs[1]
      ? this.epochs[1][1] - this.epochs[0][1] : this.epochs[0][1] + 1);
    let last = -Infinity;
    for (const [number, step] of this.epochs) {
      const begin = Math.max(0, before + 1);
      before = step;
      if (begin < first || begin >= end) continue;
      const x = this.time.x(begin);
      if (x - last < 44 || x > right - 8) continue;
      last = x;
      context.textAlign = "center";
      context.fillRect(x, y - 3, 1, 3);
      context.fillText((number + 1).toLocaleString("en-US"), x, y + 1);
    }
    context.textAlign = "right";
    context.fillText("epoch", left - 14, y + 1);
  }

  /** Mark the selected cell and the cursor. */
  paint() {
    const context = this.marksContext;
    if (!context) return;
    context.clearRect(0, 0, this.width, this.marks.height);
    if (this.selected) {
      this.mark(context, this.selected, themeColor("text"), 2);
    }
    if (!this.cursor) return;
    this.mark(context, this.cursor, themeColor("text"), 1);
    this.name(context, this.cursor.layer);
  }

  mark(context, { layer, step }, color, width) {
    const { left, right, first, end } = this.time;
    const y = layer * this.row;
    const inside = step >= first && step < end;
    const x = Math.min(right, Math.max(left, this.time.x(step + 0.5)));
    context.strokeStyle = themeColor("surface");
    context.lineWidth = width + 2;
    for (let pass = 0; pass < 2; pass++) {
      context.strokeRect(left, y, right - left, this.row);
      if (inside) {
        context.beginPath();
        context.moveTo(x, 0);
        context.lineTo(x, this.bottom);
        context.stroke();
      }
      context.strokeStyle = color;
      context.lineWidth = width;
    }
  }

  /** The whole name of a row, over what the gutter had to cut. */
  name(context, layer) {
    const text = this.layers[layer];
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    const width = context.measureText(text).width + 10;
    const y = Math.min(
      this.bottom - 8, Math.max(8, (layer + 0.5) * this.row));
    const x = Math.max(0, this.time.left - 12 - width);
    context.fillStyle = themeColor("surface");
    context.strokeStyle = themeColor("dim");
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(x + 0.5, y - 8.5, width, 17, 4);
    context.fill();
    context.stroke();
    context.fillStyle = themeColor("text");
    context.fillText(text, x + 5, y + 0.5);
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  click(event) {
    const cell = this.cellAt(event);
    if (cell) return this.onSelect(cell);
    const [x, y] = this.placeOf(event);
    if (!this.time || x >= this.time.left - 12 || y >= this.bottom) return;
    const group = this.gutter.groupAt(x, y);
    if (group) this.onGroup?.(group.path);
  }

  cellAt(event) {
    const [x, y] = this.placeOf(event);
    if (!this.time || y < 0 || y >= this.bottom) return null;
    if (x < this.time.left || x > this.time.right) return null;
    const layer = Math.floor(y / this.row);
    if (layer >= this.layers.length) return null;
    return this.cell(layer, this.time.step(x));
  }

  cell(layer, step) {
    return { layer, step, column: this.matrix.columnOf(step) };
  }

  hover(cell) {
    this.cursor = cell;
    this.paint();
    this.onHover(cell);
  }

  select(cell) {
    this.selected = cell;
    this.paint();
  }

  key(event) {
    if (!this.time || !this.matrix.starts.length || !this.layers.length) {
      return;
    }
    const at = this.cursor ?? this.selected ??
      this.cell(0, this.time.end - 1);
    const zoom = { "+": 0.5, "=": 0.5, "-": 2, _: 2 }[event.key];
    if (zoom || event.key === "0") {
      event.preventDefault();
      this.onZoom?.(zoom ?? null, at.step);
      return;
    }
    const last = this.matrix.starts.length - 1;
    let { layer, column } = this.cell(at.layer, at.step);
    const stride = event.shiftKey ? 10 : 1;
    if (event.key === "ArrowUp") layer -= stride;
    else if (event.key === "ArrowDown") layer += stride;
    else if (event.key === "ArrowLeft") column -= stride;
    else if (event.key === "ArrowRight") column += stride;
    else if (event.key === "Home") column = 0;
    else if (event.key === "End") column = last;
    else if (event.key === "Escape") return this.hover(null);
    else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return this.onSelect(at);
    } else return;
    event.preventDefault();
    layer = Math.min(this.layers.length - 1, Math.max(0, layer));
    column = Math.min(last, Math.max(0, column));
    const step = Math.max(this.matrix.starts[column], this.time.first);
    this.hover({ layer, step, column });
  }
}
