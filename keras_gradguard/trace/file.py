"""The file format of a trace, and its form for JSON.

One `.npz`: arrays without pickle, plus a JSON header as bytes.
"""

import errno
import json
import os

import numpy as np

from keras_gradguard._files import jsonable
from keras_gradguard._files import write_atomically
from keras_gradguard._paths import check_path
from keras_gradguard._validation import check_int
from keras_gradguard._validation import shown
from keras_gradguard.trace import archive
from keras_gradguard.trace import contents
from keras_gradguard.trace import meta
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import SERIES

# Its name in the directory of a run.
IN_A_RUN = "trace.npz"
_FORMAT = "keras_gradguard.trace"
_VERSION = 1
# What a file may unpack to, whatever its size, and as a multiple of it.
_LEAST = 64 * 2**20
_TIMES = 50
_FIXES = "Pass a file that Trace.save wrote."


def save(trace, path):
    """Write `trace` to `path`, whole or not at all."""
    path = check_path("Trace.save", "path", path)
    arrays, tables = {}, {}
    recurrent = trace._time_gradients.layers.tolist()
    for table in contents.TABLES:
        if table == "times" and not recurrent:
            continue
        columns, tables[table] = getattr(trace._tables, table).state()
        for name, column in columns.items():
            arrays[f"{table}:{name}"] = column
    for name, column in (trace._tables.blocks.pending or {}).items():
        arrays[f"pending:{name}"] = column
    arrays["owners"] = trace.owners
    arrays["pinned"] = trace._tables.pinned
    arrays["of_findings"] = trace._tables.of_findings
    variables = trace._variables
    arrays["_seen_gradient"] = variables.seen_gradient
    if variables.said_gradient is not None:
        arrays["_has_gradient"] = variables.said_gradient
    if variables.sizes is not None:
        arrays["_sizes"] = variables.sizes
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "layers": trace.layers.tolist(),
        "variables": trace.variables.tolist(),
        "tables": tables,
        "extra": trace._records.extra_names,
        "sites": trace.sites.tolist(),
        "nonfinite_kept": trace._tables.nonfinite_kept,
        "found": trace.found,
    }
    if recurrent:
        header["recurrent"] = recurrent
    wrong = meta.problem(trace.meta)
    if wrong:
        raise ValueError(
            "Trace.save: `meta` must fit what is known of runs. Received: a "
            f"dict in which {wrong}. Leave out what is not known."
        )
    try:
        header["meta"] = trace.meta
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Trace.save: `meta` must hold only what JSON can: str, numbers, "
            f"bool, None, lists and dicts. {error}."
        ) from error
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load(cls, path, max_bytes=None):
    """Read a trace of class `cls` from `path`."""
    path = check_path("Trace.load", "path", path)
    if os.path.isdir(path):
        path = _of_run(path)
    if max_bytes is not None:
        max_bytes = check_int("Trace.load", "max_bytes", max_bytes, minimum=0)
    try:
        arrays = archive.read(path, lambda size: max_bytes or _limit(size))
        header = _read_header(arrays.pop("header", None))
        contents.check_header(header, max_bytes or _LEAST)
        contents.check_arrays(header, arrays)
        return _rebuild(cls, header, arrays)
    except archive.Damaged as error:
        raise ValueError(
            "Trace.load: `path` must be a saved trace. Received: "
            f"path={shown(path)}, in which {error}. {_FIXES}"
        ) from error


def _of_run(folder):
    """Return the path of the trace in the directory of a run."""
    path = os.path.join(folder, IN_A_RUN)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            errno.ENOENT,
            "Trace.load: `path` must be a trace or the log_dir of a run. "
            f"Received a directory in which there is no {IN_A_RUN}; it is "
            "written at the end of the first epoch",
            folder,
        )
    return path


def _limit(size):
    """Return how many bytes a file of a size may unpack to.

    Records of frozen variables are all NaN and pack a thousandfold; what a
    whole trace of a real run packs to is a tenth at the least.
    """
    return max(_LEAST, _TIMES * size)


def _read_header(data):
    if data is None:
        raise archive.Damaged("there is no `header`")
    try:
        header = json.loads(data.tobytes())
    except (ValueError, RecursionError) as error:
        raise archive.Damaged("the `header` is no JSON") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise archive.Damaged("the `header` is of another kind of file")
    version = header.get("version")
    if not isinstance(version, int):
        raise archive.Damaged("`version` is no whole number")
    if version > _VERSION:
        raise archive.Damaged(
            f"`version` is {version}, while this package reads up to "
            f"{_VERSION}: pip install --upgrade keras-gradguard"
        )
    return header


def _rebuild(cls, header, arrays):
    owners = arrays["owners"]
    if len(owners) and not 0 <= owners.min() <= owners.max() < len(
        header["layers"]
    ):
        raise archive.Damaged("`owners` holds an index that no layer has")
    trace = cls(
        header["layers"],
        header["variables"],
        arrays["owners"],
        meta=header["meta"],
        has_gradient=arrays.get("_has_gradient"),
        sizes=arrays.get("_sizes"),
    )
    trace._variables.seen_gradient = arrays["_seen_gradient"]
    trace._tables.pinned = arrays["pinned"]
    trace._tables.of_findings = arrays["of_findings"]
    trace._records.extra_names = header["extra"]
    trace._activations.sites = np.array(header["sites"], dtype=str)
    if header["sites"]:
        trace._tables.add_sites(len(header["sites"]))
    trace._time_gradients.layers = np.array(header["recurrent"], dtype=str)
    if header["recurrent"]:
        trace._tables.add_recurrent(len(header["recurrent"]))
    trace._tables.nonfinite_kept = header["nonfinite_kept"]
    trace.found = header["found"]
    parts: dict = {}
    for key, array in arrays.items():
        table, _, name = key.partition(":")
        if name:
            parts.setdefault(table, {})[name] = array
    for table in contents.tables_of(header):
        getattr(trace._tables, table).restore(
            parts[table], header["tables"][table]
        )
    trace._tables.blocks.pending = parts.get("pending")
    return trace


def to_dict(trace):
    """Return `trace` in the form described at `Trace.to_dict`."""
    series = {}
    through_time = {}
    for layer in trace.recurrent_layers.tolist():
        steps, times, norms = trace.time_gradients(layer)
        through_time[layer] = {"steps": steps, "times": times, "norms": norms}
    more = {"time_gradients": through_time} if through_time else {}
    for name in SERIES:
        if name == "grad_norm":
            continue
        _, values = trace.measured(name)
        series[name] = values
    return jsonable(
        {
            "layers": trace.layers,
            "variables": trace.variables,
            "owners": trace.owners,
            "steps": trace.steps,
            "grad_norm": trace.get("grad_norm"),
            "global_grad_norm": trace.global_grad_norm,
            "clipped_grad_norm": trace.clipped_grad_norm,
            "skipped": trace.skipped,
            "extra": trace.extra,
            "update_steps": trace.update_steps,
            "measured": series,
            "sites": trace.sites,
            "activation_steps": trace.activation_steps,
            "activations": {
                name: trace.activation(name) for name in ACTIVATION_SERIES
            },
            "data": {name: trace.data(name) for name in DATA_SERIES},
            "epochs": trace.epochs,
            "epoch_steps": trace.epoch_steps,
            "logs": trace.logs,
            "meta": trace.meta,
            **more,
        }
    )
