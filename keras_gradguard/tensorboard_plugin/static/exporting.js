// The heat map as a picture, the numbers behind it as a table.

import { tableAddress } from "./api.js";
import { html, themeColor } from "./dom.js";
import { METRICS, power, metricValue } from "./format.js";

const HEAD = 44;
const FOOT = 40;

function save(address, name) {
  html("a", { href: address, download: name }).click();
}

function nameOf(panel, ending) {
  const run = panel.run.replace(/[^\w.-]+/g, "_");
  return `gradguard_${run}_${panel.metric}.${ending}`;
}

/** The map of a panel with its title, verdict and colours. */
function picture(panel, bar) {
  const { canvas } = panel.map;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.width / ratio, canvas.height / ratio];
  const page = html("canvas", {
    width: canvas.width, height: Math.round((height + HEAD + FOOT) * ratio) });
  const context = page.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = themeColor("surface");
  context.fillRect(0, 0, width, height + HEAD + FOOT);
  context.fillStyle = themeColor("text");
  context.font = "600 14px system-ui, sans-serif";
  context.textBaseline = "top";
  context.fillText(`${panel.run}: ${METRICS[panel.metric].title}`, 6, 5);
  context.font = "12px system-ui, sans-serif";
  context.fillText(
    panel.head.querySelector(".verdict")?.lastChild.textContent ?? "", 6, 24);
  context.drawImage(canvas, 0, HEAD, width, height);
  if (!bar) return page;
  const y = HEAD + height + 8;
  const left = panel.time.left;
  context.drawImage(bar, left, y, bar.width, 12);
  context.textAlign = "center";
  context.font = "11px system-ui, sans-serif";
  for (const [value, exponent] of panel.scale.ticks(6)) {
    context.fillText(
      exponent === null ? metricValue(panel.metric, value) : power(exponent),
      left + panel.scale.share(value) * bar.width, y + 15);
  }
  return page;
}

export function savePicture(panel) {
  const bar = document.querySelector(".legend-bar canvas");
  picture(panel, bar).toBlob((blob) => {
    const address = URL.createObjectURL(blob);
    save(address, nameOf(panel, "png"));
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });
}

export function saveTable(panel) {
  save(tableAddress(panel.run, panel.metric, panel.view.zoom),
    nameOf(panel, "csv"));
}
