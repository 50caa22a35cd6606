"""One run, put together from the chunks in its event files. NumPy only."""

import dataclasses
import math
from typing import Any

import numpy as np

from keras_gradguard.reporting.tensorboard.chunks import BY_SITE
from keras_gradguard.reporting.tensorboard.chunks import FINDINGS_TAG
from keras_gradguard.reporting.tensorboard.chunks import LAYERS_TAG
from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.reporting.tensorboard.chunks import RECORDS_TAG
from keras_gradguard.tensorboard_plugin.reading import Reader
from keras_gradguard.tensorboard_plugin.reading import is_step


@dataclasses.dataclass(slots=True)
class RunData:
    """A run as the tab shows it.

    Args:
        layers: List of L str, in forward order.
        sites: List of A str. Layers whose activation can die.
        classes: List of L str.
        active: Bool array (L,). Layers that get a gradient.
        meta: Dict of what is known of the run.
        steps: Int array (T,), rising.
        shared: Dict of name to float array (T,).
        metrics: Dict of name to (int array (M,), float array (M, R)); R are
            the `rows` of the metric.
        epochs: List of [number, last step, dict of logs].
        findings: List of dicts, None if none were written yet.
        last_step: Int. The last step that was recorded, -1 if none was.
        left_out: Dict of reason to how much was left out for it, because it
            could not be read.
    """

    layers: list
    sites: list
    classes: list
    active: np.ndarray
    meta: dict
    steps: np.ndarray
    shared: dict
    metrics: dict
    epochs: list
    findings: list | None
    last_step: int
    left_out: dict

    def rows(self, metric):
        """Return the list of layers that a metric is measured of."""
        return self.sites if metric in BY_SITE else self.layers


def assemble(data):
    """Put the chunks of a run together.

    A later fit in the same directory replaces what an earlier one says of the
    same steps, as does a run that was resumed from a checkpoint. What cannot
    be read is left out and counted.

    Args:
        data: Dict of tag to list of chunks, each a sequence of bytes.

    Returns:
        A `RunData`, or None if there is nothing that tells of layers.
    """
    reader = Reader()
    told = [
        (chunk, names)
        for chunk in reader.chunks(data.get(LAYERS_TAG, ()), "layers", "layers")
        if (names := reader.texts(chunk.header["layers"], "layers: `layers`"))
    ]
    if not told:
        return _unknown(reader) if reader.left_out else None
    about, names = told[-1][0].header, told[-1][1]
    # Sessions of another model cannot stand in one picture with the last.
    of_this = [chunk for chunk, layers in told if layers == names]
    same = {chunk.session for chunk in of_this}
    chunks = [
        chunk
        for chunk in reader.chunks(
            data.get(RECORDS_TAG, ()), "records", "epochs"
        )
        if chunk.session in same
    ]
    sites = reader.texts(about.get("sites") or [], "layers: `sites`") or []
    series = [reader.series(c, len(names), len(sites)) for c in chunks]
    ends = _first_steps(chunks, series)
    steps, shared = _shared(chunks, series, ends)
    active = np.zeros(len(names), bool)
    for chunk in of_this:
        mask = reader.flags(chunk.header.get("active"), len(names))
        if mask is not None:
            active |= mask
    classes = reader.texts(about.get("classes"), "layers: `classes`")
    if classes is None or len(classes) != len(names):
        classes = [""] * len(names)
    meta = about.get("meta")
    found = reader.chunks(data.get(FINDINGS_TAG, ()), "findings", "findings")
    return RunData(
        names,
        sites,
        classes,
        active,
        meta if isinstance(meta, dict) else {},
        steps,
        shared,
        _metrics(chunks, series, ends),
        _epochs(reader, chunks, ends),
        _findings(reader, found, ends, same),
        _last_step(chunks, steps),
        reader.left_out,
    )


def _unknown(reader):
    """A run of which nothing can be read but that it is there."""
    none = np.zeros(0, np.int64)
    return RunData(
        [], [], [], none > 0, {}, none, {}, {}, [], None, -1, reader.left_out
    )


def _first_steps(chunks, series):
    """Return, by session, the step at which the next one takes over."""
    first: dict = {}
    for chunk, (steps, _, _) in zip(chunks, series, strict=True):
        if steps is not None and len(steps):
            first.setdefault(chunk.session, int(steps[0]))
    ends, end = {}, math.inf
    for session in sorted(first, reverse=True):
        ends[session] = end
        end = min(end, first[session])
    return ends


def _shared(chunks, series, ends):
    names = {name for _, shared, _ in series for name in shared}
    parts: list = []
    columns: dict = {name: [] for name in names}
    for chunk, (at, shared, _) in zip(chunks, series, strict=True):
        if at is None:
            continue
        keep = at < ends.get(chunk.session, math.inf)
        parts.append(at[keep])
        for name, column in columns.items():
            values = shared.get(name)
            if values is None:
                values = np.full(len(at), np.nan, np.float32)
            column.append(values[keep])
    if not parts:
        return np.zeros(0, np.int64), {}
    steps, order = _in_order(parts)
    return steps, {
        name: np.concatenate(column)[order] for name, column in columns.items()
    }


def _metrics(chunks, series, ends):
    found = {}
    for name in METRICS:
        parts, rows = [], []
        for chunk, (_, _, metrics) in zip(chunks, series, strict=True):
            if name not in metrics:
                continue
            at, values = metrics[name]
            keep = at < ends.get(chunk.session, math.inf)
            parts.append(at[keep])
            rows.append(values[keep])
        if parts:
            steps, order = _in_order(parts)
            found[name] = (steps, np.concatenate(rows)[order])
    return found


def _in_order(parts):
    """Return the steps of all parts, rising, and how to sort their values."""
    steps = np.concatenate(parts)
    order: Any = slice(None)
    if (np.diff(steps) < 0).any():
        # Only if a part lies about its number.
        order = np.argsort(steps, kind="stable")
    return steps[order], order


def _epochs(reader, chunks, ends):
    found = {}
    for chunk in chunks:
        for epoch in reader.epochs(chunk):
            if epoch[1] < ends.get(chunk.session, math.inf):
                found[epoch[1]] = epoch
    return [found[step] for step in sorted(found)]


def _last_step(chunks, steps):
    if not len(steps):
        return -1
    # The last chunk is of the session that has the last word.
    told = chunks[-1].header.get("last_step")
    return max(int(steps[-1]), told if is_step(told) else -1)


def _findings(reader, chunks, ends, sessions):
    """Return the findings of each session's last word."""
    last = {chunk.session: chunk for chunk in chunks}
    last = {s: chunk for s, chunk in last.items() if s in sessions}
    if not last:
        return None
    return [
        finding
        for session, chunk in sorted(last.items())
        for finding in reader.findings(chunk)
        if finding["first_step"] < ends.get(session, math.inf)
    ]
