"""One run, put together from the chunks in its event files. NumPy only."""

import dataclasses
import math
from typing import Any

import numpy as np

from keras_gradguard.reporting.tensorboard.chunks import BY_SITE
from keras_gradguard.reporting.tensorboard.chunks import BY_VARIABLE
from keras_gradguard.reporting.tensorboard.chunks import FINDINGS_TAG
from keras_gradguard.reporting.tensorboard.chunks import LAYERS_TAG
from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.reporting.tensorboard.chunks import RECORDS_TAG
from keras_gradguard.tensorboard_plugin.reading import Reader
from keras_gradguard.tensorboard_plugin.reading import in_order
from keras_gradguard.tensorboard_plugin.reading import is_step
from keras_gradguard.trace.through_time import TIMES


@dataclasses.dataclass(slots=True)
class RunData:
    """A run as the tab shows it.

    Args:
        layers: List of L str, in forward order.
        sites: List of A str. Layers whose activation can die.
        variables: List of V str.
        classes: List of L str.
        active: Bool array (L,). Layers that get a gradient.
        variables_active: Bool array (V,). Variables that get one.
        meta: Dict of what is known of the run.
        steps: Int array (T,), rising.
        shared: Dict of name to float array (T,).
        recurrent: List of N str. Layers measured through time.
        times: Tuple of int arrays (K,) of steps and (K, N) of time steps, and
            float array (K, N, `trace.through_time.TIMES`) of norms.
        metrics: Dict of name to (int array (M,), float array (M, R) of means,
            the same of maxima); R are the `rows` of the metric.
        epochs: List of [number, last step, dict of logs].
        findings: List of dicts in the order of the report, each effect behind
            its cause; None if none were written yet.
        gone: List of dicts. Findings that were resolved or withdrawn.
        not_judged: List of str. Why it may not be called healthy.
        last_step: Int. The last step that was recorded, -1 if none was.
        left_out: Dict of reason to how much was left out for it, because it
            could not be read.
    """

    layers: list
    sites: list
    variables: list
    classes: list
    active: np.ndarray
    variables_active: np.ndarray
    meta: dict
    steps: np.ndarray
    shared: dict
    recurrent: list
    times: tuple
    metrics: dict
    epochs: list
    findings: list | None
    gone: list
    not_judged: list
    last_step: int
    left_out: dict

    @property
    def nbytes(self):
        """Bytes of its arrays."""
        arrays = [*self.shared.values(), *self.times]
        for steps, values, high in self.metrics.values():
            arrays += [steps, values, *([] if high is values else [high])]
        return sum(array.nbytes for array in arrays)

    def rows(self, metric):
        """Return the list of layers that a metric is measured of."""
        if metric in BY_VARIABLE:
            return self.variables
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
    named = [
        (chunk, names)
        for chunk in reader.chunks(data.get(LAYERS_TAG, ()), "layers", "layers")
        if (names := reader.texts(chunk.header["layers"], "layers: `layers`"))
    ]
    if not named:
        return _unknown(reader) if reader.left_out else None
    about, names = named[-1][0].header, named[-1][1]
    # Sessions of another model cannot stand in one picture with the last.
    of_this = [chunk for chunk, layers in named if layers == names]
    same = {chunk.session for chunk in of_this}
    chunks = [
        chunk
        for chunk in reader.chunks(
            data.get(RECORDS_TAG, ()), "records", "epochs"
        )
        if chunk.session in same
    ]
    sites, variables, recurrent = (
        reader.texts(about.get(name) or [], f"layers: `{name}`") or []
        for name in ("sites", "variables", "recurrent")
    )
    series = [
        reader.series(chunk, len(names), len(sites), len(variables))
        for chunk in chunks
    ]
    ends = _first_steps(chunks, series)
    steps, shared = _shared(chunks, series, ends)
    classes = reader.texts(about.get("classes"), "layers: `classes`")
    if classes is None or len(classes) != len(names):
        classes = [""] * len(names)
    meta = about.get("meta")
    found = reader.chunks(data.get(FINDINGS_TAG, ()), "findings", "findings")
    findings, gone, not_judged = _findings(reader, found, ends, same)
    return RunData(
        names,
        sites,
        variables,
        classes,
        _active(reader, of_this, len(names)),
        _with_gradient(reader, about, len(variables)),
        meta if isinstance(meta, dict) else {},
        steps,
        shared,
        recurrent,
        _times(reader, chunks, ends, len(recurrent)),
        _metrics(chunks, series, ends),
        _epochs(reader, chunks, ends),
        findings,
        gone,
        not_judged,
        _last_step(chunks, steps),
        reader.left_out,
    )


def _active(reader, chunks, layers):
    """Which layers got a gradient in any session."""
    active = np.zeros(layers, bool)
    for chunk in chunks:
        mask = reader.flags(chunk.header.get("active"), layers)
        if mask is not None:
            active |= mask
    return active


def _with_gradient(reader, about, variables):
    """Which variables get a gradient; all where it is not known."""
    if not variables:
        return np.zeros(0, bool)
    mask = reader.flags(about.get("variables_active"), variables)
    return np.ones(variables, bool) if mask is None else mask


def _unknown(reader):
    """A run of which nothing can be read but that it is there."""
    none = np.zeros(0, np.int64)
    return RunData(
        layers=[],
        sites=[],
        variables=[],
        classes=[],
        active=none > 0,
        variables_active=none > 0,
        meta={},
        steps=none,
        shared={},
        recurrent=[],
        times=_no_times(0),
        metrics={},
        epochs=[],
        findings=None,
        gone=[],
        not_judged=[],
        last_step=-1,
        left_out=reader.left_out,
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
        parts, rows, tops = [], [], []
        for chunk, (_, _, metrics) in zip(chunks, series, strict=True):
            if name not in metrics:
                continue
            at, values, high = metrics[name]
            keep = at < ends.get(chunk.session, math.inf)
            parts.append(at[keep])
            rows.append(values[keep])
            tops.append(rows[-1] if high is values else high[keep])
        if parts:
            steps, order = _in_order(parts)
            mean = high = np.concatenate(rows)[order]
            if any(a is not b for a, b in zip(rows, tops, strict=True)):
                high = np.concatenate(tops)[order]
            found[name] = (steps, mean, high)
    return found


def _no_times(layers):
    return (
        np.zeros(0, np.int64),
        np.zeros((0, layers), np.int64),
        np.zeros((0, layers, TIMES), np.float32),
    )


def _times(reader, chunks, ends, layers):
    found = [_no_times(layers)]
    for chunk in chunks if layers else ():
        part = reader.times(chunk, layers)
        if part is not None:
            keep = part[0] < ends.get(chunk.session, math.inf)
            found.append(tuple(values[keep] for values in part))
    steps, order = _in_order([part[0] for part in found])
    return (
        steps,
        *(np.concatenate([part[i] for part in found])[order] for i in (1, 2)),
    )


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
    last = chunks[-1].header.get("last_step")
    return max(int(steps[-1]), last if is_step(last) else -1)


def _findings(reader, chunks, ends, sessions):
    """Return each session's last word: findings, those gone, not judged."""
    last = {chunk.session: chunk for chunk in chunks}
    last = {s: chunk for s, chunk in last.items() if s in sessions}
    if not last:
        return None, [], []

    def standing(read):
        return [
            finding
            for session, chunk in sorted(last.items())
            for finding in read(chunk)
            if finding["first_step"] < ends.get(session, math.inf)
        ]

    reasons = reader.not_judged(last[max(last)])
    return in_order(standing(reader.findings)), standing(reader.gone), reasons
