// Numbers and names as people read them.

export { METRICS } from "./metrics.js";

/** A number with three digits that count. */
export function number(value) {
  if (value === null || value === undefined) return "not measured";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "-infinite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) {
    return Number(value.toPrecision(3)).toLocaleString("en-US", {
      maximumFractionDigits: 6,
    });
  }
  return value.toExponential(2).replace("e+", "e");
}

/** A value of a metric. */
export function metricValue(metric, value) {
  if (metric === "dead_share" && Number.isFinite(value)) {
    return `${number(100 * value)} %`;
  }
  return number(value);
}

export function integer(value) {
  return Math.round(value).toLocaleString("en-US");
}

/** A share in [0, 1] as a percentage. */
export function percent(value) {
  return value > 0 && value < 0.01 ? "under 1 %" : `${integer(100 * value)} %`;
}

/** Ten to a power, as short as it can be read. */
export function power(exponent) {
  if (exponent >= -2 && exponent <= 3) return String(Number(`1e${exponent}`));
  return `1e${exponent}`;
}

/** Texts of numbers, with as many digits as it takes to tell them apart. */
export function numbers(values) {
  for (let digits = 3; digits <= 12; digits++) {
    const texts = values.map((value) => withDigits(value, digits));
    if (new Set(texts).size === new Set(values).size) return texts;
  }
  return values.map(String);
}

function withDigits(value, digits) {
  if (digits === 3) return number(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5
    ? Number(value.toPrecision(digits)).toLocaleString("en-US", {
      maximumFractionDigits: 12,
    })
    : Number(value.toPrecision(digits)).toExponential().replace("e+", "e");
}

/** Text cut in the middle, where paths differ least. */
export function shorten(text, length) {
  if (text.length <= length) return text;
  const end = Math.ceil((length - 1) * 0.65);
  return `${text.slice(0, length - 1 - end)}…${text.slice(-end)}`;
}

/** Text cut until it fits. */
export function shortenTo(text, fits) {
  let length = text.length;
  while (length > 4 && !fits(shorten(text, length))) length--;
  return shorten(text, length);
}

/** Paths without the folder that all of them start with. */
export function withoutCommonStart(paths) {
  const end = paths.length ? paths[0].indexOf("/") + 1 : 0;
  const start = end ? paths[0].slice(0, end) : "";
  return paths.length > 1 && paths.every((path) => path.startsWith(start))
    ? paths.map((path) => path.slice(end)) : paths;
}

/** "1 step", "2 steps". */
export function many(count, noun) {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}
