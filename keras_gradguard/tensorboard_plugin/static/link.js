// A link to a run, a layer and a step, in the part of the address that
// TensorBoard leaves to plugins.

const PLUGIN = "keras_gradguard";
const KEYS = ["run", "metric", "layer", "step", "first", "last"];

function host() {
  try {
    return window.parent.location.href && window.parent;
  } catch {
    return window; // embedded by somebody else
  }
}

/** What the address asks for: a dict of text, without what it does not say. */
export function readLink(address = host().location.hash) {
  const asked = new URLSearchParams(address.replace(/^#/, ""));
  const found = {};
  for (const key of KEYS) {
    const value = asked.get(`p.${PLUGIN}.${key}`);
    if (value !== null) found[key] = value;
  }
  found.others = asked.getAll(`p.${PLUGIN}.with`);
  return found;
}

/** The address of what is shown. */
export function makeLink(view) {
  const asked = new URLSearchParams();
  for (const key of KEYS) {
    if (view[key] !== undefined && view[key] !== null) {
      asked.set(`p.${PLUGIN}.${key}`, view[key]);
    }
  }
  for (const run of view.others ?? []) asked.append(`p.${PLUGIN}.with`, run);
  const { origin, pathname, search } = host().location;
  return `${origin}${pathname}${search}#${PLUGIN}&${asked}`;
}
