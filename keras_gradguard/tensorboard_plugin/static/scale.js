// From values to pixels.

import { numbers, power } from "./format.js";

/** Steps along the width that all charts of a run share. */
export class TimeScale {
  constructor(first, end, left, right) {
    this.first = first;
    this.end = Math.max(end, first + 1);
    this.left = left;
    this.right = right;
  }

  x(step) {
    const share = (step - this.first) / (this.end - this.first);
    return this.left + share * (this.right - this.left);
  }

  /** Step at a pixel, with its fraction. */
  exact(x) {
    const share = (x - this.left) / (this.right - this.left);
    return this.first + share * (this.end - this.first);
  }

  step(x) {
    const step = this.exact(x);
    return Math.min(this.end - 1, Math.max(this.first, Math.floor(step)));
  }

  /** Round steps, some 90 pixels apart. */
  ticks() {
    return roundTicks(this.first, this.end - 1, (this.right - this.left) / 90)
      .filter((step) => Number.isInteger(step));
  }

  labels() {
    return this.ticks().map((step) => [step, step.toLocaleString("en-US")]);
  }
}

/** Layers from input to output along the width. */
export class DepthScale {
  constructor(names, left, right) {
    this.names = names;
    this.left = left;
    this.right = right;
  }

  x(index) {
    const gaps = Math.max(1, this.names.length - 1);
    const air = Math.min(20, (this.right - this.left) / gaps / 2);
    const room = this.right - this.left - 2 * air;
    return this.left + air + (index / gaps) * room;
  }

  /** Index of the layer nearest to a pixel. */
  index(x) {
    const first = this.x(0);
    const gap = this.x(1) - first || 1;
    const last = this.names.length - 1;
    return Math.min(last, Math.max(0, Math.round((x - first) / gap)));
  }

  labels() {
    const most = Math.max(2, Math.floor((this.right - this.left) / 80));
    const stride = Math.max(1, Math.ceil(this.names.length / most));
    const labels = [];
    for (let i = 0; i < this.names.length; i += stride) {
      const name = this.names[i].split("/").pop();
      labels.push([i, name.length > 12 ? `${name.slice(0, 11)}…` : name]);
    }
    return labels;
  }
}

/** Round numbers within a range, about as many as wanted. */
export function roundTicks(low, high, wanted) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * ten >= rough) * ten;
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

/** Values along a length; logarithmic or linear. */
export class ValueScale {
  constructor(low, high, log) {
    this.log = log;
    this.low = log ? Math.log10(low) : low;
    this.high = log ? Math.log10(high) : high;
  }

  /** Share of the length in [0, 1], null for what has no place on it. */
  share(value) {
    if (value === null || !Number.isFinite(value)) return null;
    if (this.log && value <= 0) return 0;
    const at = this.log ? Math.log10(value) : value;
    const share = (at - this.low) / (this.high - this.low);
    return Math.min(1, Math.max(0, share));
  }

  /** [value, exponent or null] of ticks, at most `most`. */
  ticks(most) {
    if (!this.log) {
      return roundTicks(this.low, this.high, most)
        .map((value) => [value, null]);
    }
    const first = Math.ceil(this.low - 1e-9);
    const last = Math.floor(this.high + 1e-9);
    const stride = Math.max(1, Math.ceil((last - first + 1) / most));
    const ticks = [];
    for (let e = first; e <= last; e += stride) ticks.push([10 ** e, e]);
    return ticks.length > 1 ? ticks : this.ticksWithinDecades(ticks);
  }

  /** [value, text] of ticks, no text twice. */
  labels(most) {
    const ticks = this.ticks(most);
    const texts = numbers(ticks.map(([value]) => value));
    return ticks.map(([value, exponent], i) =>
      [value, exponent === null ? texts[i] : power(exponent)]);
  }

  /** 1, 2 and 5 times powers of ten, where whole decades are too few. */
  ticksWithinDecades(decades) {
    const ticks = [...decades];
    for (let e = Math.floor(this.low); e <= this.high; e++) {
      for (const factor of [2, 5]) {
        const value = Number(`${factor}e${e}`);
        const at = Math.log10(value);
        if (at >= this.low && at <= this.high) ticks.push([value, null]);
      }
    }
    return ticks;
  }
}

/** Scale around values: whole decades, or a range with some air. */
export function scaleAround(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (log && value <= 0) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return new ValueScale(log ? 0.1 : 0, 1, log);
  if (log) {
    // Whole decades where there are several, half ones where there are few.
    const part = high / low > 30 ? 1 : 4;
    let a = Math.floor(Math.log10(low) * part - 1e-9) / part;
    let b = Math.ceil(Math.log10(high) * part + 1e-9) / part;
    if (b - a < 0.5) [a, b] = [a - 0.25, b + 0.25];
    return new ValueScale(10 ** a, 10 ** b, true);
  }
  // A curve that hardly moves must look as if it hardly moves: the axis
  // covers at least a quarter of the values themselves.
  const least = Math.max(Math.abs(low), Math.abs(high)) / 4 || 1;
  const room = Math.max((high - low) * 1.16, least);
  const middle = (low + high) / 2;
  return new ValueScale(middle - room / 2, middle + room / 2, false);
}

/** Scale of the colours of heat maps whose values go from lows to highs. */
export function mapScale(lows, highs) {
  const low = Math.min(...lows.filter(Boolean));
  const high = Math.max(...highs.filter(Boolean));
  if (!Number.isFinite(low) || !Number.isFinite(high)) {
    return new ValueScale(1e-6, 1, true);
  }
  // Less than a decade would make noise look like a difference.
  const middle = Math.sqrt(low * high);
  return new ValueScale(
    Math.min(low, middle / 4), Math.max(high, middle * 4), true);
}
