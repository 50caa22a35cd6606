// Layer paths as labels: what neighbours share stands once, beside a bracket.

/** Parts of a path: its folders, or what lies between its underscores. */
function partsOf(path, byFolder) {
  if (byFolder) return path.split("/");
  const parts = [];
  for (const part of path.split("_")) {
    // A number belongs to the word before it: stage_1, conv2d_12.
    if (/^\d+$/.test(part) && parts.length) {
      parts[parts.length - 1] += `_${part}`;
    } else {
      parts.push(part);
    }
  }
  return parts;
}

function commonLength(rows) {
  const least = Math.min(...rows.map((parts) => parts.length)) - 1;
  let length = 0;
  while (length < least &&
    rows.every((parts) => parts[length] === rows[0][length])) length++;
  return length;
}

/** Runs of neighbours that share a part: {from, to, text}. */
function runsOf(keys) {
  const runs = [];
  keys.forEach((key, i) => {
    const last = runs[runs.length - 1];
    if (last && key !== null && last.key === key) last.to = i + 1;
    else runs.push({ from: i, to: i + 1, key });
  });
  return runs.filter(({ from, to, key }) => key !== null && to - from > 1);
}

/**
 * Labels of paths: `leaves`, one text per row, and `levels`, at most two lists
 * of groups {from, to, text, path}, the outer ones first.
 */
export function labelsOf(paths) {
  if (paths.length < 2) return { leaves: paths, levels: [] };
  let rows = paths.map((path) => partsOf(path, true));
  let start = commonLength(rows);
  rows = rows.map((parts) => parts.slice(start));
  const separator = rows.some((parts) => parts.length > 1) ? "/" : "_";
  if (separator === "_") {
    rows = rows.map(([name]) => partsOf(name, false));
    start = 0;
  }
  const levels = [];
  let keys = rows.map(() => "");
  const cut = rows.map(() => 0);
  for (let level = 0; level < 2; level++) {
    keys = rows.map((parts, i) => (keys[i] !== null &&
      parts.length > level + 1 && cut[i] === level
      ? `${keys[i]}${separator}${parts[level]}` : null));
    const groups = runsOf(keys).map(({ from, to }) => ({
      from, to, text: rows[from][level],
      path: paths[from].slice(0, paths[from].lastIndexOf(
        rows[from].slice(level + 1).join(separator))),
    }));
    // One bracket around nearly everything tells nothing.
    if (!groups.length) break;
    for (const { from, to } of groups) cut.fill(level + 1, from, to);
    levels.push(groups);
  }
  return {
    leaves: rows.map((parts, i) => parts.slice(cut[i]).join(separator)),
    levels,
  };
}
