// Viridis: even steps of lightness, told apart by the colour-blind.

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

/** Pattern that marks what is not finite: stripes, for those who see no red. */
export function stripes(context, color, background) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const draw = tile.getContext("2d");
  draw.fillStyle = background;
  draw.fillRect(0, 0, 6, 6);
  draw.strokeStyle = color;
  draw.lineWidth = 2;
  draw.beginPath();
  for (const shift of [-6, 0, 6]) {
    draw.moveTo(shift - 1, 7);
    draw.lineTo(shift + 7, -1);
  }
  draw.stroke();
  return context.createPattern(tile, "repeat");
}
