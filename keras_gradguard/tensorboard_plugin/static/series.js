// Lines of the charts above the heat map, from what the server sends.

import { toNumber } from "./api.js";
import { percent } from "./format.js";

/** A series that is known once per epoch. */
export function epochLine(epochs, name, color) {
  const known = epochs.filter(([, , logs]) => name in logs);
  return {
    name: `${name} per epoch`, color, dots: known.length <= 30,
    steps: known.map(([, step]) => step),
    values: known.map(([, , logs]) => toNumber(logs[name])),
  };
}

/** The loss, per batch where it was recorded, else per epoch. */
export function lossLine({ series, epochs, steps }, color = "series-1") {
  if (!series.batch_loss) return epochLine(epochs, "loss", color);
  const { mean, low, high } = series.batch_loss;
  return { name: "loss", color, steps, values: mean, low, high };
}

/** The norm of the whole gradient before clipping, null if unknown. */
export function normLine({ series, steps }, color = "series-1") {
  const norm = series.global_grad_norm;
  return norm ? { name: "all layers", color, steps, values: norm.mean,
    low: norm.low, high: norm.high } : null;
}

function lossLines(overview) {
  const lines = [lossLine(overview)];
  if (overview.epochs.some(([, , logs]) => "val_loss" in logs)) {
    lines.push(epochLine(overview.epochs, "val_loss", "series-2"));
  }
  return { lines };
}

/** Norms before and after clipping, and [text, colour] of what was clipped. */
function normLines(overview) {
  const { series, steps } = overview;
  const first = normLine(overview);
  const lines = first ? [first] : [];
  if (series.clip_threshold) {
    if (first) first.name = "before clipping";
    lines.push({ name: "after clipping", color: "series-3", steps,
      values: series.clipped_grad_norm.mean });
    lines.push({ name: "clip threshold", color: "series-2", dash: "5 3",
      steps, values: series.clip_threshold.mean });
  }
  const rug = [];
  const notes = [];
  const rows = [["clipped_fraction", "clipped", "series-2"],
    ["skipped_fraction", "skipped", "critical"]];
  for (const [name, word, color] of rows) {
    const values = series[name]?.mean;
    if (!values) continue;
    const share = values.reduce((a, b) => a + b, 0) / (values.length || 1);
    if (share > 0) {
      rug.push({ steps, values, color, row: rug.length });
      notes.push([`${percent(share)} of the updates ${word}`, color]);
    }
  }
  return { lines, rug, notes };
}

/**
 * The charts above the heat map. `lines` takes what the server says of a run
 * and returns the lines, maybe a rug of marks below, and notes on that.
 */
export const CHARTS = [
  { title: "Loss", height: 92, lines: lossLines },
  { title: "Global gradient norm", height: 104, log: true, lines: normLines },
];
