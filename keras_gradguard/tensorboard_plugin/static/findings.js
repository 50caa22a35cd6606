// What was found: marks on the time axis and words with remedies.

import { copyButton } from "./clipboard.js";
import { html } from "./dom.js";
import { integer, many, shorten, withoutCommonStart } from "./format.js";

/** The verdict on a run: {text, tone}. */
export function verdict({ findings, not_judged: reasons = [],
  first_step: first, last_step: last }) {
  if (!findings?.length) {
    if (findings === null) {
      return { text: "Nothing found so far", tone: "pending" };
    }
    return reasons.length
      ? { text: `No problem found in ${many(last + 1 - first, "step")}; ${
        reasons[0]}`, tone: "unknown" }
      : { text: "Healthy: nothing found", tone: "good" };
  }
  const bad = findings.filter((f) => f.severity === "critical").length;
  const count = many(findings.length, "problem");
  let worst = "";
  if (bad) {
    worst = bad === findings.length ? ", critical" : `, ${bad} critical`;
  }
  const rules = findings.slice(0, 3).map((finding) =>
    `${finding.rule} since step ${integer(finding.first_step)}`);
  const more = findings.length > 3 ? ", …" : "";
  return {
    text: `${count} found${worst}: ${rules.join(", ")}${more}`,
    tone: bad ? "critical" : "warning",
  };
}

/** A sign for each tone: not colour alone. */
export const SIGNS = { critical: "!", warning: "?", good: "✓", unknown: "–",
  pending: "…" };

/** The verdict as a line with a sign of its own, not colour alone. */
export function verdictLine(overview) {
  const { text, tone } = verdict(overview);
  return html("p", { class: `verdict ${tone}` },
    html("span", { class: "sign", "aria-hidden": "true" }, SIGNS[tone]), text);
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

/** Text in which `code` stands between backticks. */
function withCode(text) {
  return (text ?? "").split(/`([^`]+)`/).map((part, i) =>
    (i % 2 ? html("code", {}, part) : part));
}

function remedyItem(remedy) {
  const parts = [html("strong", {}, remedy.title), ". ",
    ...withCode(remedy.why)];
  if (remedy.code) {
    parts.push(html("details", {},
      html("summary", {}, "Code"),
      html("div", { class: "code" },
        copyButton("Copy", () => remedy.code),
        html("pre", { tabindex: 0 }, remedy.code))));
  }
  return html("li", {}, ...parts);
}

/** Text that may be broken behind a folder or a word of a path only. */
function breakable(text) {
  return text.split(/(?<=[/_])(?=\S)/).flatMap((part, i) =>
    (i ? [html("wbr"), part] : [part]));
}

/** The first sentence, and the rest folded away. */
function message(finding, prefix) {
  const text = finding.message;
  const short = prefix ? text.replaceAll(prefix, "") : text;
  const end = short.search(/[.!?] [A-Z]/) + 1;
  const rest = short.slice(end).trim();
  if (!end || rest.length < 60) return [html("p", {}, ...breakable(short))];
  return [html("p", {}, ...breakable(short.slice(0, end))),
    html("details", {}, html("summary", {}, "More"),
      html("p", {}, ...breakable(rest)))];
}

/** The end of a path, where neighbours differ. */
function ending(path, most = 44) {
  if (path.length <= most) return path;
  const folders = path.split("/");
  while (folders.length > 1 && folders.join("/").length > most - 2) {
    folders.shift();
  }
  return shorten(folders.length > 1 || path.includes("/")
    ? `…/${folders.join("/")}` : path, most);
}

/** The layers that stand as buttons on the card of a finding. */
export function namedLayers(finding) {
  return finding.layers.slice(0, 6);
}

function layerButtons(finding, layers, onPick) {
  const shown = namedLayers(finding);
  const parts = shown.map((layer) =>
    layers.includes(layer)
      ? html("button", {
        class: "chip", title: layer, onclick: () => onPick(finding, layer),
      }, ending(layer))
      : html("span", { class: "chip" }, ending(layer)));
  const more = finding.layers.length - shown.length;
  if (more > 0) parts.push(html("span", { class: "dim" }, `and ${more} more`));
  return html("p", { class: "chips" }, ...parts);
}

const LIVES = { confirmed: "confirmed", raised: "new" };

function life(finding) {
  const epoch = Number.isInteger(finding.epoch)
    ? ` (epoch ${finding.epoch + 1})` : "";
  return `Steps ${integer(finding.first_step)} to ` +
    `${integer(finding.last_step)}${epoch}`;
}

/** Folder that all layers are in, with its slash; "" if there is none. */
function prefixOf(layers) {
  const [short] = withoutCommonStart(layers);
  return layers.length > 1
    ? layers[0].slice(0, layers[0].length - short.length) : "";
}

function card(finding, i, { layers, prefix, onPick }) {
  const state = LIVES[finding.status];
  return html("article", {
    class: `finding ${finding.severity} ${finding.cause ? "effect" : ""}` },
  html("h4", {},
    html("button", {
      class: `marker ${finding.severity}`,
      "aria-label": `Show finding ${i + 1} in the heat map`,
      onclick: () => onPick(finding),
    }, String(i + 1)),
    html("span", { class: "rule" }, finding.rule),
    html("span", { class: "dim" }, finding.severity +
      (state ? `, ${state}` : ""))),
  finding.cause
    ? html("p", { class: "follows" }, `Follows from ${finding.cause}`) : null,
  html("p", { class: "dim" }, life(finding)),
  ...message(finding, prefix),
  ...(finding.layers.length ? [layerButtons(finding, layers, onPick)] : []),
  // An effect goes when its cause does: it has no remedies of its own.
  ...(finding.remedies?.length && !finding.cause
    ? [html("h5", {}, "What to do"),
      html("ul", {}, ...finding.remedies.map(remedyItem))]
    : []));
}

/** Findings that a run has outgrown, or that another one explains. */
function goneList(gone, prefix) {
  if (!gone?.length) return [];
  const items = gone.map((finding) => html("li", {},
    html("strong", {}, finding.status === "resolved"
      ? `Resolved at step ${integer(finding.resolved_step ?? 0)}: `
      : "Withdrawn: "),
    `${finding.rule} since step ${integer(finding.first_step)}. `,
    ...message(finding, prefix)));
  return [html("details", { class: "gone" },
    html("summary", {}, `${many(gone.length, "finding")} no longer ` +
      `${gone.length === 1 ? "stands" : "stand"}`),
    html("ul", {}, ...items))];
}

/**
 * The findings of a run in words, in the order of the report.
 * `onPick(finding, layer?)` opens one.
 */
export function findingsList(overview, onPick) {
  const { findings, gone, layers } = overview;
  const prefix = prefixOf(layers);
  const cards = (findings ?? []).map((finding, i) =>
    card(finding, i, { layers, prefix, onPick }));
  if (!cards.length) {
    cards.push(html("p", { class: "dim" }, findings === null
      ? "The rules look at the record again and again while it grows. " +
        "They have found nothing so far."
      : "No rule has found a problem."));
    const { not_judged: reasons, first_step: first, last_step: last } = overview;
    const steps = many(last + 1 - first, "step");
    for (const reason of reasons ?? []) {
      cards.push(html("p", { class: "dim" },
        `Not judged in ${steps}: ${reason}.`));
    }
  }
  return [...cards, ...goneList(gone, prefix)];
}
