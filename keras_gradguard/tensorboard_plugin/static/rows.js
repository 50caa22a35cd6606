// Which rows of a matrix are shown: by kind, by class and by name.

const NORMALIZATION = /Normalization$/;
const SMALL_AT_FIRST = /(^|[/_])(query|key)(_dense)?(\/|$)/;
const OF_NORMALIZATION =
  /\/(gamma|beta|scale|moving_mean|moving_variance)$/;

/** Whether a row is of a kind whose gradients are of another size. */
export function isStripe(path, kind) {
  return NORMALIZATION.test(kind) || SMALL_AT_FIRST.test(path);
}

function isKernel(variable) {
  return !/\/(bias|gamma|beta|scale)$/.test(variable) &&
    !OF_NORMALIZATION.test(variable) && !SMALL_AT_FIRST.test(variable);
}

/** Choices of rows that a run has: [value, text]. */
export function choices(overview) {
  const kinds = [...new Set(overview.classes.filter(Boolean))].sort();
  const list = [["kernels", "kernels"], ["all", "all layers"]];
  if (overview.metrics.includes("variable_norm")) {
    list.push(["kernel-variables", "kernel variables"],
      ["variables", "all variables"]);
  }
  if (kinds.length > 1) {
    list.push(...kinds.map((kind) => [`class:${kind}`, `only ${kind}`]));
  }
  return list;
}

function matcher(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return () => true;
  if (!wanted.includes("*")) {
    return (path, kind) => path.toLowerCase().includes(wanted) ||
      kind.toLowerCase() === wanted;
  }
  const pattern = wanted.split("*")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  const expression = new RegExp(`^${pattern}$`);
  return (path) => expression.test(path.toLowerCase());
}

/**
 * Indices of the rows to show. `keep` are paths that are always among those of
 * a kind: what a finding is about is never hidden.
 */
export function pick(rows, overview, { rows: mode, filter }, keep) {
  const kinds = new Map(
    overview.layers.map((layer, i) => [layer, overview.classes[i] ?? ""]));
  const named = matcher(filter);
  const all = rows.map((_, i) => i);
  const kept = new Set(keep);
  const ofKind = (i) => {
    const path = rows[i];
    const kind = kinds.get(path) ?? "";
    if (mode === "kernels") return kept.has(path) || !isStripe(path, kind);
    if (mode === "kernel-variables") return isKernel(path);
    if (mode.startsWith("class:")) return kind === mode.slice(6);
    return true;
  };
  let shown = all.filter(ofKind);
  // A net of normalizations alone has no kernels to show.
  if (!shown.length && mode === "kernels") shown = all;
  return shown.filter((i) => named(rows[i], kinds.get(rows[i]) ?? ""));
}

/** A matrix with some of the rows of another. */
export function withRows(matrix, indices) {
  if (indices.length === matrix.rows.length) return matrix;
  return { ...matrix,
    rows: indices.map((i) => matrix.rows[i]),
    at: (column, row) => matrix.at(column, indices[row]) };
}
