// The plugin's own routes. JSON has no NaN: the server sends it as a string.

async function get(route, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const reply = await fetch(query ? `./${route}?${query}` : `./${route}`);
  if (!reply.ok) {
    const error = new Error(`TensorBoard answered ${reply.status} to ${route}`);
    error.status = reply.status;
    throw error;
  }
  return reply.json();
}

/** A number as the server sends it: null is "not measured". */
export function toNumber(value) {
  return typeof value === "string" ? Number(value) : value;
}

function toNumbers(values) {
  return values.map(toNumber);
}

function convertSeries(series) {
  return Object.fromEntries(
    Object.entries(series).map(([key, values]) =>
      [key, Array.isArray(values) ? toNumbers(values) : values]),
  );
}

function convertAll(table) {
  return Object.fromEntries(
    Object.entries(table).map(([name, entry]) => [name, convertSeries(entry)]),
  );
}

export function getRuns() {
  return get("runs");
}

function within(zoom) {
  return zoom ? { first: zoom[0], last: zoom[1] } : {};
}

/** A line about each run. */
export function getSummaries() {
  return get("summaries");
}

/** Address of a table of the raw numbers. */
export function tableAddress(run, metric, zoom) {
  return `./table?${new URLSearchParams({ run, metric, ...within(zoom) })}`;
}

export async function getOverview(run, points, zoom) {
  const data = await get("overview", { run, points, ...within(zoom) });
  data.series = convertAll(data.series);
  return data;
}

/** Layers by steps; `at(column, layer)` is null where not measured. */
export async function getMatrix(run, metric, columns, zoom, cells) {
  const data = await get(
    "matrix", { run, metric, columns, cells, ...within(zoom) });
  const bytes = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
  const layers = data.rows.length;
  return {
    metric,
    cells,
    rows: data.rows,
    starts: data.starts,
    end: data.end,
    low: data.low,
    high: data.high,
    at(column, layer) {
      const value = values[column * layers + layer];
      if (Number.isNaN(value)) return null;
      return value < 0 ? NaN : value;
    },
    /** Column that holds a step. */
    columnOf(step) {
      // Another run may be longer.
      if (step >= data.end) return -1;
      let low = 0;
      let high = data.starts.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (data.starts[middle] <= step) low = middle + 1;
        else high = middle;
      }
      return low - 1;
    },
  };
}

export async function getLayer(run, layer, points, zoom) {
  const data = await get("layer", { run, layer, points, ...within(zoom) });
  return convertAll(data.metrics);
}

export async function getProfile(run, step) {
  const data = await get("profile", { run, step: Math.max(0, step) });
  return convertAll(data.metrics);
}

/** Gradients through time of the measurement up to a step. */
export async function getTimes(run, step) {
  const data = await get("times", { run, step: Math.max(0, step) });
  return { ...data, layers: data.layers.map(
    (layer) => ({ ...layer, norms: toNumbers(layer.norms) })) };
}
