// What the colours of the heat map mean.

import { DIVERGING, indexOf, pattern, REVERSED, TABLE } from "./colormap.js";
import { html, themeColor } from "./dom.js";
import { METRICS, metricValue, power } from "./format.js";

const WIDTH = 260;
const HEIGHT = 12;

function swatch(fill) {
  const canvas = html("canvas", { width: 14, height: HEIGHT });
  const context = canvas.getContext("2d");
  context.fillStyle = fill(context);
  context.fillRect(0, 0, 14, HEIGHT);
  return canvas;
}

function bar(table) {
  const canvas = html("canvas", { width: WIDTH, height: HEIGHT });
  const context = canvas.getContext("2d");
  for (let x = 0; x < WIDTH; x++) {
    const i = indexOf(x / (WIDTH - 1));
    context.fillStyle = `rgb(${table[i]},${table[i + 1]},${table[i + 2]})`;
    context.fillRect(x, 0, 1, HEIGHT);
  }
  return canvas;
}

/** Make the legend of a map of differences. */
export function differenceLegend(scale) {
  const whole = scale.ticks(5).filter(([value]) => Number.isInteger(value));
  const ticks = whole.map(([value]) => html("span", {
    class: "legend-tick",
    style: { left: `${scale.share(value) * WIDTH}px` },
  }, value === 0 ? "alike" : `${value > 0 ? "" : "1/"}${power(
    Math.abs(value))}×`));
  return html("div", { class: "legend" },
    html("div", { class: "legend-bar" }, bar(DIVERGING), ...ticks));
}

/** Make the legend of a scale. */
export function legend(metric, scale) {
  const ticks = scale.ticks(6).map(([value, exponent]) =>
    html("span", {
      class: "legend-tick",
      style: { left: `${scale.share(value) * WIDTH}px` },
    }, exponent === null ? metricValue(metric, value) : power(exponent)));
  const others = [
    ["not finite (NaN or infinite)", (context) =>
      pattern(context, "lost")],
    ["no gradient, or not measured", () => themeColor("unmeasured")],
  ];
  if (scale.log) {
    others.unshift(["exactly 0", (context) => pattern(context, "zero")]);
  }
  return html(
    "div",
    { class: "legend" },
    html("span", { class: "title" }, METRICS[metric].title),
    html("div", { class: "legend-bar" }, 
      bar(METRICS[metric].reversed ? REVERSED : TABLE), ...ticks),
    ...others.map(([text, fill]) =>
      html("span", { class: "legend-other" }, swatch(fill), text)),
  );
}
