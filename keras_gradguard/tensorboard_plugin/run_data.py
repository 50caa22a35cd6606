"""One run, put together from the chunks in its event files. NumPy only."""

import dataclasses
import math

import numpy as np

from keras_gradguard.reporting.tensorboard.chunks import BY_SITE
from keras_gradguard.reporting.tensorboard.chunks import FINDINGS_TAG
from keras_gradguard.reporting.tensorboard.chunks import LAYERS_TAG
from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.reporting.tensorboard.chunks import RECORDS_TAG
from keras_gradguard.reporting.tensorboard.chunks import unpack


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

    def rows(self, metric):
        """Return the list of layers that a metric is measured of."""
        return self.sites if metric in BY_SITE else self.layers


def assemble(data):
    """Put the chunks of a run together.

    A later fit in the same directory replaces what an earlier one says of the
    same steps, as does a run that was resumed from a checkpoint. Chunks that
    cannot be read are left out.

    Args:
        data: Dict of tag to list of chunks, each a sequence of bytes.

    Returns:
        A `RunData`, or None if the layers are not known.
    """
    layers = _in_order(data.get(LAYERS_TAG, ()), "layers", list)
    if not layers:
        return None
    about = layers[-1][0]
    names = [str(name) for name in about["layers"]]
    # Sessions of another model cannot stand in one picture with the last.
    same = {
        header["session"]
        for header, _ in layers
        if [str(name) for name in header["layers"]] == names
    }
    chunks = [
        chunk
        for chunk in _in_order(data.get(RECORDS_TAG, ()), "epochs", list)
        if chunk[0]["session"] in same
    ]
    starts = _first_steps(chunks)
    steps, shared = _shared(chunks, starts)
    sites = [str(name) for name in about.get("sites") or ()]
    active = np.zeros(len(names), bool)
    for header, _ in layers:
        mask = header.get("active")
        if header["session"] in same and _is_list(mask, len(names)):
            active |= np.array(mask, bool)
    classes = about.get("classes")
    meta = about.get("meta")
    findings = _in_order(data.get(FINDINGS_TAG, ()), "findings", list)
    return RunData(
        names,
        sites,
        [str(c) for c in classes]
        if _is_list(classes, len(names))
        else [""] * len(names),
        active,
        meta if isinstance(meta, dict) else {},
        steps,
        shared,
        _metrics(chunks, starts, len(names), len(sites)),
        _epochs(chunks, starts),
        _findings(findings, starts, same),
        _last_step(chunks, steps),
    )


def _is_list(value, length):
    return isinstance(value, list) and len(value) == length


def _in_order(parts, key, kind):
    """Return readable chunks as (header, arrays), in order of writing."""
    chunks = []
    for part in parts:
        try:
            header, arrays = unpack(part)
            order = (float(header["session"]), int(header["part"]))
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(header.get(key), kind):
            chunks.append((order, header, arrays))
    chunks.sort(key=lambda chunk: chunk[0])
    return [(header, arrays) for _, header, arrays in chunks]


def _first_steps(chunks):
    """Return, by session, the step at which the next one takes over."""
    first = {}
    for header, arrays in chunks:
        steps = arrays.get("step")
        if steps is not None and len(steps):
            first.setdefault(header["session"], int(steps[0]))
    ends, end = {}, math.inf
    for session in sorted(first, reverse=True):
        ends[session] = end
        end = min(end, first[session])
    return ends


def _shared(chunks, ends):
    names = {
        name
        for _, arrays in chunks
        for name in arrays
        if name.startswith("shared/")
    }
    steps, columns = [], {name: [] for name in names}
    for header, arrays in chunks:
        at = arrays.get("step")
        if at is None:
            continue
        keep = at < ends.get(header["session"], math.inf)
        steps.append(at[keep])
        for name, parts in columns.items():
            values = arrays.get(name)
            if values is None or len(values) != len(at):
                values = np.full(len(at), np.nan, np.float32)
            parts.append(values[keep])
    if not steps:
        return np.zeros(0, np.int64), {}
    return np.concatenate(steps), {
        name.removeprefix("shared/"): np.concatenate(parts)
        for name, parts in columns.items()
    }


def _metrics(chunks, ends, layers, sites):
    metrics = {}
    for name in METRICS:
        rows = sites if name in BY_SITE else layers
        steps, values = [], []
        for header, arrays in chunks:
            at, part = arrays.get(f"{name}/step"), arrays.get(name)
            if part is None or at is None or part.shape != (len(at), rows):
                continue
            keep = at < ends.get(header["session"], math.inf)
            steps.append(at[keep])
            values.append(part[keep])
        if steps:
            metrics[name] = (np.concatenate(steps), np.concatenate(values))
    return metrics


def _epochs(chunks, ends):
    found = {}
    for header, _ in chunks:
        for epoch in header["epochs"]:
            if not (_is_list(epoch, 3) and isinstance(epoch[2], dict)):
                continue
            if epoch[1] < ends.get(header["session"], math.inf):
                found[epoch[1]] = epoch
    return [found[step] for step in sorted(found)]


def _last_step(chunks, steps):
    if not len(steps):
        return -1
    # The last chunk is of the session that has the last word.
    told = chunks[-1][0].get("last_step")
    return max(int(steps[-1]), told if isinstance(told, int) else -1)


def _findings(chunks, ends, sessions):
    """Return the findings of each session's last word."""
    last = {
        header["session"]: header["findings"]
        for header, _ in chunks
        if header["session"] in sessions
    }
    if not last:
        return None
    return [
        finding
        for session, findings in sorted(last.items())
        for finding in findings
        if _is_finding(finding)
        and finding["first_step"] < ends.get(session, math.inf)
    ]


def _is_finding(data):
    kinds = {
        "rule": str,
        "severity": str,
        "message": str,
        "layers": list,
        "remedies": list,
        "first_step": int,
        "last_step": int,
    }
    return isinstance(data, dict) and all(
        isinstance(data.get(key), kind) for key, kind in kinds.items()
    )
