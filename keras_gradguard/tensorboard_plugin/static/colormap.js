// Viridis: even steps of lightness, told apart by the colour-blind.

import { themeColor } from "./dom.js";

const STOPS = [
  [68, 1, 84], [72, 24, 106], [71, 45, 123], [66, 64, 134], [59, 82, 139],
  [51, 99, 141], [44, 114, 142], [38, 130, 142], [33, 145, 140],
  [31, 160, 136], [40, 174, 128], [63, 188, 115], [94, 201, 98],
  [132, 212, 75], [173, 220, 48], [216, 226, 25], [253, 231, 37],
];

const SIZE = 256;

/** RGB triples, three bytes each. */
export const TABLE = new Uint8Array(3 * SIZE);
for (let i = 0; i < SIZE; i++) {
  const at = (i / (SIZE - 1)) * (STOPS.length - 1);
  const below = Math.min(STOPS.length - 2, Math.floor(at));
  for (let c = 0; c < 3; c++) {
    const [a, b] = [STOPS[below][c], STOPS[below + 1][c]];
    TABLE[3 * i + c] = Math.round(a + (at - below) * (b - a));
  }
}

/** Place of a share in [0, 1] in the table. */
export function indexOf(share) {
  return 3 * Math.min(SIZE - 1, Math.max(0, Math.round(share * (SIZE - 1))));
}

/** The same table from light to dark, where much is bad. */
export const REVERSED = new Uint8Array(TABLE.length);
for (let i = 0; i < SIZE; i++) {
  REVERSED.set(TABLE.slice(3 * i, 3 * i + 3), 3 * (SIZE - 1 - i));
}

// Blue over white to red: less, alike, more.
const SIDES = [[33, 82, 163], [245, 245, 245], [178, 24, 43]];

/** Table of differences. */
export const DIVERGING = new Uint8Array(3 * SIZE);
for (let i = 0; i < SIZE; i++) {
  const at = (2 * i) / (SIZE - 1);
  const below = Math.min(1, Math.floor(at));
  for (let c = 0; c < 3; c++) {
    const [a, b] = [SIDES[below][c], SIDES[below + 1][c]];
    DIVERGING[3 * i + c] = Math.round(a + (at - below) * (b - a));
  }
}

/**
 * Pattern for what has no colour, told apart by shape: stripes are not finite,
 * dots on black are exactly 0.
 */
export function pattern(context, kind) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const draw = tile.getContext("2d");
  draw.fillStyle = themeColor(kind);
  draw.fillRect(0, 0, 6, 6);
  if (kind === "zero") {
    draw.fillStyle = themeColor("zero-dot");
    draw.fillRect(1, 1, 1, 1);
    draw.fillRect(4, 4, 1, 1);
    return context.createPattern(tile, "repeat");
  }
  draw.strokeStyle = themeColor("lost-line");
  draw.lineWidth = 2;
  draw.beginPath();
  for (const shift of [-6, 0, 6]) {
    draw.moveTo(shift - 1, 7);
    draw.lineTo(shift + 7, -1);
  }
  draw.stroke();
  return context.createPattern(tile, "repeat");
}
