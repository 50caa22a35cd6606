// What was found: marks on the time axis and words with remedies.

import { html } from "./dom.js";
import { integer, many, shorten } from "./format.js";

/** Findings, the worst first, then in order of their first step. */
export function ranked(findings) {
  const rank = (finding) => (finding.severity === "critical" ? 0 : 1);
  return [...(findings ?? [])].sort(
    (a, b) => rank(a) - rank(b) || a.first_step - b.first_step);
}

/** The verdict on a run: {text, tone}. */
export function verdict(overview) {
  const { findings } = overview;
  if (!findings?.length) {
    return findings === null
      ? { text: "Nothing found so far", tone: "pending" }
      : { text: "Healthy: nothing found", tone: "good" };
  }
  const bad = findings.filter((f) => f.severity === "critical").length;
  const count = many(findings.length, "problem");
  let worst = "";
  if (bad) {
    worst = bad === findings.length ? ", critical" : `, ${bad} critical`;
  }
  const rules = ranked(findings).slice(0, 3).map((finding) =>
    `${finding.rule} since step ${integer(finding.first_step)}`);
  const more = findings.length > 3 ? ", …" : "";
  return {
    text: `${count} found${worst}: ${rules.join(", ")}${more}`,
    tone: bad ? "critical" : "warning",
  };
}

const SIGNS = { critical: "!", warning: "?", good: "✓", pending: "…" };

/** The verdict as a line with a sign of its own, not colour alone. */
export function verdictLine(overview) {
  const { text, tone } = verdict(overview);
  return html("p", { class: `verdict ${tone}` },
    html("span", { class: "sign", "aria-hidden": true }, SIGNS[tone]), text);
}

/** A line that says what could not be read, null if all could. */
export function leftOutLine(overview) {
  const { parts, reasons } = overview.left_out ?? { parts: 0 };
  if (!parts) return null;
  const rest = parts > reasons.length ? "; …" : "";
  return html("p", { class: "left-out", role: "status" },
    `${many(parts, "part")} of this run's event files could not be read ` +
    `and ${parts === 1 ? "is" : "are"} left out: ${reasons.join("; ")}${rest}.`);
}

/** Marks over the time axis, numbered as the list is. */
export function markers(findings, time, onPick) {
  const row = html("div", { class: "markers", role: "group",
    "aria-label": "Findings on the time axis" });
  const ends = [];
  findings.forEach((finding, i) => {
    const x = time.x(finding.first_step);
    // Marks that would overlap go side by side.
    let left = Math.min(time.right - 10, Math.max(time.left, x));
    while (ends.some((end) => Math.abs(end - left) < 22)) left += 22;
    ends.push(left);
    row.append(html("button", {
      class: `marker ${finding.severity}`,
      style: { left: `${left}px` },
      title: `${finding.rule}, since step ${integer(finding.first_step)}`,
      "aria-label": `Finding ${i + 1}: ${finding.rule}, ` +
        `${finding.severity}, since step ${finding.first_step}`,
      onclick: () => onPick(finding),
    }, String(i + 1)));
  });
  return row;
}

function remedyItem(remedy) {
  const parts = [html("strong", {}, remedy.title), ". ", remedy.why];
  if (remedy.code) {
    parts.push(html("details", {},
      html("summary", {}, "Code"),
      html("pre", { tabindex: 0 }, remedy.code)));
  }
  return html("li", {}, ...parts);
}

function layerButtons(finding, layers, onPick) {
  const shown = finding.layers.slice(0, 6);
  const parts = shown.map((layer) =>
    layers.includes(layer)
      ? html("button", {
        class: "chip", title: layer, onclick: () => onPick(finding, layer),
      }, shorten(layer, 34))
      : html("span", { class: "chip" }, shorten(layer, 34)));
  const more = finding.layers.length - shown.length;
  if (more > 0) parts.push(html("span", { class: "dim" }, `and ${more} more`));
  return html("p", { class: "chips" }, ...parts);
}

/** The list of findings in words. `onPick(finding, layer?)` opens one. */
export function findingsList(findings, layers, onPick) {
  return findings.map((finding, i) => {
    const epoch = Number.isInteger(finding.epoch)
      ? ` (epoch ${finding.epoch + 1})` : "";
    return html("article", { class: `finding ${finding.severity}` },
      html("h3", {},
        html("button", {
          class: `marker ${finding.severity}`,
          "aria-label": `Show finding ${i + 1} in the heat map`,
          onclick: () => onPick(finding),
        }, String(i + 1)),
        html("span", { class: "rule" }, finding.rule),
        html("span", { class: "dim" }, finding.severity)),
      html("p", { class: "dim" },
        `Steps ${integer(finding.first_step)} to ` +
        `${integer(finding.last_step)}${epoch}`),
      html("p", {}, finding.message),
      ...(finding.layers.length
        ? [layerButtons(finding, layers, onPick)] : []),
      ...(finding.remedies?.length
        ? [html("h4", {}, "What to do"),
          html("ul", {}, ...finding.remedies.map(remedyItem))]
        : []));
  });
}
