// The cells of a heat map, as a picture.

import { indexOf, pattern } from "./colormap.js";
import { themeColor } from "./dom.js";

function packed([r, g, b]) {
  return (255 << 24) | (b << 16) | (g << 8) | r;
}

function hexToRgb(text) {
  const value = parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** First and last column of each pixel of the width. */
function columnsOf(matrix, time, left, width) {
  const first = new Int32Array(width);
  const last = new Int32Array(width);
  for (let px = 0; px < width; px++) {
    first[px] = matrix.columnOf(time.exact(left + px));
    last[px] = Math.max(
      first[px], matrix.columnOf(time.exact(left + px + 1) - 1e-9));
  }
  return [first, last];
}

/** The largest of several values; what is not finite is larger still. */
function largest(matrix, from, to, row) {
  let top = matrix.at(from, row);
  for (let column = from + 1; column <= to; column++) {
    const value = matrix.at(column, row);
    if (value === null) continue;
    if (top === null || Number.isNaN(value) || value > top) top = value;
  }
  return top;
}

function asCanvas(pixels, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(
    new Uint8ClampedArray(pixels.buffer), width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Fill what a mask covers with a pattern. */
function fillMask(context, mask, box, kind) {
  const { left, width, height, ratio } = box;
  const layer = document.createElement("canvas");
  layer.width = Math.ceil(width * ratio);
  layer.height = Math.ceil(height * ratio);
  const draw = layer.getContext("2d");
  draw.imageSmoothingEnabled = false;
  draw.drawImage(mask, 0, 0, layer.width, layer.height);
  draw.globalCompositeOperation = "source-in";
  draw.fillStyle = pattern(draw, kind);
  draw.fillRect(0, 0, layer.width, layer.height);
  context.drawImage(layer, left, 0, width, height);
}

/** Draw the cells of a matrix; colours come from `scale` and `table`. */
export function drawCells(context, { matrix, time, scale, table, height }) {
  const left = Math.round(time.left);
  const width = Math.max(1, Math.round(time.right) - left);
  const count = matrix.rows.length;
  if (!count) return;
  const [first, last] = columnsOf(matrix, time, left, width);
  const colors = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    colors[i] = packed([...table.slice(3 * i, 3 * i + 3)]);
  }
  const none = packed(hexToRgb(themeColor("unmeasured")));
  const zero = packed(hexToRgb(themeColor("zero")));
  const pixels = new Uint32Array(width * count);
  const masks = { zero: null, lost: null };
  const paint = (px, row, value) => {
    const at = row * width + px;
    if (value === null) return none;
    const share = scale.share(value);
    const kind = share === null ? "lost"
      : value === 0 && scale.log ? "zero" : null;
    if (kind === null) return colors[indexOf(share) / 3];
    masks[kind] ??= new Uint32Array(width * count);
    masks[kind][at] = 0xff000000;
    return zero;
  };
  for (let px = 0; px < width; px++) {
    const same = px > 0 && first[px] === first[px - 1] &&
      last[px] === last[px - 1];
    for (let row = 0; row < count; row++) {
      const at = row * width + px;
      if (same) {
        pixels[at] = pixels[at - 1];
        for (const mask of [masks.zero, masks.lost]) {
          if (mask) mask[at] = mask[at - 1];
        }
        continue;
      }
      let value = null;
      if (first[px] >= 0) {
        value = first[px] === last[px] || matrix.cells !== "max"
          ? matrix.at(first[px], row)
          : largest(matrix, first[px], last[px], row);
      }
      pixels[at] = paint(px, row, value);
    }
  }
  context.imageSmoothingEnabled = false;
  context.drawImage(asCanvas(pixels, width, count), left, 0, width, height);
  const box = { left, width, height, ratio: window.devicePixelRatio || 1 };
  for (const [kind, mask] of Object.entries(masks)) {
    if (mask) fillMask(context, asCanvas(mask, width, count), box, kind);
  }
}
