// Layers (forward order, downwards) by steps, on a canvas.

import { indexOf, stripes, TABLE } from "./colormap.js";
import { html, themeColor } from "./dom.js";
import { shortenTo, withoutCommonStart } from "./format.js";

const AXIS = 22;

function hexToRgb(text) {
  const value = parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * The heat map of a run. `onHover` and `onSelect` get {layer, step, column}
 * or null; arrow keys move a cursor, Enter selects.
 */
export class HeatMap {
  constructor({ label, onHover, onSelect }) {
    this.canvas = html("canvas", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "heat map",
      "aria-label": `${label}. Arrow keys move over layers and steps, ` +
        "Enter shows a layer's series and the profile over depth.",
    });
    this.element = html("div", { class: "heatmap" }, this.canvas);
    this.onHover = onHover;
    this.onSelect = onSelect;
    this.cursor = null;
    this.selected = null;
    this.culprits = new Set();
    this.canvas.addEventListener("pointermove", (event) => {
      this.hover(this.cellAt(event));
    });
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("click", (event) => {
      const cell = this.cellAt(event);
      if (cell) this.onSelect(cell);
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.hover(null));
  }

  set(matrix, layers, culprits) {
    this.matrix = matrix;
    this.layers = layers;
    this.culprits = new Set(culprits);
  }

  /** Draw on the time axis, with `scale` from values to colours. */
  draw(time, width, scale) {
    this.time = time;
    this.width = width;
    this.scale = scale;
    const count = this.layers.length;
    const room = window.innerHeight > 900 ? 420 : 330;
    this.row = Math.min(24, Math.max(2.5, room / Math.max(1, count)));
    this.bottom = Math.round(this.row * count);
    const ratio = window.devicePixelRatio || 1;
    const height = this.bottom + AXIS;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.base = document.createElement("canvas");
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    const context = this.base.getContext("2d");
    context.scale(ratio, ratio);
    this.drawCells(context);
    this.drawLabels(context);
    this.drawSteps(context);
    this.paint();
  }

  drawCells(context) {
    const { matrix, time, scale, layers } = this;
    const [left, right] = [Math.round(time.left), Math.round(time.right)];
    const image = new ImageData(Math.max(1, right - left), layers.length);
    const pixels = new Uint8ClampedArray(image.data.buffer);
    const none = hexToRgb(themeColor("unmeasured"));
    const zero = hexToRgb(themeColor("zero"));
    const lost = [];
    for (let px = 0; px < image.width; px++) {
      const column = matrix.columnOf(time.step(left + px + 0.5));
      for (let layer = 0; layer < layers.length; layer++) {
        const value = column < 0 ? null : matrix.at(column, layer);
        const at = 4 * (layer * image.width + px);
        const share = scale.share(value);
        let rgb = none;
        if (value !== null && share === null) {
          lost.push([px, layer]);
        } else if (value === 0 && scale.log) {
          rgb = zero;
        } else if (share !== null) {
          const i = indexOf(share);
          rgb = [TABLE[i], TABLE[i + 1], TABLE[i + 2]];
        }
        pixels.set(rgb, at);
        pixels[at + 3] = 255;
      }
    }
    const small = document.createElement("canvas");
    small.width = image.width;
    small.height = image.height;
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, 0, image.width, this.bottom);
    context.fillStyle = stripes(
      context, themeColor("lost-line"), themeColor("lost"));
    for (const [px, layer] of lost) {
      context.fillRect(left + px, layer * this.row, 1, this.row);
    }
    this.hasLost = lost.length > 0;
    if (this.row > 8) {
      context.fillStyle = themeColor("surface");
      for (let layer = 1; layer < layers.length; layer++) {
        context.fillRect(left, layer * this.row - 0.5, right - left, 1);
      }
    }
  }

  drawLabels(context) {
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    const stride = Math.max(1, Math.ceil(13 / this.row));
    const names = withoutCommonStart(this.layers);
    const room = this.time.left - 18;
    const fits = (text) => context.measureText(text).width <= room;
    this.layers.forEach((layer, i) => {
      const y = (i + 0.5) * this.row;
      if (this.culprits.has(layer)) {
        context.fillStyle = themeColor("critical");
        context.beginPath();
        context.arc(this.time.left - 7, y, Math.min(3, this.row / 2), 0, 7);
        context.fill();
      }
      if (i % stride) return;
      context.fillStyle = themeColor("text");
      context.fillText(
        shortenTo(names[i], fits), this.time.left - 14,
        Math.max(6, y + 0.5));
    });
  }

  drawSteps(context) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    context.fillStyle = themeColor("dim");
    context.strokeStyle = themeColor("line");
    const ticks = this.time.ticks();
    for (const step of ticks) {
      const x = this.time.x(step);
      context.textAlign = x > this.time.right - 20 ? "right" : "center";
      context.fillRect(x, this.bottom, 1, 4);
      context.fillText(step.toLocaleString("en-US"), x, this.bottom + 7);
    }
    context.textAlign = "right";
    context.fillText("step", this.time.left - 14, this.bottom + 7);
  }

  /** Copy the picture and mark the selected cell and the cursor. */
  paint() {
    if (!this.base) return;
    const context = this.canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.base, 0, 0);
    context.scale(ratio, ratio);
    if (this.selected) {
      this.mark(context, this.selected, themeColor("text"), 2);
    }
    if (this.cursor) this.mark(context, this.cursor, themeColor("text"), 1);
  }

  mark(context, { layer, step }, color, width) {
    const { left, right } = this.time;
    const y = layer * this.row;
    const x = Math.min(right, Math.max(left, this.time.x(step)));
    context.strokeStyle = themeColor("surface");
    context.lineWidth = width + 2;
    for (let pass = 0; pass < 2; pass++) {
      context.strokeRect(left, y, right - left, this.row);
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, this.bottom);
      context.stroke();
      context.strokeStyle = color;
      context.lineWidth = width;
    }
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (!this.time || y < 0 || y >= this.bottom) return null;
    if (x < this.time.left || x > this.time.right) return null;
    return this.cell(Math.floor(y / this.row), this.time.step(x));
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
    if (!this.time || !this.matrix.starts.length) return;
    const at = this.cursor ?? this.selected ??
      this.cell(0, this.time.end - 1);
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
    this.hover(this.cell(layer, this.matrix.starts[column]));
  }
}
